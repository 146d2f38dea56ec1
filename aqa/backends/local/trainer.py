"""The training loop of all local readers, built on transformers' Trainer.

What differs from a plain Trainer: loss on answers only, normalised over all accumulated answer
tokens; batches of similar length in an order that a resumed run repeats; evaluation by generation;
checkpoints that are complete or ignored, written before each evaluation; Ctrl-C writes one first.
"""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property
from math import isfinite
from pathlib import Path
from threading import Event
from typing import Any, ClassVar

import torch
from datasets import Dataset
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    TrainerState,
    TrainingArguments,
)

from aqa.backends.base import TrainJob
from aqa.backends.local.checkpoints import STATE
from aqa.backends.local.collectives import (
    SharedEvaluation,
    all_gather,
    answers_in_step,
    any_process,
    until,
)
from aqa.backends.local.compiling import compile_layers
from aqa.backends.local.devices import sharded_by, without_gradients
from aqa.backends.local.reader import LocalReader
from aqa.backends.local.saving import SavingTrainer
from aqa.backends.local.sharding import Calls, Lockstep, shard_fsdp
from aqa.backends.local.training_batches import Batch, Collator, EpochSampler, as_row, with_blank
from aqa.backends.local.training_steps import Reporter
from aqa.errors import ConfigError, DataError, ModelError, PromptError
from aqa.processes import is_first_process, process_count, process_rank
from aqa.records import TrainStep


class AnswerTrainer(SavingTrainer):
    """A Trainer whose loss covers answers only and whose evaluation generates them."""

    folder_name: ClassVar[str]  # the folder for trained weights in the run folder
    make_collator: type[Collator]
    answer_loss: ClassVar[Any]  # (model, inputs, label smoothing) -> (summed loss, tokens)

    def __init__(
        self,
        reader: LocalReader,
        job: TrainJob,
        on_step: Callable[[TrainStep], None],
        arguments: TrainingArguments,
        rows: Dataset | None,
    ) -> None:
        self._reader = reader
        self._job = job
        self.prepare(reader, rows)
        self._collator = self.make_collator()
        self.stopping = Event()  # whether this process was asked to stop
        self.options = reader.config.training
        patience = self.options.early_stopping_patience
        super().__init__(
            model=reader.model,
            args=arguments,
            data_collator=self._collator,
            train_dataset=rows and with_blank(rows),
            eval_dataset=[],
            callbacks=[
                *([EarlyStoppingCallback(patience)] if patience else []),
                Reporter(on_step, self.options.save_steps, self._tokens, self.stops),
            ],
        )
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = True  # counts labels over all accumulated batches
        self._lockstep = self._shard() if sharded_by() else None
        if self.options.torch_compile:
            compile_layers(self.model)

    def _shard(self) -> Lockstep:
        """Shard the weights now if FSDP does it; DeepSpeed does when training starts."""
        self._reader.is_sharded = True
        model = getattr(self.model, "get_base_model", lambda: self.model)()
        if not (self.is_fsdp_enabled or self.is_deepspeed_enabled):
            raise ConfigError(
                f"accelerate can't shard weights here; leave {sharded_by()} out of its config, or"
                " use GPUs"
            )
        if self.is_fsdp_enabled:
            self.optimizer = shard_fsdp(self.accelerator, model, self.create_optimizer())
        return Lockstep(model, self.calls(model), self.stopping.is_set, self.args.device)

    def calls(self, model: Any) -> Calls:
        """Return a small call of each method by which the model is called."""
        raise NotImplementedError

    def prepare(self, reader: Any, rows: Dataset | None) -> None:
        """Prepare the reader's model for training on these rows; None if it has ended."""

    def settle(self) -> None:
        """Convert the model to what is loaded for prediction."""
        self.model.eval()  # no dropout

    def note(self, text: str) -> None:
        """Show the user a note, once for all processes."""
        if is_first_process():
            self._reader.note(text)

    def stops(self) -> bool:
        """Whether any process was asked to stop; a collective call."""
        if stopped := any_process(self.stopping.is_set()):
            self.stopping.set()
        return stopped

    def _tokens(self) -> int:
        return self._collator.tokens

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> EpochSampler:
        rows, processes = self.train_dataset, int(self.args.world_size)
        at_once = self.args.train_batch_size * processes
        return EpochSampler(
            rows["length"][:-1],
            at_once * self.options.gradient_accumulation_steps,
            self.args.seed,
            self.options.group_by_length,
            rows["example"][:-1] if self.options.targets == "random" else None,
            at_once if processes > 1 else 1,
        )

    def compute_loss(
        self,
        model: Any,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,  # the Trainer counts labels
    ) -> torch.Tensor:
        """Return the mean loss over the answer tokens of all accumulated batches in all processes.

        Gradients are averaged over processes, so each process multiplies its part by their number.
        """
        with self.accelerator.autocast():  # also for the encoder, which is called separately
            loss, _ = self.answer_loss(model, inputs, self.options.label_smoothing_factor)
        assert num_items_in_batch is not None
        mean: torch.Tensor = loss / num_items_in_batch
        return mean * int(self.args.world_size)

    def create_scheduler(self, num_training_steps: int, optimizer: object = None) -> object:
        """Note if the learning rate will never reach the one asked for."""
        warmup, options = self.options.warmup_steps, self.options
        if options.lr_scheduler_type != "constant" and warmup >= num_training_steps:
            self.note(
                f"the learning rate never reaches {options.learning_rate:g}: its warm-up takes"
                f" {warmup} steps, and the training has {num_training_steps}; lower"
                " training.warmup_steps"
            )
        return super().create_scheduler(num_training_steps, optimizer)

    def _maybe_log_save_evaluate(
        self, tr_loss: torch.Tensor, grad_norm: Any, *others: object, **named: object
    ) -> None:
        """Log, evaluate and save as a Trainer does, unless loss or gradient is not finite.

        In float16, a step without a finite gradient is skipped; its loss is dropped from the sum.
        """
        control, logs = self.control, self.control.should_log
        if (logs or control.should_evaluate or control.should_save) and not self.args.fp16:
            self._check_finite("loss", float(tr_loss))
            self._check_finite("gradient's norm", float(grad_norm or 0.0))
        super()._maybe_log_save_evaluate(tr_loss, grad_norm, *others, **named)
        if logs:
            tr_loss.nan_to_num_()

    def _check_finite(self, name: str, value: float) -> None:
        """Raise ModelError for NaN or infinity; gradients are summed, so all processes see it."""
        if not isfinite(value):
            raise ModelError(
                f"step {self.state.global_step}: the {name} is {value}, so the training stops;"
                " earlier checkpoints are kept. Lower training.learning_rate, or choose another"
                " backend.compute_dtype, and start over with --fresh"
            )

    def evaluate(
        self,
        eval_dataset: object = None,
        ignore_keys: object = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Score answers generated for the dev slice; add the loss if asked for."""
        scores = dict(self.generated_scores(self.options.eval_limit))
        if self.options.metric_for_best_model == "loss":
            scores["loss"] = self.dev_loss()
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in scores.items()}
        self.log(metrics)
        self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def generated_scores(self, limit: int | None) -> Mapping[str, float]:
        """Answer the first `limit` dev prompts in all processes together, and score the answers.

        Raises:
            KeyboardInterrupt: a stop was asked for.
        """
        self.model.eval()
        prompts, generate = self._job.dev[:limit], self._reader.generate
        if self.args.world_size == 1:
            scores = self._job.score(until(self.stopping.is_set, generate(prompts)))
            self._break_off()
            return scores
        if self._lockstep:
            answers = answers_in_step(prompts, generate, self._lockstep)
        else:
            answers = SharedEvaluation(prompts, generate, self.stopping.is_set).answers()
        scores = self._job.score(answers) if is_first_process() else {}
        for _ in answers:  # other processes yield none, but help to compute them
            pass
        return all_gather(scores)[0]

    def _break_off(self) -> None:
        """End an evaluation if a stop was asked for; a checkpoint was written before it."""
        if self.stops():
            raise KeyboardInterrupt

    @cached_property
    def _dev_rows(self) -> list[Mapping[str, Any]]:
        rows: list[Mapping[str, Any]] = []
        unfit: list[str] = []
        for prompt in self._job.dev[: self.options.eval_limit]:
            try:
                asked = replace(prompt, target=prompt.template.target(prompt.answers))
                fitted = self._reader.fit(asked)  # as in training: with room for the answer
            except PromptError as error:
                unfit.append(str(error))
                continue
            if fitted.encoding and fitted.encoding.target_ids:
                rows.append(as_row(fitted.encoding))
        if not rows:
            raise DataError(
                "no validation example is left to take the loss of; choose the best weights by f1"
                f" or em (training.metric_for_best_model): {unfit[0] if unfit else 'no answers'}"
            )
        if unfit:
            self.note(f"{len(unfit)} validation answers don't fit and have no loss: {unfit[0]}")
        return rows

    def dev_loss(self) -> float:
        """Return the mean loss per answer token of all dev rows, shared out over the processes."""
        total, tokens = 0.0, 0
        collate, size = self.make_collator(), self.args.train_batch_size
        starts = range(0, len(self._dev_rows), size)[process_rank() :: process_count()]
        in_step = self._lockstep.together() if self._lockstep else nullcontext()
        with in_step, without_gradients(), self.accelerator.autocast():
            for start in until(self.stopping.is_set, starts):
                batch = collate(self._dev_rows[start : start + size])
                loss, count = self.answer_loss(self.model, self._prepare_inputs(batch), 0.0)
                total, tokens = total + loss.item(), tokens + int(count)
        self._break_off()
        parts = all_gather((total, tokens))
        loss = sum(part[0] for part in parts) / max(sum(part[1] for part in parts), 1)
        self._check_finite("validation loss", loss)
        return loss

    def evaluate_late(self, checkpoint: Path) -> None:
        """Run the evaluation that was due when training ended with this checkpoint."""
        self.state = TrainerState.load_from_json(str(checkpoint / STATE))
        self._load_callback_state()
        self.read(checkpoint)
        self._determine_best_metric(self.evaluate(), None)
        self.write_state(checkpoint)
        self.accelerator.wait_for_everyone()
