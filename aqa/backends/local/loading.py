"""What transformers loads for every local reader: tokenizer, configuration, and all weights."""

from collections.abc import Iterable
from typing import Any

from aqa.backends.model_errors import explained
from aqa.backends.model_files import ModelFiles
from aqa.backends.tokenizers import gguf_option
from aqa.config.backend_options import LocalModelOptions
from aqa.errors import ModelError
from aqa.library_output import quiet

BITSANDBYTES = "bitsandbytes"
BNB_4BIT = f"{BITSANDBYTES} 4bit"
KINDS = {True: ("an encoder-decoder", "t5"), False: ("a causal model", "llama-qlora")}


def load_config(files: ModelFiles, options: LocalModelOptions) -> Any:
    """Load the configuration of a model.

    Raises:
        ModelError: it can't be loaded, or the model is of the other backend's kind.
    """
    from transformers import AutoConfig

    with explained(files.spec, files.title), quiet():
        config = AutoConfig.from_pretrained(
            files.base,
            revision=options.revision,
            trust_remote_code=options.trust_remote_code,
            **gguf_option(files),
        )
    kind, backend = KINDS[bool(config.is_encoder_decoder)]
    if backend != options.name:
        raise ModelError(
            f"{files.title} is {kind} ({config.model_type}); the backend {options.name} takes"
            f" {KINDS[not config.is_encoder_decoder][0]}; use the backend {backend}"
        )
    return config


def own_quantization(model_config: Any) -> str:
    """The way in which a checkpoint is quantised, by its name in transformers; "" if it is not."""
    found = getattr(model_config, "quantization_config", None) or {}
    settings = found if isinstance(found, dict) else getattr(found, "to_dict", dict)()
    for bits in ("4bit", "8bit"):
        if settings.get(f"load_in_{bits}"):
            return f"{BITSANDBYTES} {bits}"
    return str(settings.get("quant_method", ""))


def load_whole(kind: Any, files: ModelFiles, **options: Any) -> Any:
    """Load a model by an auto class, `kind`, and see that its files hold just its weights.

    What is not there transformers draws at random, and what has no place it leaves out, such as
    the scales of quantised weights; it only logs either.

    Raises:
        ModelError: no such model, or weights that are broken, absent, of another shape or unused.
    """
    with explained(files.spec, files.title), quiet():
        model, found = kind.from_pretrained(
            files.base, output_loading_info=True, ignore_mismatched_sizes=True, **options
        )
    absent = found["missing_keys"] & {name for name, _ in model.named_parameters()}
    reshaped = {name for name, *_ in found["mismatched_keys"]}
    check_keys(files.title, absent - reshaped, reshaped, found["unexpected_keys"])
    return model


def check_keys(
    spec: str, absent: Iterable[str], reshaped: Iterable[str], unused: Iterable[str]
) -> None:
    """See that the weights in a model's files are just those that it takes, by their names.

    Raises:
        ModelError: some are absent, of another shape, or have no place in the model.
    """
    for names, fault in (
        (
            absent,
            "of this model's weights are not in its files{}, and random ones would give random"
            " answers; it was saved for another task, or in part",
        ),
        (
            reshaped,
            "of the weights in its files have another shape than its config.json asks for{};"
            " restore both from where they came from",
        ),
        (
            unused,
            "of the weights in its files have no place in the model that its config.json"
            " describes{}, and leaving them out would change its answers; restore both from where"
            " they came from",
        ),
    ):
        if found := sorted(names):
            named = f" ({', '.join(found[:3])}{', ...' * (len(found) > 3)})"
            raise ModelError(f"{spec}: {len(found)} {fault.format(named)}")
