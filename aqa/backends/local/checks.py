"""Check what a model can do: its positions, its vocabulary, and that it reads in order."""

from collections.abc import Callable
from typing import Any

from aqa.config.backend_options import LocalModelOptions
from aqa.config.options import GenerationOptions
from aqa.errors import ConfigError, ModelError, PromptError
from aqa.records import Encoding

READ = ("max_encoder_position_embeddings", "max_position_embeddings")
WRITTEN = ("max_decoder_position_embeddings", "max_position_embeddings")
AHEAD = 0.01  # share of the largest logit: above rounding errors, below the effect of reading ahead


def check_positions(
    model_config: Any,
    options: LocalModelOptions,
    generation: GenerationOptions,
    note: Callable[[str], None],
) -> None:
    """Check that a model has positions for all that it may read and write.

    T5's are relative and unlimited. Rotary ones of causal models (Su et al. 2021) can be
    extrapolated, but the model has learned nothing there: these only get a note.

    Raises:
        ConfigError: it has fewer than `max_seq_length` or an answer may take, or a row would
            depend on others in its batch.
    """
    config = model_config if model_config.is_encoder_decoder else model_config.get_text_config()
    positions, length = _positions(config, READ), options.max_seq_length
    if positions is not None and length > positions:
        fault = f"backend.max_seq_length = {length}: {options.model} has only {positions} positions"
        rotary = getattr(config, "rope_parameters", None) is not None
        if model_config.is_encoder_decoder or not rotary:
            raise ConfigError(f"{fault}; set it to {positions} or less")
        note(f"{fault}, and was not trained beyond them")
    most = _most_at_once(config)
    if most is not None and length > most:
        raise ConfigError(
            f"backend.max_seq_length = {length}: beyond {most} tokens {options.model} attends to"
            " blocks that depend on the rest of the batch; set it to that or less, or"
            " attention_type to original_full in its config.json"
        )
    written = _positions(config, WRITTEN) if model_config.is_encoder_decoder else None
    if written is not None and generation.max_new_tokens >= written:
        raise ConfigError(
            f"generation.max_new_tokens = {generation.max_new_tokens}: the decoder of"
            f" {options.model} has only {written} positions, including the first token's; set it to"
            f" {written - 1} or less"
        )


def _most_at_once(config: Any) -> int | None:
    """Return up to how many tokens BigBird's sparse attention is in fact full; None elsewhere."""
    if getattr(config, "attention_type", None) != "block_sparse" or not config.is_encoder_decoder:
        return None
    return int((5 + 2 * config.num_random_blocks) * config.block_size)


def _positions(config: Any, names: tuple[str, ...]) -> int | None:
    numbers = (getattr(config, name, None) or 0 for name in names)
    return next((number for number in numbers if number > 0), None)  # XLNet has -1: unlimited


def check_answer(prompt_id: str, encoding: Encoding, model_config: Any, model: str) -> None:
    """Check that an encoder-decoder has positions for the whole answer to learn.

    Raises:
        PromptError: it has fewer.
    """
    written, taken = _positions(model_config, WRITTEN), len(encoding.target_ids)
    if written is not None and taken > written:
        raise PromptError(
            f"{prompt_id}: the answer takes {taken} tokens, more than the {written} positions of"
            f" {model}'s decoder; shorten it, or take a model that writes longer answers"
        )


def check_vocabulary(
    prompt_id: str, encoding: Encoding, rows: int | None, tokenizer: Any, model: str
) -> None:
    """Check that the model's embedding, with this many `rows`, has one for each token.

    Raises:
        PromptError: the tokenizer has a token that the model lacks.
    """
    highest = max((*encoding.prompt_ids, *encoding.target_ids), default=0)
    if rows is not None and highest >= rows:
        raise PromptError(
            f"{prompt_id}: the tokenizer writes {tokenizer.convert_ids_to_tokens(highest)!r}"
            f" ({highest}), but {model} has only {rows} tokens; tokens were added to the"
            " tokenizer and not to the model, so restore the tokenizer's files"
        )


def check_causal(model: Any, title: str, logits: Any, others: Any) -> None:
    """Check that two logits of one token, with different tokens after it, are the same.

    Encoders have causal classes too, a few decoders omit their mask or mix up positions when they
    read a whole answer, and a few adapters mix all tokens read at once. Trained that way, a model
    sees each answer in advance, or learns what it cannot use when writing.

    Raises:
        ModelError: they differ, or are not finite.
    """
    if not (logits.isfinite().all() and others.isfinite().all()):
        raise ModelError(
            f"{title}: its probabilities are not finite numbers; restore its files from their"
            " source, or choose another backend.compute_dtype"
        )
    if (logits.float() - others.float()).abs().max() > AHEAD * logits.abs().max():
        adapters = getattr(model, "peft_config", {}).values()
        kinds = (adapter.peft_type for adapter in adapters)
        kind = " with ".join([model.config.model_type, *kinds])
        raise ModelError(
            f"{title}: in transformers, this kind of model ({kind}) sees later tokens, or reads"
            " otherwise than it writes, so it can't learn to write answers; use another model"
        )
