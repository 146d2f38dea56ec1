"""Speed of training a T5 of flan-t5-small's shape: aqa and three uses of transformers' Trainer.

All arms train on the same rows, alternately of SQuAD and KorQuAD, cut to 384 tokens by aqa, from
the same random weights, for one epoch with the same hyper-parameters. Loading is not timed.

aqa        the trainer of `aqa train t5` with every default
usual      float32, padding="max_length" to 384 as in run_seq2seq_qa.py, file order
dynamic    float32, padded to the longest of the batch, file order
best       bf16, padded to the longest, grouped by length: the best that users can configure

Run: python tests/benchmarks/t5_training_speed.py [--rows 64] [--rounds 2]
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from arms import (
    SEED,
    Parser,
    interleave,
    plain_arguments,
    print_table,
    print_verdict,
    ratio,
    typical,
)
from t5_shape import make_model, make_prompts, make_reader, questions
from transformers import AutoModelForSeq2SeqLM, PrinterCallback, Trainer

from aqa.backends.base import TrainJob
from aqa.backends.local.devices import compute_dtype
from aqa.backends.local.training_arguments import training_arguments
from aqa.backends.local.training_rows import read_rows, write_rows
from aqa.backends.t5.models import load_model
from aqa.backends.t5.training import Seq2SeqCollator, Seq2SeqTrainer
from aqa.library_output import quiet

LONGEST = 384
BATCH = 8
IGNORED = -100
TARGETS = {"usual": 3.0, "dynamic": 1.5, "best": 0.97}

Row = Mapping[str, Any]


class Arms:
    """The arms, with the model and the rows in one folder."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder
        examples = questions(count)
        self._model = make_model(folder / "shape", examples)
        training: dict[str, object] = {
            "per_device_train_batch_size": BATCH,
            "num_train_epochs": 1,
            "learning_rate": 1e-3,
            "warmup_steps": 0,
            "eval_strategy": "no",
            "save_total_limit": 1,
        }
        self._reader = make_reader(
            self._model, backend={"max_seq_length": LONGEST}, training=training
        )
        prompts = make_prompts(self._reader, examples, with_target=True)
        path = folder / "rows.arrow"
        write_rows(((prompt, self._reader.encode(prompt)) for prompt in prompts), path)
        self.rows = read_rows([path])
        self.losses: dict[str, list[float]] = {}
        self.ready: dict[str, Trainer] = {}

    def load(self, name: str) -> None:
        """Load the weights and make an arm's trainer, which is not timed."""
        torch.manual_seed(SEED)
        with quiet():
            if name == "aqa":
                self._reader.model = load_model(
                    self._reader.files, self._reader.options, training=True
                )
                job = TrainJob(list, [], lambda _: {}, self._folder / "run", resume=False)
                arguments = training_arguments(self._reader.config, self._reader.options, job)
                self.ready[name] = Seq2SeqTrainer(
                    self._reader, job, lambda _: None, arguments, self.rows
                )
                self.ready[name].args.set_save(strategy="no")
                return
            options, best = self._reader.config.training, name == "best"
            bf16 = best and compute_dtype(self._reader.options) == torch.bfloat16
            model = AutoModelForSeq2SeqLM.from_pretrained(self._model)
            longest = LONGEST if name == "usual" else None
            self.ready[name] = Trainer(
                model=model,
                args=plain_arguments(self._folder / "peer", options, bf16, grouped=best),
                data_collator=partial(collate, longest=longest),
                train_dataset=self.rows,
            )
            self.ready[name].remove_callback(PrinterCallback)

    def train(self, name: str) -> None:
        """Train one epoch."""
        with quiet():
            self.ready[name].train()
        history = self.ready.pop(name).state.log_history
        self.losses[name] = [step["loss"] for step in history if "loss" in step]


def collate(rows: Sequence[Row], longest: int | None) -> dict[str, torch.Tensor]:
    """The usual collator: ids, mask and labels, padded to `longest` or the batch's longest."""
    batch = Seq2SeqCollator()(rows)
    del batch["part_counts"]
    if longest is not None:
        for name in ("input_ids", "attention_mask"):
            padding = longest - batch[name].shape[1]
            batch[name] = torch.nn.functional.pad(batch[name], (0, padding))
    return batch


def main() -> None:
    """Print a table and the verdicts."""
    parser = Parser(__doc__, rows=(64, 2), rounds=(2, 1), threads=(None, None))
    parser.add_argument("--arms", nargs="+", default=["aqa", "usual", "dynamic", "best"])
    arguments = parser.parse_args()
    names = arguments.arms
    with tempfile.TemporaryDirectory() as folder:
        arms = Arms(Path(folder), arguments.rows)

        def work(name: str) -> Callable[[], None]:
            return lambda: arms.train(name)

        costs = interleave(
            {name: work(name) for name in names}, arguments.rounds, prepare=arms.load
        )
        lengths = arms.rows["length"][:]
    print(
        f"{arguments.rows} rows of {min(lengths)} to {max(lengths)} tokens,"
        f" batches of {BATCH}, {torch.get_num_threads()} threads, {arguments.rounds} rounds"
    )
    rows = [["arm", "seconds", "examples/s", "times aqa's", "mean loss", "last loss"]]
    for name in names:
        wall = typical(costs[name]).wall
        losses = arms.losses[name]
        rows.append(
            [
                name,
                f"{wall:.1f}",
                f"{arguments.rows / wall:.2f}",
                f"{ratio(costs, name, 'aqa'):.2f}",
                f"{fmean(losses):.3f}",
                f"{losses[-1]:.3f}",
            ]
        )
    print_table(rows)
    for name, target in TARGETS.items():
        if name not in names:
            continue
        print_verdict(f"{name} / aqa, seconds", ratio(costs, name, "aqa"), target)


if __name__ == "__main__":
    main()
