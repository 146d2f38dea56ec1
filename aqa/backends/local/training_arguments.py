"""Translate our training options to transformers' TrainingArguments."""

import os
from datetime import timedelta
from importlib.util import find_spec

import torch
from torch import distributed
from transformers import TrainingArguments
from transformers.integrations import get_reporting_integration_callbacks
from transformers.training_args import OptimizerNames
from transformers.utils import is_torch_tf32_available

from aqa.backends.base import TrainJob
from aqa.backends.local.devices import compute_dtype, local_device, sharded_by
from aqa.backends.model_errors import message_of
from aqa.config.backend_options import LocalModelOptions
from aqa.config.options import RunConfig, TrainingOptions
from aqa.errors import ConfigError
from aqa.processes import process_count
from aqa.runs.names import CHECKPOINTS

GLOO = "gloo"  # for communication between processes on CPUs


def check_options(options: TrainingOptions) -> None:
    """Check what can be checked before the processes connect.

    Raises:
        ConfigError: an option cannot work here, or there is no such optimizer or tracker.
    """
    uses_liger(options, local_device().startswith("cuda"))
    try:
        for tracker in get_reporting_integration_callbacks(options.report_to):
            tracker()
    except (ImportError, RuntimeError, ValueError) as error:
        raise ConfigError(f"training.report_to: {message_of(error)}") from error
    try:
        name = OptimizerNames(optimizer_name(options))
    except ValueError as error:
        raise ConfigError(f"training.optim: {error}") from error
    if name.startswith("schedule_free"):  # it would evaluate and save the training weights
        raise ConfigError(
            f"training.optim: {name.value} answers with other weights than those it trains, which"
            " is not supported; use adamw_torch"
        )


def training_arguments(  # long: one call
    config: RunConfig, backend: LocalModelOptions, job: TrainJob
) -> TrainingArguments:
    """Translate our options to TrainingArguments.

    Raises:
        ConfigError: an option cannot work here.
    """
    options = config.training
    dtype = compute_dtype(backend)
    device = local_device()
    cuda = device.startswith("cuda")
    bf16, fp16 = dtype == torch.bfloat16, dtype == torch.float16 and device != "cpu"
    if not (bf16 or fp16):  # overrides accelerate's config; T5 overflows in float16
        os.environ["ACCELERATE_MIXED_PRECISION"] = "no"
    evaluated = bool(job.dev) and options.eval_strategy != "no"  # so there is a best checkpoint
    if process_count() > 1 and not cuda and not distributed.is_initialized():
        # transformers would do it with its own timeout.
        distributed.init_process_group(GLOO, timeout=timedelta(seconds=options.ddp_timeout))
    arguments = TrainingArguments(
        output_dir=str(job.folder / CHECKPOINTS),
        num_train_epochs=options.num_train_epochs,
        max_steps=options.max_steps or -1,  # transformers would take one step for 0
        learning_rate=options.learning_rate,
        lr_scheduler_type=options.lr_scheduler_type,
        warmup_steps=options.warmup_steps,
        weight_decay=options.weight_decay,
        max_grad_norm=options.max_grad_norm,
        per_device_train_batch_size=options.per_device_train_batch_size,
        gradient_accumulation_steps=options.gradient_accumulation_steps,
        activation_checkpointing=checkpoints_gradients(options),
        activation_checkpointing_kwargs={"use_reentrant": False},
        optim=optimizer_name(options, backend.trains_adapter),
        neftune_noise_alpha=options.neftune_noise_alpha,
        logging_steps=options.logging_steps,
        eval_strategy=options.eval_strategy if evaluated else "no",
        eval_steps=options.eval_steps,
        save_strategy=options.eval_strategy if options.eval_strategy != "no" else "epoch",
        save_steps=options.eval_steps,
        # With 1, transformers deletes the last checkpoint, which marks the end of training.
        save_total_limit=max(options.save_total_limit, 2 if evaluated else 1),
        load_best_model_at_end=evaluated,
        metric_for_best_model=f"eval_{options.metric_for_best_model}" if evaluated else None,
        greater_is_better=options.metric_for_best_model != "loss",
        bf16=bf16,
        fp16=fp16,
        use_cpu=device == "cpu",
        ddp_backend=GLOO if process_count() > 1 and not cuda else None,
        ddp_timeout=options.ddp_timeout,
        ddp_find_unused_parameters=False,
        # Buffers are not learned, and processes may call the model unequally often.
        ddp_broadcast_buffers=False,
        use_liger_kernel=uses_liger(options, cuda),
        tf32=True if cuda and dtype != torch.float32 and is_torch_tf32_available() else None,
        seed=config.seed,
        report_to=options.report_to or "none",
        label_names=["labels"],
        remove_unused_columns=False,
        dataloader_pin_memory=cuda,
        disable_tqdm=True,
        logging_strategy="steps",
        logging_nan_inf_filter=False,
        restore_callback_states_from_checkpoint=True,  # for the remaining patience
    )
    # One process uses one GPU. transformers would split batches over all visible ones, multiplying
    # the examples per step that the config asks for.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def uses_liger(options: TrainingOptions, cuda: bool) -> bool:
    """Whether to use Liger's kernels: by default, if they are installed and there is CUDA.

    Raises:
        ConfigError: they are asked for but unavailable.
    """
    installed = find_spec("liger_kernel") is not None
    if options.use_liger_kernel == "auto":
        return cuda and installed
    if options.use_liger_kernel and not (cuda and installed):
        lacks = "pip install liger-kernel" if cuda else "its kernels need an NVIDIA GPU"
        raise ConfigError(f"training.use_liger_kernel = true can't work here: {lacks}")
    return options.use_liger_kernel


def checkpoints_gradients(options: TrainingOptions) -> bool:
    """Whether activations are recomputed in the backward pass instead of stored."""
    if options.gradient_checkpointing == "auto":
        return torch.cuda.is_available()
    return options.gradient_checkpointing


def optimizer_name(options: TrainingOptions, adapter: bool = True) -> str:
    """Return transformers' name of the optimizer; paged 8-bit AdamW on CUDA (Dettmers et al. 2023).

    Full training (no `adapter`) uses plain AdamW, and so do sharded weights, which bitsandbytes
    does not support.
    """
    if options.optim != "auto":
        return options.optim
    paged = adapter and torch.cuda.is_available() and not sharded_by()
    return "paged_adamw_8bit" if paged else "adamw_torch_fused"
