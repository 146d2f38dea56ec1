"""The training loop that all local readers share: transformers' Trainer, with our own ways.

What differs from a plain Trainer: loss on the answer alone, normalised over all accumulated answer
tokens; batches of like length in an order that a resumed run repeats; evaluation by generation;
checkpoints that count only when they are whole; Ctrl-C that first writes one.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from datasets import Dataset
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from aqa.backends.base import TrainJob
from aqa.backends.local.checkpoints import best_or
from aqa.backends.local.collectives import any_process, gather_answers, share_of
from aqa.backends.local.reader import LocalReader
from aqa.backends.local.training_batches import Batch, EpochSampler, as_row
from aqa.records import TrainStep


class Collates(Protocol):
    """Makes a batch of rows and counts the tokens that went by, padding left out."""

    tokens: int

    def __call__(self, rows: list[Mapping[str, Any]]) -> Batch:
        """Give the tensors of one batch."""


class AnswerTrainer(Trainer):  # type: ignore[misc]  # transformers' types are not followed
    """A Trainer whose loss looks at answers alone and whose evaluation generates them."""

    folder_name: ClassVar[str]  # of what was trained, in the run folder
    make_collator: ClassVar[type[Collates]]

    def __init__(
        self,
        reader: LocalReader,
        job: TrainJob,
        on_step: Callable[[TrainStep], None],
        arguments: TrainingArguments,
        rows: Dataset,
    ) -> None:
        self._reader = reader
        self._job = job
        self._collator = self.make_collator()
        self.stopped = False
        self.options = reader.config.training
        patience = self.options.early_stopping_patience
        super().__init__(
            model=reader.model,
            args=arguments,
            data_collator=self._collator,
            train_dataset=rows,
            eval_dataset=[],
            callbacks=[
                *([EarlyStoppingCallback(patience)] if patience else []),
                Reporter(on_step, self),
            ],
        )
        self.remove_callback(PrinterCallback)
        self.model_accepts_loss_kwargs = True  # so that all accumulated labels are counted

    def answer_loss(
        self, model: Any, inputs: Batch, label_smoothing: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Summed cross-entropy over the answers' tokens, and how many they are."""
        raise NotImplementedError

    def write(self, folder: str | Path) -> None:
        """Write what is trained, as a checkpoint holds it."""
        raise NotImplementedError

    def read(self, folder: Path) -> None:
        """Read what `write` wrote, each weight of it and no other."""
        raise NotImplementedError

    def read_best(self, checkpoint: Path) -> None:
        """Read the best weights that the last checkpoint of a training knows of."""
        self.read(best_or(checkpoint) if self.args.load_best_model_at_end else checkpoint)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: object = None) -> None:
        """Read weights strictly; a Trainer logs what it does not find, and goes on."""
        self.read(Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        """The same for the best ones."""
        if self.is_deepspeed_enabled:
            super()._load_best_model()
        else:
            self.read(Path(self.state.best_model_checkpoint))

    def write_trained(self, folder: Path) -> None:
        """Write what prediction needs."""
        self.write(folder)

    def settle(self) -> None:
        """Make the model such as it is loaded for prediction."""
        self.model.eval()  # dropout is for training alone

    def _save(self, output_dir: str | None = None, state_dict: object = None) -> None:
        """Write weights alone: no pickled arguments, no tokenizer."""
        assert output_dir is not None
        self.write(output_dir)

    def stop(self) -> None:
        """Write a checkpoint after this step, and stop."""
        self.stopped = True

    @property
    def tokens(self) -> int:
        """Tokens trained on so far, padding left out."""
        return self._collator.tokens

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> EpochSampler:
        rows = self.train_dataset
        return EpochSampler(
            rows["length"][:],
            self.args.train_batch_size
            * self.options.gradient_accumulation_steps
            * self.args.world_size,
            self.args.seed,
            self.options.group_by_length,
            rows["example"][:] if self.options.targets == "random" else None,
        )

    def compute_loss(
        self,
        model: Any,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mean loss over the answer tokens of all accumulated batches, in all processes.

        Gradients are averaged over the processes, so each has its part multiplied by their number.
        """
        loss: torch.Tensor
        with self.accelerator.autocast():  # around the encoder, too, which is called on its own
            loss, count = self.answer_loss(model, inputs, self.options.label_smoothing_factor)
        if num_items_in_batch is None:
            return loss / count
        mean: torch.Tensor = loss / num_items_in_batch
        return mean * int(self.args.world_size)

    def evaluate(
        self,
        eval_dataset: object = None,
        ignore_keys: object = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Score answers generated for the dev slice; add the loss where it is asked for."""
        scores = dict(self.generated_scores(self.options.eval_limit))
        if self.options.metric_for_best_model == "loss":
            scores["loss"] = self.dev_loss()
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in scores.items()}
        self.log(metrics)
        self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def generated_scores(self, limit: int | None) -> Mapping[str, float]:
        """Generate for the first `limit` dev prompts and score the answers.

        Each process generates its share, and all score the whole.
        """
        self.model.eval()
        prompts = self._job.dev[:limit]
        if self.args.world_size == 1:
            return self._job.score(self._reader.generate(prompts))
        mine = self._reader.generate(list(share_of(prompts)))
        return self._job.score(gather_answers(prompts, mine))

    @cached_property
    def _dev_rows(self) -> list[Mapping[str, Any]]:
        prompts = (
            replace(prompt, target=prompt.template.target(prompt.answers))
            for prompt in self._job.dev[: self.options.eval_limit]
        )
        return [as_row(e) for e in map(self._reader.encode, prompts) if e.target_ids]

    def dev_loss(self) -> float:
        """The mean loss of the answer tokens of all dev rows."""
        total, tokens = 0.0, 0
        collate, size = self.make_collator(), self.args.train_batch_size
        with torch.inference_mode(), self.accelerator.autocast():
            for start in range(0, len(self._dev_rows), size):
                batch = collate(self._dev_rows[start : start + size])
                loss, count = self.answer_loss(self.model, self._prepare_inputs(batch), 0.0)
                total, tokens = total + loss.item(), tokens + int(count)
        return total / max(tokens, 1)


class Reporter(TrainerCallback):  # type: ignore[misc]
    """Tells of steps and evaluations, and stops after a step when asked to."""

    def __init__(self, on_step: Callable[[TrainStep], None], trainer: AnswerTrainer) -> None:
        self._on_step = on_step
        self._trainer = trainer
        self._seconds = 0.0  # spent on steps, evaluations left out
        self._last = 0.0

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, float], **kwargs: Any
    ) -> None:
        """Pass on a step's loss, or an evaluation's scores."""
        scores = {k.removeprefix("eval_"): v for k, v in logs.items() if k.startswith("eval_")}
        if "loss" not in logs and not scores:
            return
        speed = None
        if "loss" in logs:
            now = time.perf_counter()
            self._seconds += now - self._last
            self._last = now
            speed = self._trainer.tokens / self._seconds
        self._on_step(
            TrainStep(
                state.global_step,
                state.max_steps,
                state.epoch or 0.0,
                logs.get("loss"),
                logs.get("learning_rate"),
                speed,
                scores,
            )
        )

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock of the training speed."""
        self._last = time.perf_counter()

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leave the time of an evaluation out of the training speed."""
        self._last = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write a checkpoint and stop, where the user asked for it.

        At the end of an epoch that is left to what happens there, so that a resumed run has the
        same evaluations.
        """
        if any_process(self._trainer.stopped):
            self._trainer.stop()
            control.should_training_stop = True
            if args.save_strategy != "epoch" or not float(state.epoch).is_integer():
                control.should_save = True

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Do not evaluate on the way out of an epoch that is not over."""
        if self._trainer.stopped and not float(state.epoch).is_integer():
            control.should_evaluate = control.should_save = False
