"""What transformers loads for every local reader: tokenizer, configuration, and all weights."""

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aqa.backends.local.devices import weights_device
from aqa.backends.model_errors import explained
from aqa.backends.model_files import ModelFiles
from aqa.backends.tokenizers import gguf_option
from aqa.config.backend_options import LocalModelOptions
from aqa.errors import ConfigError, ModelError
from aqa.library_output import quiet
from aqa.processes import process_count

BITSANDBYTES = "bitsandbytes"
BNB_4BIT = f"{BITSANDBYTES} 4bit"
SMALLEST = 1024  # bytes; a file of weights is larger, and what points to one is not
_offload_folders: list[TemporaryDirectory[str]] = []
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
    """The way in which a checkpoint is quantised, by its name in transformers; "" if it is not.

    Raises:
        ModelError: transformers does not know it: it would leave the scales out.
    """
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING

    found = getattr(model_config, "quantization_config", None)
    if found is None:
        return ""
    settings = found if isinstance(found, dict) else getattr(found, "to_dict", dict)()
    for bits in ("4bit", "8bit"):
        if settings.get(f"load_in_{bits}"):
            return f"{BITSANDBYTES} {bits}"
    method = str(settings.get("quant_method", ""))
    if method not in AUTO_QUANTIZATION_CONFIG_MAPPING:
        raise ModelError(
            f"{model_config.name_or_path}: transformers can't read weights that are quantised in"
            f" its way ({method or 'no quant_method in config.json'}); name the model that they"
            " were made from, or let vLLM answer (llama-qlora: backend.engine=vllm)"
        )
    return method


def placement(options: LocalModelOptions, training: bool) -> dict[str, Any]:
    """Where weights are loaded to, in the words of `from_pretrained`.

    Raises:
        ConfigError: several processes would each spread a model over all devices, or there is no
            such GPU.
    """
    if options.device_map is None:
        return {"device_map": {"": weights_device(training)}}
    if process_count() > 1:
        raise ConfigError(
            "backend.device_map = auto lets one process use all GPUs, and there are"
            f" {process_count()}; start one, without torchrun"
        )
    import torch

    gpus = torch.cuda.device_count()
    if absent := [key for key in options.max_memory if key.isdigit() and int(key) >= gpus]:
        raise ConfigError(
            f"backend.max_memory names the GPU {absent[0]}, and {gpus} can be seen here, counted"
            " from 0; leave it out"
        )
    room = {int(key) if key.isdigit() else key: size for key, size in options.max_memory.items()}
    folder = TemporaryDirectory(prefix="aqa-offload-")  # removed when this process ends
    _offload_folders.append(folder)
    return {"device_map": "auto", "max_memory": room or None, "offload_folder": folder.name}


def load_whole(kind: Any, files: ModelFiles, **options: Any) -> Any:
    """Load a model by an auto class, `kind`, and see that its files hold just its weights.

    What is not there transformers draws at random, and what has no place it leaves out, such as
    the scales of quantised weights; it only logs either.

    Raises:
        ModelError: no such model, or weights that are broken, absent, of another shape or unused.
    """
    if files.gguf_file is None:
        _check_files(Path(files.base), files.title)
    with explained(files.spec, files.title), quiet():
        model, found = kind.from_pretrained(
            files.base, output_loading_info=True, ignore_mismatched_sizes=True, **options
        )
    absent = found["missing_keys"] & {name for name, _ in model.named_parameters()}
    reshaped = {name for name, *_ in found["mismatched_keys"]}
    check_keys(files.title, absent - reshaped, reshaped, found["unexpected_keys"])
    return model


def _check_files(folder: Path, title: str) -> None:
    """See that a model's weights are there as files that are read, where it lies in a folder."""
    whole, pickled = [*folder.glob("*.safetensors")], [*folder.glob("*model*.bin")]
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if pickled and not whole:
        raise ModelError(
            f"{title}: this model can't be loaded: its weights are pickled ({pickled[0].name}), and"
            " reading them may run code; load it where you trust it, save_pretrained it as"
            " safetensors, and name that folder"
        )
    if folder.is_dir() and not single.exists() and not index.exists():
        found = f" (but {whole[0].name})" if whole else ""
        raise ModelError(
            f"{title}: this folder has no {single.name}{found}; name one that save_pretrained wrote"
        )
    if single.exists() and index.exists() and any(path.match("model-*-of-*") for path in whole):
        raise ModelError(
            f"{title}: this folder holds weights twice: {single.name}, and the parts that"
            f" {index.name} lists; remove the ones that do not belong to it"
        )
    for path in whole:
        if path.stat().st_size < SMALLEST and path.read_bytes().startswith(b"version https://git"):
            raise ModelError(
                f"{path}: a pointer of Git LFS, not the file itself; run `git lfs pull`"
            )


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
