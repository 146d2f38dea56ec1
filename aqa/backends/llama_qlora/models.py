"""Load causal language models, in 4 bits where the options say so."""

from collections.abc import Iterator
from typing import Any

from aqa.backends.local.loading import compute_dtype, load_whole, local_device
from aqa.backends.model_files import ModelFiles
from aqa.backends.tokenizers import explained
from aqa.config.backend_options import LlamaQloraOptions
from aqa.errors import ModelError
from aqa.library_output import quiet


def load_model(files: ModelFiles, options: LlamaQloraOptions, training: bool) -> Any:
    """Load the base weights, in 4 bits where the options say so.

    On CPUs bitsandbytes would repack the weights in place at the first forward pass in evaluation
    mode, and every backward pass after that returns garbage; so that is switched off.

    Raises:
        ModelError: no such model, or weights that are broken or not there.
    """
    with quiet():
        import torch
        from transformers import AutoModelForCausalLM

    four_bit = options.quantization == "4bit"
    dtype = compute_dtype(options)
    model = load_whole(
        AutoModelForCausalLM,
        files,
        revision=options.revision,
        trust_remote_code=options.trust_remote_code,
        dtype=dtype,
        attn_implementation=_attention(options, training),
        quantization_config=_quantization(options, dtype) if four_bit else None,
        device_map={"": local_device()},
        use_safetensors=True,
    )
    with explained(files.spec), quiet():
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


def linear_4bit(model: Any) -> Iterator[Any]:
    """The 4-bit linear layers of a model."""
    from bitsandbytes.nn import Linear4bit

    return (module for module in model.modules() if isinstance(module, Linear4bit))


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

    sample = torch.zeros(64, dtype=compute_dtype(options), device=local_device())
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
