"""What a training of a whole encoder-decoder will need, told before it begins."""

from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM

from aqa.backends.base import TrainEstimate
from aqa.backends.local.training_arguments import checkpoints_gradients, optimizer_name
from aqa.config.backend_options import T5Options
from aqa.config.options import TrainingOptions


def estimate_full_training(
    model_config: Any, options: T5Options, training: TrainingOptions
) -> TrainEstimate:
    """Count parameters on the shapes alone and estimate the memory of training all of them.

    Weight, gradient and two moments in 32 bits each; Adafactor keeps a row and a column of moments
    (Shazeer & Stern 2018), which are left out here. Activations as in `estimate_training`, of one
    passage for each question.
    """
    with torch.device("meta"):
        model = AutoModelForSeq2SeqLM.from_config(
            model_config, trust_remote_code=options.trust_remote_code
        )
    total = sum(parameter.numel() for parameter in model.parameters())
    values = 2 if optimizer_name(training, adapter=False) == "adafactor" else 4
    tokens = training.per_device_train_batch_size * options.max_seq_length
    sizes = model_config.get_text_config(decoder=True)  # of several stacks, one
    hidden = tokens * sizes.hidden_size * 2
    layers = sizes.num_hidden_layers
    activations = hidden * (layers + 17 if checkpoints_gradients(training) else layers * 17)
    return TrainEstimate(total, total, total * 4 * values + activations)
