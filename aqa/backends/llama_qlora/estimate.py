"""Estimate what training an adapter needs, without loading weights."""

from typing import Any

import torch
from transformers import AutoModelForCausalLM

from aqa.backends.base import TrainEstimate
from aqa.backends.llama_qlora.fresh_adapters import add_adapter, check_rank
from aqa.backends.local.estimate import estimate_training
from aqa.config.backend_options import LlamaQloraOptions
from aqa.config.options import TrainingOptions
from aqa.library_output import quiet


def estimate_adapter(
    model_config: Any, options: LlamaQloraOptions, training: TrainingOptions
) -> TrainEstimate:
    """Count parameters and estimate the memory for training an adapter.

    The base takes 4.127 bits with double-quantised constants per weight of a linear layer except
    the last (Dettmers et al. 2023), 16 bits for others.
    """
    with torch.device("meta"), quiet():
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
        lora = options.lora
        plain = {"variant": "lora"} if lora.variant == "pissa" else {}  # its shapes are the same
        adapted = add_adapter(model, lora.model_copy(update=plain), "")
        if plain:
            check_rank(adapted, lora.r)
    bits = 16.0 if options.quantization == "none" else 4.0 + 0.127
    return estimate_training(adapted, linear * bits / 8 + (total - linear) * 2, options, training)
