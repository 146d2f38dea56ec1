"""What a training of a whole encoder-decoder will need, told before it begins."""

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
    """Count parameters on the shapes alone and estimate the memory of training all of them.

    Weight, gradient and two moments in 32 bits each; Adafactor keeps a row and a column of moments
    (Shazeer & Stern 2018), which are left out here. Activations are of one passage each question.
    """
    with torch.device("meta"):
        model = AutoModelForSeq2SeqLM.from_config(
            model_config, trust_remote_code=options.trust_remote_code
        )
    total = sum(parameter.numel() for parameter in model.parameters())
    values = 2 if optimizer_name(training, adapter=False) == "adafactor" else 4
    activations = activation_bytes(model_config, options, training)
    return TrainEstimate(total, total, total * 4 * values + activations)
