"""Reduce a model's generation config to its tokens; our options decide everything else.

Its other settings (BART's for summaries, Qwen's for chat, a trainer's `use_cache: false`) would
also apply, and in one engine but not the other.
"""

from typing import Any

from aqa.errors import ModelError

TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
# Without effect on answers: the file's origin, and what `generate` returns.
SILENT = ("transformers_version", "use_cache", "return_dict_in_generate")


def take_over_generation(model: Any) -> dict[str, Any]:
    """Keep only the tokens of a model's generation config; return its other settings.

    Tokens that only config.json names count too.
    """
    from transformers import GenerationConfig

    settings = model.generation_config.to_diff_dict()
    tokens = {name: getattr(model.generation_config, name) for name in TOKENS}
    for name in TOKENS:
        if tokens[name] is None:
            tokens[name] = getattr(model.config, name, None)
    model.generation_config = GenerationConfig(**tokens)
    return {
        name: value
        for name, value in settings.items()
        if name not in (*TOKENS, *SILENT)
        and not name.startswith(("_", "output_"))
        and value is not None
    }


def set_decoder_start(model: Any, spec: str) -> None:
    """Make an encoder-decoder start with the same token in training and prediction.

    It is the generation config's, with which the model has been writing, or else the begin-of-text
    token, as in transformers.

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
