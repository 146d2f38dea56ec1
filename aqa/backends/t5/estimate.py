"""Estimate what training a whole encoder-decoder needs, without loading its weights."""

from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM

from aqa.backends.base import TrainEstimate
from aqa.backends.local.training_arguments import activation_bytes, optimizer_name
from aqa.config.backend_options import T5Options
from aqa.config.options import TrainingOptions


def estimate_full_training(
    model_config: Any, options: T5Options, training: TrainingOptions
) -> TrainEstimate:
    """Count parameters without weights and estimate the memory for training all of them.

    Counts 32 bits each for weight, gradient and two moments; Adafactor's moments, one row and
    column per matrix (Shazeer & Stern 2018), are ignored. Activations are for one passage per
    question.
    """
    with torch.device("meta"):
        model = AutoModelForSeq2SeqLM.from_config(
            model_config, trust_remote_code=options.trust_remote_code
        )
    total = sum(parameter.numel() for parameter in model.parameters())
    values = 2 if optimizer_name(training, adapter=False) == "adafactor" else 4
    activations = activation_bytes(model_config, options, training)
    return TrainEstimate(total, total, total * 4 * values + activations)
