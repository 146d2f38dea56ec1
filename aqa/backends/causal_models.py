"""Find, convert and load causal language models and their adapters."""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from platformdirs import user_cache_path

from aqa.config import LlamaQloraOptions, LoraOptions
from aqa.errors import ModelError
from aqa.locations import PREFIX, locate_package_file
from aqa.progress import Progress

GGUF = ".gguf"
ADAPTER_WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Where a base model and maybe its adapter lie.

    `base` is a hub id or a folder; `gguf_file` names a file in that folder that is not converted.
    `spec` is how the user named the base, for messages and for the adapter's config.
    """

    spec: str
    base: str
    adapter: Path | None = None
    gguf_file: str | None = None


def find_model(options: LlamaQloraOptions) -> ModelFiles:
    """Find out what the option `model` names: run folder, adapter, folder, package or hub id.

    Raises:
        ModelError: a folder that holds no model.
    """
    folder = Path(options.model)
    if folder.is_dir():
        adapter = folder / "adapter" if (folder / "adapter").is_dir() else folder
        config = adapter / "adapter_config.json"
        if config.is_file():
            return _find_base(_base_of(config), adapter)
        if not (folder / "config.json").is_file():
            raise ModelError(
                f"{folder}: holds neither a model (config.json) nor an adapter; name a run"
                " folder that was trained, an adapter, a model's folder or a hub id"
            )
    return _find_base(options.model, None)


def _base_of(config: Path) -> str:
    try:
        spec: str | None = json.loads(config.read_bytes()).get("base_model_name_or_path")
    except ValueError as error:
        raise ModelError(f"{config}: not JSON; restore it, or name another model") from error
    if not spec:
        raise ModelError(f"{config}: no base_model_name_or_path, so its base is unknown")
    return spec


def _find_base(spec: str, adapter: Path | None) -> ModelFiles:
    if not spec.startswith(PREFIX) and not spec.endswith(GGUF):
        return ModelFiles(spec, spec, adapter)
    path = locate_package_file(spec) if spec.startswith(PREFIX) else Path(spec)
    if not path.exists():
        raise ModelError(f"{spec}: no such file")
    if path.suffix != GGUF:
        return ModelFiles(spec, str(path), adapter)
    converted = _converted_folder(path)
    if (converted / "config.json").is_file():
        return ModelFiles(spec, str(converted), adapter)
    return ModelFiles(spec, str(path.parent), adapter, gguf_file=path.name)


def _converted_folder(path: Path) -> Path:
    size = path.stat().st_size
    return user_cache_path("aqa") / "models" / f"{path.stem}-{size}"


def convert_gguf(files: ModelFiles, progress: Progress) -> ModelFiles:
    """Convert a GGUF model to safetensors, once for this user; other processes wait for it.

    transformers refuses to save a model that it read from GGUF, so its weights go into a fresh
    model of the same configuration.
    """
    if files.gguf_file is None:
        return files
    target = _converted_folder(Path(files.base, files.gguf_file))
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not (target / "config.json").is_file():
            _convert(files.base, files.gguf_file, target, progress)
    return ModelFiles(files.spec, str(target), files.adapter)


def _convert(folder: str, gguf_file: str, target: Path, progress: Progress) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    draft = target.with_name(f"{target.name}.draft")
    no_bar = redirect_stderr(io.StringIO())  # transformers draws one of its own
    with progress.task(f"Converting {gguf_file} (once)", 3, "steps") as task, quiet(), no_bar:
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=gguf_file)
        task.advance()
        source = AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=gguf_file, dtype=torch.bfloat16
        )
        task.advance()
        config = source.config
        del config.quantization_config
        model = type(source)(config).to(torch.bfloat16)
        model.load_state_dict(source.state_dict())
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        draft.replace(target)
        task.advance()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries' own hints and progress bars of loading off the screen."""
    loggers = [logging.getLogger(name) for name in ("transformers", "peft", "bitsandbytes")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    from transformers.utils import logging as transformers_logging

    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # peft asks transformers in a way that is deprecated there.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()


@contextmanager
def explained(spec: str) -> Iterator[None]:
    """Turn what the hub or a broken folder answers into one sentence."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
    from safetensors import SafetensorError

    try:
        yield
    except GatedRepoError as error:
        raise ModelError(_gated(spec)) from error
    except ImportError as error:  # flash attention, or what a model's own code needs
        first = str(error).strip().splitlines()[0]
        raise ModelError(f"{spec}: a package is missing to load this model: {first}") from error
    except (RepositoryNotFoundError, SafetensorError, OSError, ValueError) as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, GatedRepoError):
            cause = cause.__cause__
        if cause is not None or "gated repo" in str(error):
            raise ModelError(_gated(spec)) from error
        if Path(spec).exists() or spec.startswith(PREFIX):
            first = str(error).strip().splitlines()[0]
            raise ModelError(f"{spec}: this model can't be loaded: {first}") from error
        raise ModelError(
            f"{spec}: this model can't be had from the hub; check the name and the network, log in"
            " with `hf auth login` if it is private, or name a local folder"
        ) from error


def _gated(spec: str) -> str:
    return (
        f"{spec}: this model is gated; accept its licence on its page on the hub and log in with"
        " `hf auth login`, or name a local folder"
    )


def load_tokenizer(files: ModelFiles, options: LlamaQloraOptions) -> tuple[Any, list[int]]:
    """Load the tokenizer and the end tokens that the model's generation config names."""
    from transformers import AutoTokenizer, GenerationConfig

    with explained(files.spec), quiet():
        tokenizer = AutoTokenizer.from_pretrained(
            files.base,
            revision=options.revision,
            trust_remote_code=options.trust_remote_code,
            **_gguf(files),
        )
    end: Any = None
    if files.gguf_file is None:
        with contextlib.suppress(OSError):  # a model without a generation config
            end = GenerationConfig.from_pretrained(
                files.base, revision=options.revision
            ).eos_token_id
    return tokenizer, [end] if isinstance(end, int) else list(end or ())


def load_config(files: ModelFiles, options: LlamaQloraOptions) -> Any:
    """Load the configuration of a model.

    Raises:
        ModelError: it can't be had, or the model is no decoder.
    """
    from transformers import AutoConfig

    with explained(files.spec), quiet():
        config = AutoConfig.from_pretrained(
            files.base,
            revision=options.revision,
            trust_remote_code=options.trust_remote_code,
            **_gguf(files),
        )
    if config.is_encoder_decoder:
        raise ModelError(
            f"{files.spec} is an encoder-decoder ({config.model_type}); the backend llama-qlora"
            " takes causal models"
        )
    return config


def _gguf(files: ModelFiles) -> dict[str, str]:
    return {} if files.gguf_file is None else {"gguf_file": files.gguf_file}


def load_model(files: ModelFiles, options: LlamaQloraOptions, training: bool) -> Any:
    """Load the base weights, in 4 bits where the options say so.

    On CPUs bitsandbytes would repack the weights in place at the first forward pass in evaluation
    mode, and every backward pass after that returns garbage; so that is switched off.

    Raises:
        ModelError: no such model, no causal one, or no 4-bit support on this machine.
    """
    with quiet():
        import torch
        from transformers import AutoModelForCausalLM

    load_config(files, options)
    check_quantization(options)
    four_bit = options.quantization == "4bit"
    dtype = compute_dtype(options)
    with explained(files.spec), quiet():
        model = AutoModelForCausalLM.from_pretrained(
            files.base,
            revision=options.revision,
            trust_remote_code=options.trust_remote_code,
            dtype=dtype,
            attn_implementation=_attention(options, training),
            quantization_config=_quantization(options, dtype) if four_bit else None,
            device_map={"": 0} if torch.cuda.is_available() else "cpu",
            use_safetensors=True,
        )
        for module in linear_4bit(model) if four_bit else ():
            module.support_avx512bf16_for_cpu = False
        on_cpu = not torch.cuda.is_available()
        if four_bit and on_cpu and options.dequantize_on_cpu and not training:
            model = model.dequantize()
    # A slice of the hidden states that is not contiguous makes PyTorch copy the head's weights
    # for every row of the batch: measured as a third of all prediction time on a CPU.
    model.get_output_embeddings().register_forward_pre_hook(
        lambda _, inputs: (inputs[0].contiguous(), *inputs[1:])
    )
    return model


def add_adapter(model: Any, options: LoraOptions, base: str) -> Any:
    """Freeze a base model and put a fresh LoRA adapter over its linear layers."""
    from peft import LoraConfig, get_peft_model

    model.requires_grad_(False)
    adapted = get_peft_model(
        model,
        LoraConfig(
            r=options.r,
            lora_alpha=options.alpha,
            lora_dropout=options.dropout,
            target_modules=options.target_modules,
            task_type="CAUSAL_LM",
        ),
    )
    local = Path(base).is_dir()  # the adapter must find it from other folders, too
    adapted.peft_config["default"].base_model_name_or_path = (
        str(Path(base).resolve()) if local else base
    )
    return adapted


def load_adapter(model: Any, folder: Path) -> Any:
    """Put a trained adapter over its base model.

    Raises:
        ModelError: its weights are not there as safetensors, or do not fit the base.
    """
    from peft import PeftModel

    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise ModelError(
            f"{folder}: this adapter has no {ADAPTER_WEIGHTS}; pickled weights are not read, so"
            " save it as safetensors"
        )
    with explained(str(folder)), quiet():
        # peft only warns of weights that are not there, and leaves them as they were drawn.
        warnings.filterwarnings("error", "Found missing adapter keys", UserWarning)
        try:
            return PeftModel.from_pretrained(model, folder)
        except (UserWarning, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "size mismatch" not in str(error):
                raise
            raise ModelError(
                f"{folder}: this adapter does not fit its base model; it was trained on another"
                " one, or the base has changed since"
            ) from error


def linear_4bit(model: Any) -> Iterator[Any]:
    """The 4-bit linear layers of a model."""
    from bitsandbytes.nn import Linear4bit

    return (module for module in model.modules() if isinstance(module, Linear4bit))


def compute_dtype(options: LlamaQloraOptions) -> Any:
    """The dtype of activations: bfloat16 where the hardware has it (float16 overflows)."""
    import torch

    if options.compute_dtype != "auto":
        return getattr(torch, options.compute_dtype)
    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32


def _attention(options: LlamaQloraOptions, training: bool) -> str:
    """Measured on a CPU at 150 tokens: plain attention trains 1.4x as fast as PyTorch's SDPA."""
    import torch

    if options.attn_implementation != "auto":
        return options.attn_implementation
    return "eager" if training and not torch.cuda.is_available() else "sdpa"


def check_quantization(options: LlamaQloraOptions) -> None:
    """See whether 4-bit weights can work here, where they are asked for.

    Raises:
        ModelError: they can't; says what to choose.
    """
    if options.quantization == "none":
        return
    way_out = "choose --set backend.quantization=none to train and run without 4 bits"
    try:
        with quiet():
            import bitsandbytes
    except ImportError as error:
        raise ModelError(f"bitsandbytes can't be loaded ({error}); {way_out}") from error
    import torch

    sample = torch.zeros(64, dtype=compute_dtype(options))
    try:
        bitsandbytes.functional.quantize_4bit(sample, quant_type=options.bnb_4bit_quant_type)
    except (RuntimeError, NotImplementedError, AttributeError) as error:
        raise ModelError(f"4-bit weights do not work here ({error}); {way_out}") from error


def _quantization(options: LlamaQloraOptions, dtype: Any) -> Any:
    """The bitsandbytes settings."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=options.bnb_4bit_quant_type,
        bnb_4bit_use_double_quant=options.bnb_4bit_use_double_quant,
        bnb_4bit_compute_dtype=dtype,
    )
