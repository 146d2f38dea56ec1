"""Loads encoder-decoder models, or makes a small T5 from scratch."""

from typing import Any

from aqa.backends.local.causality import check_causal
from aqa.backends.local.devices import (
    compute_dtype,
    input_device,
    seeded,
    spread_by,
    weights_device,
)
from aqa.backends.local.loading import load_whole, placement
from aqa.backends.model_files import ModelFiles
from aqa.config.backend_options import FromScratchOptions, T5Options
from aqa.library_output import quiet


def load_model(files: ModelFiles, options: T5Options, training: bool) -> Any:
    """Load the weights; for training in float32, because bfloat16 would round small updates away.

    Raises:
        ModelError: the model does not exist, or its weights are broken or missing.
    """
    with quiet():
        import torch
        from transformers import AutoModelForSeq2SeqLM

    attention = options.attn_implementation
    model = load_whole(
        AutoModelForSeq2SeqLM,
        files,
        revision=options.revision,
        trust_remote_code=options.trust_remote_code,
        dtype=torch.float32 if training else compute_dtype(options),
        attn_implementation=None if attention == "auto" else attention,
        use_safetensors=True,
        **placement(options, training),
    )
    if training and not spread_by():  # prediction decodes token by token anyway
        _check_decoder(model, files.title)
    return fuse_activations(model)


def _check_decoder(model: Any, title: str) -> None:
    """Check that the first token's logits do not depend on the tokens after it."""
    import torch

    from aqa.backends.t5.fusion import decode, encode

    row = torch.tensor([[5, 6, 7]], device=input_device(model))
    mask = torch.ones_like(row)
    with torch.no_grad():
        states = encode(model, row, mask)
        whole, alone = (decode(model, states, mask, read)[0, 0] for read in (row, row[:, :1]))
    check_causal(model, title, whole, alone)


def fuse_activations(model: Any) -> Any:
    """Compute flan-T5's tanh form of GELU (Hendrycks & Gimpel 2016) in one step.

    transformers uses seven steps, which take as long as three matrix products of a layer for 4,096
    tokens on a CPU; in float32 the values are equal up to rounding.
    """
    from transformers.activations import GELUTanh, NewGELUActivation

    for module in list(model.modules()):
        for name, part in module.named_children():
            if isinstance(part, NewGELUActivation):
                setattr(module, name, GELUTanh())
    return model


def scratch_config(options: FromScratchOptions, tokenizer: Any) -> Any:
    """Return the config of a T5 made from scratch."""
    from transformers import T5Config

    return T5Config(
        **options.model_dump(exclude={"vocab_size"}),
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
        dropout_rate=0.0,  # it memorises a few examples; there is nothing to regularise
    )


def make_model(config: Any, seed: int) -> Any:
    """Make a T5 with random weights, determined by the seed."""
    from transformers import T5ForConditionalGeneration

    with seeded(seed):
        model = T5ForConditionalGeneration(config)
    return fuse_activations(model).to(weights_device(training=True))
