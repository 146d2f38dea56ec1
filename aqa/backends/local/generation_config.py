"""A model's own generation config: only its tokens count, for answers are written by our options.

What else may be there, as BART's for summaries, Qwen's for talk or a trainer's `use_cache: false`,
would act beside them, in one engine and not in the other.
"""

from typing import Any

from aqa.errors import ModelError

TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
# What says nothing of the answers: where the file came from, and what `generate` gives back.
SILENT = ("transformers_version", "use_cache", "return_dict_in_generate")


def take_over_generation(model: Any) -> dict[str, Any]:
    """Leave only its tokens in a model's generation config; give what else was asked for there.

    A token that config.json alone names counts, too.
    """
    from transformers import GenerationConfig

    found = model.generation_config.to_diff_dict()
    tokens = {name: getattr(model.generation_config, name) for name in TOKENS}
    for name in TOKENS:
        if tokens[name] is None:
            tokens[name] = getattr(model.config, name, None)
    model.generation_config = GenerationConfig(**tokens)
    return {
        name: value
        for name, value in found.items()
        if name not in (*TOKENS, *SILENT)
        and not name.startswith(("_", "output_"))
        and value is not None
    }


def set_decoder_start(model: Any, spec: str) -> None:
    """Let an encoder-decoder begin with one token, whoever asks: in training as in prediction.

    It is that of the generation config, by which the model wrote so far; else the begin-of-text
    token, as transformers has it.

    Raises:
        ModelError: no config names one.
    """
    settings = model.generation_config
    first = settings.decoder_start_token_id
    if first is None:
        first = settings.bos_token_id
    if first is None:
        raise ModelError(
            f"{spec}: neither config.json nor generation_config.json names the token that answers"
            " begin with; set decoder_start_token_id in generation_config.json"
        )
    settings.decoder_start_token_id = model.config.decoder_start_token_id = first
