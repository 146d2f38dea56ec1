"""Load encoder-decoder models, or make a small T5 from scratch."""

from typing import Any

from aqa.backends.local.checks import check_causal
from aqa.backends.local.devices import (
    compute_dtype,
    input_device,
    seeded,
    weights_device,
)
from aqa.backends.local.loading import load_whole, placement
from aqa.backends.model_errors import explained
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
    return fuse_activations(model)


def check_decoder(model: Any, title: str) -> None:
    """Check that training, which reads an answer at once, and decoding compute the same logits.

    Raises:
        ModelError: they do not, or the model fails.
    """
    import torch

    from aqa.backends.t5.fusion import EncoderStates, decode, encode

    text = torch.tensor([[5, 6, 7]], device=input_device(model))
    read, mask, past = text.clone(), torch.ones_like(text), None
    read[:, 0] = model.generation_config.decoder_start_token_id
    with explained(title), torch.no_grad():
        states = encode(model, text, mask)
        at_once = decode(model, states, mask, read)[0]
        for index in range(2):
            step = model(
                encoder_outputs=EncoderStates(last_hidden_state=states),
                attention_mask=mask,
                decoder_input_ids=read[:, index : index + 1],
                past_key_values=past,
                use_cache=True,
            )
            past = step.past_key_values
            check_causal(model, title, at_once[index], step.logits[0, -1])


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
