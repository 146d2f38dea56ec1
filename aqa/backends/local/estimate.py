"""Estimate what training needs, from a model without weights."""

from typing import Any

from aqa.backends.base import TrainEstimate
from aqa.backends.local.training_arguments import checkpoints_gradients, optimizer_name
from aqa.config.backend_options import LocalModelOptions
from aqa.config.options import TrainingOptions


def estimate_training(
    model: Any, frozen_bytes: float, backend: LocalModelOptions, options: TrainingOptions
) -> TrainEstimate:
    """Count a model's parameters, and estimate the memory for training those that learn.

    These take 32 bits each for weight, gradient and two moments. 8-bit optimizers' moments take a
    quarter; Adafactor's, one row and column per matrix (Shazeer & Stern 2018), are ignored.
    """
    total = sum(weights.numel() for weights in model.parameters())
    trainable = sum(weights.numel() for weights in model.parameters() if weights.requires_grad)
    optimizer = optimizer_name(options, backend.trains_adapter)
    moments = 0 if optimizer == "adafactor" else 2 if "8bit" in optimizer else 8
    activations = _activation_bytes(model.config, backend, options)
    return TrainEstimate(
        trainable, total, int(frozen_bytes + trainable * (8 + moments) + activations)
    )


def _activation_bytes(
    model_config: Any, backend: LocalModelOptions, options: TrainingOptions
) -> int:
    """Estimate the memory for activations in training.

    With checkpointing: one hidden state per layer, plus one layer's activations (about 34 bytes per
    hidden value, Korthikanti et al. 2022). Without: the latter for every layer.
    """
    tokens = options.per_device_train_batch_size * backend.max_seq_length
    sizes = model_config.get_text_config(decoder=True)  # one of several stacks
    layers: int = sizes.num_hidden_layers
    per_width = layers + 17 if checkpoints_gradients(options) else layers * 17
    return per_width * tokens * int(sizes.hidden_size) * 2
