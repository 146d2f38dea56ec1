"""Estimate what training an adapter needs, without loading weights."""

from typing import Any

import torch
from transformers import AutoModelForCausalLM

from aqa.backends.base import TrainEstimate
from aqa.backends.llama_qlora.fresh_adapters import add_adapter
from aqa.backends.local.training_arguments import activation_bytes, optimizer_name
from aqa.config.backend_options import LlamaQloraOptions
from aqa.config.options import TrainingOptions
from aqa.library_output import quiet


def estimate_training(
    model_config: Any, options: LlamaQloraOptions, training: TrainingOptions
) -> TrainEstimate:
    """Count parameters without weights and estimate the memory for training.

    Weights: 4.127 bits with double-quantised constants per weight of a linear layer except the last
    (Dettmers et al. 2023), 16 bits for others. Adapter: weight, gradient and two moments in 32
    bits, or 8-bit moments.
    """
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(
            model_config, trust_remote_code=options.trust_remote_code
        )
    head = model.get_output_embeddings()
    linear = sum(
        module.weight.numel()
        for module in model.modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    )
    total = sum(parameter.numel() for parameter in model.parameters())
    with torch.device("meta"), quiet():
        lora = options.lora
        if lora.variant == "pissa":  # its shapes are the same
            lora = lora.model_copy(update={"variant": "lora"})
        adapted = add_adapter(model, lora, "")
    trainable = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    bits = 16.0 if options.quantization == "none" else 4.0 + 0.127
    moments = 2 if "8bit" in optimizer_name(training) else 8
    weights = linear * bits / 8 + (total - linear) * 2 + trainable * (8 + moments)
    activations = activation_bytes(model_config, options, training)
    return TrainEstimate(trainable, total + trainable, int(weights + activations))
