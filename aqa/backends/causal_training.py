"""Fine-tune a LoRA adapter over a (4-bit) causal model with transformers' Trainer.

What differs from a plain Trainer: loss on the answer alone, logits only where there are labels,
batches of like length in an order that a resumed run repeats, evaluation by generation, checkpoints
that count only when they are whole, and Ctrl-C that first writes one.
"""

import inspect
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from torch.utils.data import Sampler
from transformers import (
    AutoModelForCausalLM,
    EarlyStoppingCallback,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_pt_utils import get_length_grouped_indices

from aqa.backends.base import TrainEstimate, TrainJob
from aqa.backends.causal_models import compute_dtype, quiet
from aqa.backends.checkpoints import last_checkpoint, stops_at_interrupt
from aqa.config import LlamaQloraOptions, LoraOptions, RunConfig, TrainingOptions
from aqa.errors import ConfigError, DataError
from aqa.records import Encoding, Prompt, TrainStep

if TYPE_CHECKING:
    from aqa.backends.llama_qlora import LlamaQloraBackend

IGNORED = -100  # the label that PyTorch's cross-entropy leaves out
ROWS = "train.arrow"


def train_adapter(
    reader: "LlamaQloraBackend", job: TrainJob, on_step: Callable[[TrainStep], None]
) -> Path:
    """Train an adapter, leave the best one loaded and give the folder it was saved to.

    Raises:
        ConfigError: it is to stop early, but nothing is evaluated; or an option can't be used.
        DataError: examples have nothing to train on.
        KeyboardInterrupt: the user stopped it; a checkpoint was written.
    """
    if reader.config.training.early_stopping_patience and not evaluates(reader.config, job):
        raise ConfigError(
            "training.early_stopping_patience needs evaluations; give --dev-data and set"
            " training.eval_strategy to epoch or steps, or leave it out"
        )
    checkpoints = job.folder / "checkpoints"
    start = last_checkpoint(checkpoints) if job.resume else None
    if not job.resume:
        shutil.rmtree(checkpoints, ignore_errors=True)
    checkpoints.mkdir(parents=True, exist_ok=True)
    set_seed(reader.config.seed)
    rows = tokenize(map(reader.encode_for_training, job.train()), checkpoints / ROWS)
    with quiet():
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


def add_adapter(model: Any, options: LoraOptions, base: str) -> Any:
    """Freeze a base model and put a fresh LoRA adapter over its linear layers."""
    model.requires_grad_(False)
    adapted = get_peft_model(
        model,
        LoraConfig(
            r=options.r,
            lora_alpha=options.alpha,
            lora_dropout=options.dropout,
            target_modules=options.target_modules,
            task_type="CAUSAL_LM",
        ),
    )
    adapted.peft_config["default"].base_model_name_or_path = base
    return adapted


def save_adapter(model: Any, folder: Path) -> None:
    """Write the adapter as safetensors; the folder takes its name only when it is complete."""
    draft = folder.with_name(".adapter.draft")
    shutil.rmtree(draft, ignore_errors=True)
    model.save_pretrained(draft, save_embedding_layers=False)
    shutil.rmtree(folder, ignore_errors=True)
    draft.replace(folder)


def tokenize(encoded: Iterable[tuple[Prompt, Encoding]], path: Path) -> Dataset:
    """Write token ids to an Arrow file and map it into memory; give it as a data set.

    Raises:
        DataError: examples have no answer to train on; some ids are named.
    """
    import pyarrow

    schema = pyarrow.schema(
        [
            ("input_ids", pyarrow.list_(pyarrow.int32())),
            ("prompt_length", pyarrow.int32()),
            ("length", pyarrow.int32()),
        ]
    )
    nothing_to_learn: list[str] = []
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_stream(file, schema) as writer:
        stream = iter(encoded)
        while part := list(islice(stream, 1000)):
            nothing_to_learn += [prompt.id for prompt, ids in part if not ids.target_ids]
            ids = [[*e.prompt_ids, *e.target_ids] for _, e in part]
            columns = [ids, [len(e.prompt_ids) for _, e in part], [len(row) for row in ids]]
            writer.write(
                pyarrow.record_batch(
                    [pyarrow.array(c, f.type) for c, f in zip(columns, schema, strict=True)],
                    schema=schema,
                )
            )
    if nothing_to_learn:
        raise DataError(
            f"{len(nothing_to_learn)} training examples have no answer to learn"
            f" ({', '.join(nothing_to_learn[:3])}); give them references, or a template with"
            " a no_answer phrase, or leave them out"
        )
    rows = Dataset.from_file(str(path))
    if len(rows) == 0:
        raise DataError("no example is left to train on")
    return rows


class EpochSampler(Sampler[int]):
    """Gives row numbers in an order that depends on seed and epoch alone.

    So a resumed run goes on with the order that the interrupted one had, whatever random numbers
    were drawn in between. With `grouped`, batches hold rows of like length.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, grouped: bool) -> None:
        self._lengths = list(lengths)
        self._batch_size = batch_size
        self._seed = seed
        self._grouped = grouped
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        if self._grouped:
            order = get_length_grouped_indices(self._lengths, self._batch_size, generator=generator)
        else:
            order = torch.randperm(len(self._lengths), generator=generator).tolist()
        return iter(order)


class Collator:
    """Pads rows to the longest of their batch, on the right; labels are the answers alone.

    `label_positions` are the positions, over all rows, whose logits predict a label. `tokens`
    counts the tokens that went by, padding left out.
    """

    def __init__(self) -> None:
        self.tokens = 0

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Give tensors of shape (rows, longest)."""
        longest = max(row["length"] for row in rows)
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        labels = torch.full_like(ids, IGNORED)
        for place, row in enumerate(rows):
            length, start = row["length"], row["prompt_length"]
            ids[place, :length] = torch.tensor(row["input_ids"])
            mask[place, :length] = 1
            labels[place, start:length] = ids[place, start:length]
            self.tokens += length
        positions = (labels[:, 1:] != IGNORED).any(dim=0).nonzero().flatten()
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "labels": labels,
            "label_positions": positions,
        }


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
        reader: "LlamaQloraBackend",
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
                batch = collate([_as_row(e) for e in encoded[start:][: self.args.train_batch_size]])
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


def _as_row(encoding: Encoding) -> dict[str, Any]:
    ids = [*encoding.prompt_ids, *encoding.target_ids]
    return {"input_ids": ids, "prompt_length": len(encoding.prompt_ids), "length": len(ids)}


def training_arguments(config: RunConfig, job: TrainJob) -> TrainingArguments:
    """Translate our options into transformers' TrainingArguments."""
    options = config.training
    assert isinstance(config.backend, LlamaQloraOptions)
    dtype = compute_dtype(config.backend)
    cuda = torch.cuda.is_available()
    evaluated = evaluates(config, job)
    return TrainingArguments(
        output_dir=str(job.folder / "checkpoints"),
        num_train_epochs=options.num_train_epochs,
        max_steps=options.max_steps,
        learning_rate=options.learning_rate,
        lr_scheduler_type=options.lr_scheduler_type,
        warmup_steps=options.warmup_steps,
        weight_decay=options.weight_decay,
        max_grad_norm=options.max_grad_norm,
        per_device_train_batch_size=options.per_device_train_batch_size,
        gradient_accumulation_steps=options.gradient_accumulation_steps,
        activation_checkpointing=checkpoints_gradients(options),
        activation_checkpointing_kwargs={"use_reentrant": False},
        optim=optimizer_name(options),
        neftune_noise_alpha=options.neftune_noise_alpha,
        logging_steps=options.logging_steps,
        eval_strategy=options.eval_strategy if evaluated else "no",
        eval_steps=options.eval_steps,
        save_strategy=options.eval_strategy if options.eval_strategy != "no" else "epoch",
        save_steps=options.eval_steps,
        save_total_limit=options.save_total_limit,
        load_best_model_at_end=evaluated,
        metric_for_best_model=f"eval_{options.metric_for_best_model}" if evaluated else None,
        greater_is_better=options.metric_for_best_model != "loss",
        bf16=dtype == torch.bfloat16,
        fp16=dtype == torch.float16 and cuda,
        use_cpu=not cuda,
        use_liger_kernel=cuda and find_spec("liger_kernel") is not None,
        seed=config.seed,
        report_to=options.report_to or "none",
        label_names=["labels"],
        remove_unused_columns=False,
        dataloader_pin_memory=cuda,
        disable_tqdm=True,
        logging_strategy="steps",
        logging_nan_inf_filter=False,
        restore_callback_states_from_checkpoint=True,  # the patience that is left
    )


def evaluates(config: RunConfig, job: TrainJob) -> bool:
    """Whether dev data are evaluated during the training, so that there is a best checkpoint."""
    return bool(job.dev) and config.training.eval_strategy != "no"


def checkpoints_gradients(options: TrainingOptions) -> bool:
    """Whether activations are computed again in the backward pass instead of kept."""
    if options.gradient_checkpointing == "auto":
        return torch.cuda.is_available()
    return options.gradient_checkpointing == "on"


def optimizer_name(options: TrainingOptions) -> str:
    """The optimizer by transformers' name; paged 8-bit AdamW on CUDA (Dettmers et al. 2023)."""
    if options.optim != "auto":
        return options.optim
    return "paged_adamw_8bit" if torch.cuda.is_available() else "adamw_torch"


def estimate_training(
    model_config: Any, options: LlamaQloraOptions, training: TrainingOptions
) -> TrainEstimate:
    """Count parameters on the shapes alone and estimate the memory of a training.

    Weights: 4 bits and 0.127 bits of double-quantised constants for each weight of a linear layer
    but the last (Dettmers et al. 2023), 16 bits for the rest. Adapter: weight, gradient and two
    moments in 32 bits, or 8-bit moments. Activations: with checkpointing one hidden state for each
    layer and one layer's own (about 34 values for each hidden one, Korthikanti et al. 2022),
    without it that for every layer.
    """
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(model_config)
    head = model.get_output_embeddings()
    linear = sum(
        module.weight.numel()
        for module in model.modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    )
    total = sum(parameter.numel() for parameter in model.parameters())
    with torch.device("meta"), quiet():
        adapted = add_adapter(model, options.lora, "")
    trainable = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    bits = 16.0 if options.quantization == "none" else 4.0 + 0.127
    moments = 2 if "8bit" in optimizer_name(training) else 8
    weights = linear * bits / 8 + (total - linear) * 2 + trainable * (8 + moments)
    tokens = training.per_device_train_batch_size * options.max_seq_length
    hidden = tokens * model_config.hidden_size * 2
    layers = model_config.num_hidden_layers
    activations = hidden * (layers + 17 if checkpoints_gradients(training) else layers * 17)
    return TrainEstimate(trainable, total + trainable, int(weights + activations))
