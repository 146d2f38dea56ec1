"""Load causal language models, in 4 bits where the options say so."""

from collections.abc import Iterator
from contextlib import suppress
from inspect import signature
from typing import Any

from aqa.backends.llama_qlora.prefixes import steady_length
from aqa.backends.local.causality import check_causal
from aqa.backends.local.devices import (
    compute_dtype,
    input_device,
    local_device,
    ready_device,
    spread_by,
)
from aqa.backends.local.loading import (
    BNB_4BIT,
    load_config,
    load_whole,
    own_quantization,
    placement,
)
from aqa.backends.model_errors import is_out_of_memory
from aqa.backends.model_files import ModelFiles
from aqa.config.backend_options import LlamaQloraOptions
from aqa.errors import ConfigError, ModelError
from aqa.library_output import quiet

WITHOUT_4_BITS = "choose --set backend.quantization=none to train and run without 4 bits"


def load_model(
    files: ModelFiles, options: LlamaQloraOptions, training: bool, dequantizes: bool = False
) -> Any:
    """Load the base weights, in 4 bits where the options say so.

    Who merges an adapter, or writes the base for another engine, `dequantizes` it: an adapter's
    layers are made for what lies under them, so that it can't be done once they are there.

    On CPUs bitsandbytes would repack the weights in place at the first forward pass in evaluation
    mode, and every backward pass after that returns garbage; so that is switched off.

    Raises:
        ModelError: no such model, or weights that are broken or not there.
    """
    with quiet():
        from transformers import AutoModelForCausalLM

    model_config = load_config(files, options)
    dtype, own = compute_dtype(options), own_quantization(model_config)
    model = load_whole(
        AutoModelForCausalLM,
        files,
        revision=options.revision,
        trust_remote_code=options.trust_remote_code,
        dtype=dtype,
        attn_implementation=_attention(options, training),
        **placement(options, training),
        use_safetensors=True,
        **_quantization(options, own, dtype, training),
    )
    four_bit = list(linear_4bit(model)) if getattr(model, "is_quantized", False) else []
    if options.quantization == "4bit" and not four_bit:
        raise ModelError(
            f"{files.spec}: no layer of a model of this kind ({model_config.model_type}) can be"
            f" put into 4 bits; {WITHOUT_4_BITS}"
        )
    for layer in four_bit:
        layer.support_avx512bf16_for_cpu = False
        layer.compute_dtype = layer.weight.quant_state.dtype = dtype
    if own:
        in_half_to(model, dtype)
    at_once = four_bit and options.dequantize_on_cpu and local_device() == "cpu"
    if (at_once and not training) or (dequantizes and getattr(model, "is_quantized", False)):
        model = dequantize(model, files.title)
    # A slice of the hidden states that is not contiguous makes PyTorch copy the head's weights
    # for every row of the batch: measured as a third of all prediction time on a CPU.
    model.get_output_embeddings().register_forward_pre_hook(
        lambda _, inputs: (inputs[0].contiguous(), *inputs[1:])
    )
    if not (training and spread_by()):
        _check_order(model, files.title)
    return model


def _check_order(model: Any, title: str) -> None:
    """See that a model does not read ahead, by rows of one batch, lest they be rounded differently.

    Raises:
        ModelError: what it says of a first token depends on the last one.
    """
    import torch

    rows = torch.tensor([[5, 6, 7], [5, 6, 8]], device=input_device(model))
    with torch.no_grad():  # what a model keeps from it may be used in training, too
        found = model(input_ids=rows, use_cache=False).logits
    check_causal(model, title, *found[:, 0])


def linear_4bit(model: Any) -> Iterator[Any]:
    """The 4-bit linear layers of a model."""
    from bitsandbytes.nn import Linear4bit

    return (module for module in model.modules() if isinstance(module, Linear4bit))


def in_half_to(model: Any, dtype: Any) -> None:
    """Turn what a quantised checkpoint left in 16 bits into the dtype that all else computes in."""
    import torch

    halves = {torch.float16, torch.bfloat16}
    for weights in (*model.parameters(), *model.buffers()):
        if weights.dtype in halves:
            weights.data = weights.data.to(dtype)


def dequantize(model: Any, title: str) -> Any:
    """The same model without 4 bits, its layers of the kinds that they are saved as.

    transformers leaves linear layers where GPT-2 and its kin have some of their own kind, whose
    weights lie the other way round.

    Raises:
        ModelError: there is no room for it.
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
            f"{title}: {local_device()} has no room for this model without its 4 bits; merge it in"
            " main memory (CUDA_VISIBLE_DEVICES= aqa train ... --resume --merge) and name merged/"
        ) from error
    for name in names:
        linear = model.get_submodule(name)
        layer = Conv1D(linear.out_features, linear.in_features)
        layer.weight.data, layer.bias.data = linear.weight.data.T.contiguous(), linear.bias.data
        layer.requires_grad_(False)
        model.set_submodule(name, layer)
    return model


def never_quantized(model: Any) -> Any:
    """The same weights in a model that transformers will not save as the checkpoint was."""
    import torch

    with torch.device("meta"):
        plain = type(model)(model.config)
    plain.load_state_dict(model.state_dict(), assign=True)
    plain.generation_config = model.generation_config
    return plain


def _attention(options: LlamaQloraOptions, training: bool) -> str | None:
    """Measured on a CPU at 150 tokens: plain attention trains 1.4x as fast as PyTorch's SDPA.

    None leaves it to transformers, which takes SDPA for the models that have it.
    """
    if options.attn_implementation != "auto":
        return options.attn_implementation
    return "eager" if training and local_device() == "cpu" else None


def save_attention_memory(model: Any) -> None:
    """Let attention keep no memory that grows with the length squared, if the model knows how."""
    with quiet(), suppress(ValueError):  # it has plain attention only
        model.set_attn_implementation("sdpa")


def check_quantization(options: LlamaQloraOptions, model_config: Any) -> None:
    """See whether 4-bit weights can be had and can work here, where they are asked for.

    Raises:
        ModelError: they can't; says what to choose.
    """
    own = own_quantization(model_config)
    if options.quantization == "none" and own != BNB_4BIT:
        return
    if own not in ("", BNB_4BIT):
        raise ModelError(
            f"{options.model}: its weights are quantised already ({own}), so they can't be put into"
            " 4 bits; choose --set backend.quantization=none to use them as they are"
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
    """See that rows which lie one behind the other do not see each other.

    Raises:
        ConfigError: attention would take the square of all their tokens.
        ModelError: the model carries a state over, can't be told where rows begin, or turns
            positions by the longest row.
    """
    flash = options.attn_implementation.startswith("flash_attention")
    if not flash or not local_device().startswith("cuda"):
        lacks = "this machine has no NVIDIA GPU" if flash else "set it"
        raise ConfigError(
            "training.packing needs a GPU and backend.attn_implementation = flash_attention_2 (or"
            " _3), which keeps the rows of a batch apart by their positions, where others compute"
            f" with all of them at once; {lacks}, or leave packing out"
        )
    with quiet():
        from transformers import AutoModelForCausalLM

    kind = AutoModelForCausalLM._model_mapping.get(type(model_config), None)
    takes_positions = kind is not None and "position_ids" in signature(kind.forward).parameters
    steady = options.max_seq_length <= steady_length(model_config)
    if not takes_positions or kind._is_stateful or not steady:
        raise ModelError(
            f"{options.model}: a model of this kind ({model_config.model_type}) does not keep rows"
            " apart by their positions; leave training.packing out"
        )


def _quantization(
    options: LlamaQloraOptions, own: str, dtype: Any, training: bool
) -> dict[str, Any]:
    """What is asked of bitsandbytes; nothing of a checkpoint with a quantisation of its own.

    None would do for "nothing" where a model has none, and take the scales from one that has.
    """
    from transformers import BitsAndBytesConfig

    if own or options.quantization == "none":
        return {}
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=options.bnb_4bit_quant_type,
        bnb_4bit_use_double_quant=options.bnb_4bit_use_double_quant,
        bnb_4bit_compute_dtype=dtype,
        # What is spread has to be of a floating type, and of the others' for them to travel along.
        bnb_4bit_quant_storage=dtype if training and spread_by() else None,
    )
    return {"quantization_config": settings}
