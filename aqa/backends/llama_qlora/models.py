"""Load causal language models, in 4 bits if the options say so."""

from collections.abc import Iterator
from contextlib import suppress
from inspect import signature
from typing import Any

from aqa.backends.llama_qlora.prefixes import steady_length
from aqa.backends.local.checks import check_causal
from aqa.backends.local.devices import (
    compute_dtype,
    input_device,
    local_device,
    ready_device,
    sharded_by,
)
from aqa.backends.local.loading import (
    BNB_4BIT,
    load_config,
    load_whole,
    own_quantization,
    placement,
)
from aqa.backends.model_errors import explained, is_out_of_memory
from aqa.backends.model_files import ModelFiles
from aqa.config.backend_options import LlamaQloraOptions
from aqa.errors import ConfigError, ModelError
from aqa.library_output import quiet

WITHOUT_4_BITS = "use --set backend.quantization=none to train and run without 4 bits"


def load_model(
    files: ModelFiles, options: LlamaQloraOptions, training: bool, dequantizes: bool = False
) -> Any:
    """Load the base weights, in 4 bits if the options say so.

    `dequantizes` reverts that, to merge an adapter or write the base for another engine. It must
    come before the adapter, whose layers depend on the ones below.

    On CPUs bitsandbytes would repack weights in place at the first forward pass in evaluation mode,
    after which backward passes return garbage; this is switched off.

    Raises:
        ModelError: the model does not exist, or weights are broken or missing.
    """
    with quiet():
        from transformers import AutoModelForCausalLM

    model_config = load_config(files, options)
    dtype, quantization = compute_dtype(options), own_quantization(model_config)
    model = load_whole(
        AutoModelForCausalLM,
        files,
        revision=options.revision,
        trust_remote_code=options.trust_remote_code,
        dtype=dtype,
        attn_implementation=_attention(options, training),
        **placement(options, training),
        use_safetensors=True,
        **_quantization(options, quantization, dtype, training),
    )
    four_bit = list(linear_4bit(model)) if getattr(model, "is_quantized", False) else []
    if options.quantization == "4bit" and not four_bit:
        raise ModelError(
            f"{files.spec}: no layer of this kind of model ({model_config.model_type}) can be"
            f" quantised to 4 bits; {WITHOUT_4_BITS}"
        )
    for layer in four_bit:
        layer.support_avx512bf16_for_cpu = False
        layer.compute_dtype = layer.weight.quant_state.dtype = dtype
    if quantization:
        in_half_to(model, dtype)
    at_once = four_bit and options.dequantize_on_cpu and local_device() == "cpu"
    if (at_once and not training) or (dequantizes and getattr(model, "is_quantized", False)):
        model = dequantize(model, files.title)
    # Given a slice of hidden states that is not contiguous, PyTorch copies the head's weights for
    # every row of the batch: a third of all prediction time on a CPU.
    model.get_output_embeddings().register_forward_pre_hook(
        lambda _, inputs: (inputs[0].contiguous(), *inputs[1:])
    )
    if not (training and sharded_by()):
        check_order(model, files)
    return model


def check_order(model: Any, files: ModelFiles) -> None:
    """Check that a model, perhaps with an adapter, does not read ahead.

    Each row is read alone, since some adapters mix the tokens of a batch (Lily).

    Raises:
        ModelError: the logits of the first token depend on the last one, or the model fails.
    """
    import torch

    rows = torch.tensor([[[5, 6, 7]], [[5, 6, 8]]], device=input_device(model))
    with explained(files.spec, files.title), torch.no_grad():  # it may cache what training uses
        logits = [model(input_ids=row, use_cache=False).logits[0, 0] for row in rows]
    title = str(files.adapter) if hasattr(model, "peft_config") else files.title
    check_causal(model, title, *logits)


def linear_4bit(model: Any) -> Iterator[Any]:
    """Return the 4-bit linear layers of a model."""
    from bitsandbytes.nn import Linear4bit

    return (module for module in model.modules() if isinstance(module, Linear4bit))


def in_half_to(model: Any, dtype: Any) -> None:
    """Convert the 16-bit parts of a quantised checkpoint to the compute dtype."""
    import torch

    halves = {torch.float16, torch.bfloat16}
    for weights in (*model.parameters(), *model.buffers()):
        if weights.dtype in halves:
            weights.data = weights.data.to(dtype)


def dequantize(model: Any, title: str) -> Any:
    """Return the model without 4 bits, with the layer types of its checkpoint.

    transformers leaves linear layers where GPT-2 and similar models have Conv1D, whose weights are
    transposed.

    Raises:
        ModelError: it does not fit in memory.
    """
    from transformers.pytorch_utils import Conv1D

    names = [
        name
        for name, layer in model.named_modules()
        if getattr(layer, "source_cls", None) is Conv1D
    ]
    try:
        with quiet():
            model = model.dequantize()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise ModelError(
            f"{title}: {local_device()} has no room for this model unquantised; merge it in main"
            " memory (CUDA_VISIBLE_DEVICES= aqa train ... --resume --merge) and name merged/"
        ) from error
    for name in names:
        linear = model.get_submodule(name)
        layer = Conv1D(linear.out_features, linear.in_features)
        layer.weight.data, layer.bias.data = linear.weight.data.T.contiguous(), linear.bias.data
        layer.requires_grad_(False)
        model.set_submodule(name, layer)
    return model


def never_quantized(model: Any) -> Any:
    """Copy the weights to a model that transformers does not save as quantised."""
    import torch

    with torch.device("meta"):
        plain = type(model)(model.config)
    plain.load_state_dict(model.state_dict(), assign=True)
    plain.generation_config = model.generation_config
    return plain


def _attention(options: LlamaQloraOptions, training: bool) -> str | None:
    """Choose plain attention for training on a CPU: at 150 tokens it is 1.4x as fast as SDPA.

    None leaves the choice to transformers, which prefers SDPA if the model has it.
    """
    if options.attn_implementation != "auto":
        return options.attn_implementation
    return "eager" if training and local_device() == "cpu" else None


def save_attention_memory(model: Any) -> None:
    """Switch to attention without memory quadratic in the length, if the model has it."""
    with quiet(), suppress(ValueError):  # it has only plain attention
        model.set_attn_implementation("sdpa")


def check_quantization(options: LlamaQloraOptions, model_config: Any) -> None:
    """Check that 4-bit weights are possible here, if they are asked for.

    Raises:
        ModelError: they are not; says what to choose.
    """
    quantization = own_quantization(model_config)
    if options.quantization == "none" and quantization != BNB_4BIT:
        return
    if quantization not in ("", BNB_4BIT):
        raise ModelError(
            f"{options.model}: its weights are already quantised ({quantization}) and can't be"
            " quantised again; use them as they are with --set backend.quantization=none"
        )
    if local_device() == "mps":
        raise ModelError(f"4-bit weights do not work on Apple's GPUs; {WITHOUT_4_BITS}")
    try:
        with quiet():
            import bitsandbytes
    except ImportError as error:
        raise ModelError(f"bitsandbytes can't be loaded ({error}); {WITHOUT_4_BITS}") from error
    import torch

    sample = torch.zeros(64, dtype=compute_dtype(options), device=ready_device())
    try:
        bitsandbytes.functional.quantize_4bit(sample, quant_type=options.bnb_4bit_quant_type)
    except (RuntimeError, NotImplementedError, AttributeError) as error:
        raise ModelError(f"4-bit weights do not work here ({error}); {WITHOUT_4_BITS}") from error


def check_packing(options: LlamaQloraOptions, model_config: Any) -> None:
    """Check that concatenated rows do not attend to each other.

    Raises:
        ConfigError: attention would be quadratic in all their tokens.
        ModelError: the model carries state across rows, takes no positions, or scales them by
            the longest row.
    """
    flash = options.attn_implementation.startswith("flash_attention")
    if not flash or not local_device().startswith("cuda"):
        lacks = "use a machine with an NVIDIA GPU" if flash else "set it"
        raise ConfigError(
            "training.packing needs a GPU and backend.attn_implementation = flash_attention_2 (or"
            f" _3), which alone keeps packed rows separate; {lacks} or leave packing out"
        )
    with quiet():
        from transformers import AutoModelForCausalLM

    kind = AutoModelForCausalLM._model_mapping.get(type(model_config), None)
    takes_positions = kind is not None and "position_ids" in signature(kind.forward).parameters
    steady = options.max_seq_length <= steady_length(model_config)
    if not takes_positions or kind._is_stateful or not steady:
        raise ModelError(
            f"{options.model}: this kind of model ({model_config.model_type}) can't keep packed"
            " rows separate; leave training.packing out"
        )


def _quantization(
    options: LlamaQloraOptions, quantization: str, dtype: Any, training: bool
) -> dict[str, Any]:
    """Return the settings for bitsandbytes; none for a checkpoint with its own quantisation.

    Passing None would work for unquantised models, but drop the scales of quantised ones.
    """
    from transformers import BitsAndBytesConfig

    if quantization or options.quantization == "none":
        return {}
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=options.bnb_4bit_quant_type,
        bnb_4bit_use_double_quant=options.bnb_4bit_use_double_quant,
        bnb_4bit_compute_dtype=dtype,
        # Sharded weights must have a floating dtype, the same as the weights sharded with them.
        bnb_4bit_quant_storage=dtype if training and sharded_by() else None,
    )
    return {"quantization_config": settings}
