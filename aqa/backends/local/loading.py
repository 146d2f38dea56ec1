"""Load configs and weights through transformers, strictly: no weight missing, none left over."""

import json
from collections.abc import Iterable
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aqa.backends.local.devices import weights_device
from aqa.backends.model_errors import explained, message_of
from aqa.backends.model_files import ModelFiles
from aqa.backends.tokenizers import gguf_option
from aqa.config.backend_options import LocalModelOptions
from aqa.errors import ConfigError, ModelError
from aqa.library_output import quiet
from aqa.processes import process_count

BITSANDBYTES = "bitsandbytes"
BNB_4BIT = f"{BITSANDBYTES} 4bit"
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
ORDER = "_format"  # behind the names of bitsandbytes' 8-bit weights
NUMBERS = ("F64", "F32", "F16", "BF16")  # names in safetensors
SMALLEST = 1024  # bytes; weight files are larger, Git LFS pointers smaller
_offload_folders: list[TemporaryDirectory[str]] = []
KINDS = {True: ("an encoder-decoder", "t5"), False: ("a causal model", "llama-qlora")}


def load_config(files: ModelFiles, options: LocalModelOptions) -> Any:
    """Load a model's config.

    Raises:
        ModelError: it can't be loaded, or the model belongs to the other backend.
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
    """Return transformers' name of a checkpoint's quantisation; "" if it has none.

    Raises:
        ModelError: transformers does not know it and would omit the scales, or lacks a GPU or
            package for it.
    """
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING, AutoHfQuantizer

    text = model_config.get_text_config(decoder=True)
    config = getattr(model_config, "quantization_config", None)
    config = getattr(text, "quantization_config", None) if config is None else config
    if config is None:
        return ""
    settings = config if isinstance(config, dict) else getattr(config, "to_dict", dict)()
    for bits in ("4bit", "8bit"):
        if settings.get(f"load_in_{bits}"):
            return f"{BITSANDBYTES} {bits}"
    method = str(settings.get("quant_method") or "")
    fault = method or "no quant_method in config.json"
    if method in AUTO_QUANTIZATION_CONFIG_MAPPING:
        try:
            with quiet():
                quantizer = AutoHfQuantizer.from_config(dict(settings), pre_quantized=True)
                quantizer.validate_environment(device_map=None)
            return method
        except (ImportError, RuntimeError, TypeError, ValueError) as error:
            fault += f": {message_of(error)}"
    raise ModelError(
        f"{model_config.name_or_path}: transformers can't read its quantised weights here"
        f" ({fault}); use the model that they were made from, or vLLM (llama-qlora:"
        " backend.engine=vllm)"
    )


def placement(options: LocalModelOptions, training: bool) -> dict[str, Any]:
    """Return where weights are loaded, as arguments of `from_pretrained`.

    Raises:
        ConfigError: several processes would each use all devices, or there is no such GPU.
    """
    if options.device_map is None:
        return {"device_map": {"": weights_device(training)}}
    if process_count() > 1:
        raise ConfigError(
            "backend.device_map = auto lets one process use all GPUs, but there are"
            f" {process_count()} processes; start one, without torchrun"
        )
    import torch

    gpus = torch.cuda.device_count()
    if absent := [key for key in options.max_memory if key.isdigit() and int(key) >= gpus]:
        raise ConfigError(
            f"backend.max_memory names GPU {absent[0]}, but only {gpus} can be seen here, counted"
            " from 0; leave it out"
        )
    limits = {int(key) if key.isdigit() else key: size for key, size in options.max_memory.items()}
    folder = TemporaryDirectory(prefix="aqa-offload-")  # removed when the process exits
    _offload_folders.append(folder)
    return {"device_map": "auto", "max_memory": limits or None, "offload_folder": folder.name}


def load_whole(kind: Any, files: ModelFiles, **options: Any) -> Any:
    """Load a model by the auto class `kind`, and check that its files hold exactly its weights.

    transformers initialises missing weights randomly and drops unexpected ones, such as the scales
    of quantised weights; it only logs either.

    Raises:
        ModelError: no such model, or weights that are broken, missing, misshapen or unused.
    """
    from transformers.utils import cached_file

    if files.gguf_file is None:
        _check_files(Path(files.base), files.title)
    with explained(files.spec, files.title), quiet():
        try:
            model, report = kind.from_pretrained(
                files.base, output_loading_info=True, ignore_mismatched_sizes=True, **options
            )
        except RuntimeError as error:
            if "conversion of the weights" not in str(error):
                raise
            raise ModelError(
                f"{files.title}: some weights in its files can't be restored, since their scales or"
                " other parts are missing; restore the files from their source"
            ) from error
    weights = dict(model.named_parameters())
    if getattr(model, "is_quantized", False):  # whose weights or scales may be buffers
        weights |= dict(model.named_buffers())
    absent = report["missing_keys"] & weights.keys()
    reshaped = {name for name, *_ in report["mismatched_keys"]}
    check_keys(files.title, absent - reshaped, reshaped, report["unexpected_keys"])
    if files.gguf_file is None:
        config = cached_file(files.base, "config.json", revision=options.get("revision"))
        check_keys(files.title, codes=_codes(Path(config).parent, model))
    check_keys(files.title, damaged=damaged(model.named_parameters()))
    return model


def damaged(weights: Iterable[tuple[str, Any]]) -> set[str]:
    """Return the names of weights that hold NaN or infinity; for 4-bit weights check the scales.

    PyTorch's attention on CPUs, and CTranslate2's quantisation, would silently turn them into
    zeros.
    """
    names = set()
    for name, values in weights:
        scales = getattr(values, "quant_state", None)
        if scales is not None:  # quantised scales differ from `offset`, their mean
            values = scales.absmax if scales.offset is None else scales.offset
        if values.is_floating_point() and values.dtype.itemsize > 1 and not values.is_meta:
            lowest, highest = values.aminmax() if values.numel() else (0.0, 0.0)
            if not -inf < lowest <= highest < inf:
                names.add(name)
    return names


def _codes(folder: Path, model: Any) -> set[str]:
    """Return the names of quantised weights without scales, which would be read as plain numbers.

    transformers casts those of a plain model to the requested dtype. In a quantised model it keeps
    8-bit floats as they are if their scales are missing, takes bitsandbytes' quantised 4-bit scales
    for numbers if theirs are, and reads any order of its 8-bit weights as rows, which are 0.
    """
    from safetensors import safe_open
    from torch.nn import Linear

    config = json.loads((folder / "config.json").read_bytes())
    sections = (config, config.get("text_config") or {})
    is_quantized, codes = any(section.get("quantization_config") for section in sections), set()
    if is_quantized:
        codes = {
            f"{name}.weight"
            for name, layer in model.named_modules()
            if isinstance(layer, Linear) and _lacks_scales(layer)
        }
    index = folder / INDEX
    parts = json.loads(index.read_bytes())["weight_map"].values() if index.is_file() else [SINGLE]
    parameters = dict(model.named_parameters())
    for part in filter(Path.is_file, {folder / part for part in parts}):
        with safe_open(part, framework="pt") as file:
            names = list(file.keys())
            orders = [name for name in names if is_quantized and name.endswith(ORDER)]
            codes |= {name.removesuffix(ORDER) for name in orders if file.get_tensor(name).item()}
            plain = [name for name in names if name in parameters or name.endswith("weight")]
            if not is_quantized:
                codes |= {name for name in plain if file.get_slice(name).get_dtype() not in NUMBERS}
    return codes


def _lacks_scales(layer: Any) -> bool:
    """Check whether a layer of a quantised model has quantised weights, or scales, without any."""
    from torch.nn import Parameter

    scales = getattr(layer.weight, "quant_state", None)
    if scales is not None:
        return scales.offset is None and not scales.absmax.is_floating_point()
    names = {name for name, _ in layer.named_parameters()}
    is_plain = names <= {"weight", "bias"} and type(layer.weight) is Parameter
    return is_plain and layer.weight.dtype.itemsize == 1


def _check_files(folder: Path, title: str) -> None:
    """Check that a local folder holds a model's weights in files that are read."""
    safe, pickled = [*folder.glob("*.safetensors")], [*folder.glob("*model*.bin")]
    single, index = folder / SINGLE, folder / INDEX
    if pickled and not safe:
        raise ModelError(
            f"{title}: this model can't be loaded: its weights are pickled ({pickled[0].name}), and"
            " reading them may run code; load it where you trust it, save_pretrained it as"
            " safetensors, and name that folder"
        )
    if folder.is_dir() and not single.exists() and not index.exists():
        other = f" (but {safe[0].name})" if safe else ""
        raise ModelError(
            f"{title}: this folder has no {single.name}{other}; name one that save_pretrained wrote"
        )
    if single.exists() and index.exists() and any(path.match("model-*-of-*") for path in safe):
        raise ModelError(
            f"{title}: this folder holds weights twice: {single.name}, and the parts that"
            f" {index.name} lists; remove the ones that do not belong to it"
        )
    for path in safe:
        if path.stat().st_size < SMALLEST and path.read_bytes().startswith(b"version https://git"):
            raise ModelError(
                f"{path}: a pointer of Git LFS, not the file itself; run `git lfs pull`"
            )


def check_keys(
    spec: str,
    absent: Iterable[str] = (),
    reshaped: Iterable[str] = (),
    unused: Iterable[str] = (),
    codes: Iterable[str] = (),
    damaged: Iterable[str] = (),
) -> None:
    """Check by name that the weights in a model's files are exactly those that it needs.

    Raises:
        ModelError: some are missing, misshapen, quantised without scales, NaN, infinite, or unused.
    """
    for names, fault in (
        (
            absent,
            "of this model's weights are not in its files{}, and random ones would give random"
            " answers; it was saved for another task, or incompletely",
        ),
        (
            reshaped,
            "of the weights in its files have other shapes than its config.json says{}; restore"
            " both from their source",
        ),
        (
            unused,
            "of the weights in its files have no place in the model that its config.json"
            " describes{}, and leaving them out would change its answers; restore both from their"
            " source",
        ),
        (
            codes,
            "of the weights in its files are quantised{}, but their scales are missing or not named"
            " in its config.json, or transformers does not know their order; restore both from"
            " their source, or use the model that they were made from",
        ),
        (
            damaged,
            "of the weights in its files are not all numbers, but NaN or infinite{}; restore them"
            " from their source, or name an earlier checkpoint",
        ),
    ):
        if faulty := sorted(names):
            named = f" ({', '.join(faulty[:3])}{', ...' * (len(faulty) > 3)})"
            raise ModelError(f"{spec}: {len(faulty)} {fault.format(named)}")
