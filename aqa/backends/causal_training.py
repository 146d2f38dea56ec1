"""Fine-tune a LoRA adapter over a (4-bit) causal model with transformers' Trainer.

What differs from a plain Trainer: loss on the answer alone, logits only where there are labels,
batches of like length in an order that a resumed run repeats, evaluation by generation, checkpoints
that count only when they are whole, and Ctrl-C that first writes one.
"""

import inspect
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from datasets import Dataset
from transformers import (
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    set_seed,
)

from aqa.backends.adapters import add_adapter
from aqa.backends.base import TrainJob
from aqa.backends.checkpoints import last_checkpoint, stops_at_interrupt
from aqa.backends.model_files import ModelFiles
from aqa.backends.pretrained import quiet
from aqa.backends.training_arguments import training_arguments
from aqa.backends.training_rows import IGNORED, Collator, EpochSampler, as_row, tokenize
from aqa.config import LlamaQloraOptions, RunConfig
from aqa.errors import ConfigError
from aqa.records import Encoding, Prediction, Prompt, TrainStep

ROWS = "train.arrow"
# Plain attention, which trains faster on a CPU, keeps memory that grows with the length squared:
# at 512 tokens it takes 3.8 GB more than PyTorch's.
PLAIN_ATTENTION_LENGTH = 256


class CausalReader(Protocol):
    """What a training needs of the reader whose base model is loaded."""

    config: RunConfig
    options: LlamaQloraOptions
    model: Any

    @property
    def files(self) -> ModelFiles:
        """Where the base model lies."""

    def encode_for_training(self, prompt: Prompt) -> tuple[Prompt, Encoding]:
        """An encoding beside its prompt."""

    def generate(self, prompts: Iterable[Prompt]) -> Iterator[Prediction]:
        """Answer prompts with the model as it is now."""


def train_adapter(
    reader: CausalReader, job: TrainJob, on_step: Callable[[TrainStep], None]
) -> Path:
    """Train an adapter, leave the best one loaded and give the folder it was saved to.

    Raises:
        ConfigError: an option can't be used.
        DataError: examples have nothing to train on.
        KeyboardInterrupt: the user stopped it; a checkpoint was written.
    """
    checkpoints = job.folder / "checkpoints"
    start = last_checkpoint(checkpoints) if job.resume else None
    if not job.resume:
        shutil.rmtree(checkpoints, ignore_errors=True)
    checkpoints.mkdir(parents=True, exist_ok=True)
    set_seed(reader.config.seed)
    rows = tokenize(map(reader.encode_for_training, job.train()), checkpoints / ROWS)
    with quiet():
        if (
            max(rows["length"][:]) > PLAIN_ATTENTION_LENGTH
            and reader.options.attn_implementation == "auto"
        ):
            reader.model.set_attn_implementation("sdpa")
        with explained_options():
            reader.model = add_adapter(reader.model, reader.options.lora, reader.files.spec)
            trainer = AdapterTrainer(reader, job, on_step, rows)
        with stops_at_interrupt(trainer.stop):
            if start is None and job.dev and reader.config.training.evaluate_before:
                on_step(TrainStep(0, 0, 0.0, scores=trainer.generated_scores(None)))
            trainer.train(resume_from_checkpoint=str(start) if start else None)
        if trainer.stopped:
            raise KeyboardInterrupt
        save_adapter(reader.model, job.folder / "adapter")
    reader.model.eval()  # dropout is for training alone
    (checkpoints / ROWS).unlink()
    return job.folder / "adapter"


@contextmanager
def explained_options() -> Iterator[None]:
    """Turn what the libraries say of an optimizer, a tracker or a layer's name into a sentence."""
    try:
        yield
    except (ImportError, RuntimeError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise ConfigError(f"training can't begin with these options: {first}") from error


def save_adapter(model: Any, folder: Path) -> None:
    """Write the adapter as safetensors; the folder takes its name only when it is complete."""
    draft = folder.with_name(".adapter.draft")
    shutil.rmtree(draft, ignore_errors=True)
    model.save_pretrained(draft, save_embedding_layers=False)
    shutil.rmtree(folder, ignore_errors=True)
    draft.replace(folder)


def answer_loss(
    model: Any, inputs: Mapping[str, torch.Tensor], keeps: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Summed cross-entropy over the answers' tokens, and how many they are.

    `keeps` tells that the model computes logits for chosen positions only (`logits_to_keep`). The
    logits of a batch are often its largest tensor: rows * length * vocabulary in float32.
    """
    positions = inputs["label_positions"]
    arguments = {"input_ids": inputs["input_ids"], "attention_mask": inputs["attention_mask"]}
    if keeps:
        logits = model(**arguments, logits_to_keep=positions, use_cache=False).logits
    else:
        logits = model(**arguments, use_cache=False).logits[:, positions]
    targets = inputs["labels"][:, positions + 1]
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return loss, (targets != IGNORED).sum()


def keeps_logits(model: Any) -> bool:
    """Whether a causal model's forward takes `logits_to_keep`."""
    return "logits_to_keep" in inspect.signature(model.get_base_model().forward).parameters


class AdapterTrainer(Trainer):  # type: ignore[misc]  # transformers' types are not followed
    """A Trainer whose loss looks at answers alone and whose evaluation generates them."""

    def __init__(
        self,
        reader: CausalReader,
        job: TrainJob,
        on_step: Callable[[TrainStep], None],
        rows: Dataset,
    ) -> None:
        self._reader = reader
        self._job = job
        self._collator = Collator()
        self.stopped = False
        config = reader.config
        patience = config.training.early_stopping_patience
        super().__init__(
            model=reader.model,
            args=training_arguments(config, job),
            data_collator=self._collator,
            train_dataset=rows,
            eval_dataset=[],
            callbacks=[
                *([EarlyStoppingCallback(patience)] if patience else []),
                Reporter(on_step, self),
            ],
        )
        self.remove_callback(PrinterCallback)
        self._keeps_logits = keeps_logits(reader.model)

    def stop(self) -> None:
        """Write a checkpoint after this step, and stop."""
        self.stopped = True

    @property
    def tokens(self) -> int:
        """Tokens trained on so far, padding left out."""
        return self._collator.tokens

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> EpochSampler:
        options = self._reader.config.training
        batch_size = self.args.train_batch_size * options.gradient_accumulation_steps
        return EpochSampler(
            self.train_dataset["length"][:], batch_size, self.args.seed, options.group_by_length
        )

    def compute_loss(
        self,
        model: Any,
        inputs: Mapping[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mean loss over the answer tokens of all accumulated batches."""
        loss, count = answer_loss(model, inputs, self._keeps_logits)
        return loss / (count if num_items_in_batch is None else num_items_in_batch)

    def evaluate(
        self,
        eval_dataset: object = None,
        ignore_keys: object = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Score answers generated for the dev slice; add the loss where it is asked for."""
        options = self._reader.config.training
        scores = dict(self.generated_scores(options.eval_limit))
        if options.metric_for_best_model == "loss":
            scores["loss"] = self._dev_loss(options.eval_limit)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in scores.items()}
        self.log(metrics)
        self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def generated_scores(self, limit: int | None) -> Mapping[str, float]:
        """Generate for the first `limit` dev prompts and score the answers."""
        self.model.eval()
        return self._job.score(self._reader.generate(self._job.dev[:limit]))

    def _dev_loss(self, limit: int | None) -> float:
        prompts = (
            replace(prompt, target=prompt.template.target(prompt.answers))
            for prompt in self._job.dev[:limit]
        )
        encoded = [e for _, e in map(self._reader.encode_for_training, prompts) if e.target_ids]
        total, tokens = 0.0, 0
        collate = Collator()
        with torch.inference_mode(), self.compute_loss_context_manager():
            for start in range(0, len(encoded), self.args.train_batch_size):
                batch = collate([as_row(e) for e in encoded[start:][: self.args.train_batch_size]])
                loss, count = answer_loss(
                    self.model, self._prepare_inputs(batch), self._keeps_logits
                )
                total, tokens = total + loss.item(), tokens + int(count)
        return total / max(tokens, 1)

    def _save(self, output_dir: str | None = None, state_dict: object = None) -> None:
        """Write the adapter alone: no pickled arguments, no tokenizer."""
        self.model.save_pretrained(output_dir, save_embedding_layers=False)


class Reporter(TrainerCallback):  # type: ignore[misc]
    """Tells of steps and evaluations, and stops after a step when asked to."""

    def __init__(self, on_step: Callable[[TrainStep], None], trainer: AdapterTrainer) -> None:
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
        if self._trainer.stopped:
            control.should_training_stop = True
            if args.save_strategy != "epoch" or not float(state.epoch).is_integer():
                control.should_save = True

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Do not evaluate on the way out of an epoch that is not over."""
        if self._trainer.stopped and not float(state.epoch).is_integer():
            control.should_evaluate = control.should_save = False
