"""Shared by the benchmarks: interleaved arms, medians of ratios, tables, and data."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import psutil

from aqa.backends.llama_qlora.backend import LlamaQloraBackend
from aqa.config.backend_options import LlamaQloraOptions
from aqa.config.load import build_config, find_config, read_config
from aqa.config.options import RunConfig, TrainingOptions
from aqa.data import Source, read_examples
from aqa.prompting.templates import load_template, prepare
from aqa.records import Example, Prompt
from aqa.runs.folder import inherited_config

if TYPE_CHECKING:
    import torch
    from transformers import TrainingArguments

SEED = 7
ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("AQA_SHARED_DATA") or ROOT.parent / "shared" / "data")
SQUAD = SHARED / "squad2-cs224n" / "dev-v2.0.json"


class Parser(argparse.ArgumentParser):
    """The options of a benchmark: sizes, given as `name=(usual, tiny)`, and any others added.

    --quick selects the tiny sizes. `threads` sets PyTorch's number of threads.
    """

    def __init__(self, description: str | None, **sizes: tuple[int | None, int | None]) -> None:
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        help_text = "Tiny sizes, to see that the script works: its figures mean nothing."
        self.add_argument("--quick", action="store_true", help=help_text)
        self._tiny = {name: tiny for name, (_, tiny) in sizes.items()}
        for name, (usual, _) in sizes.items():
            self.add_argument(f"--{name.replace('_', '-')}", type=int, default=usual)

    def parse_args(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the command line; set PyTorch's threads."""
        found = super().parse_args(*args, **kwargs)
        if found.quick:
            vars(found).update({name: tiny for name, tiny in self._tiny.items() if tiny})
        if getattr(found, "threads", None):
            import torch

            torch.set_num_threads(found.threads)
        return found


@dataclass(frozen=True, slots=True)
class Cost:
    """What one arm took in one round, in seconds.

    `cpu` is the sum over all cores, of this process and its children. It predicts the time on an
    idle machine unless threads spin while waiting for each other: use one thread then.
    """

    wall: float
    cpu: float


Costs = dict[str, list[Cost]]


def interleave(
    arms: Mapping[str, Callable[[], object]],
    rounds: int,
    prepare: Callable[[str], object] = lambda name: None,
) -> Costs:
    """Run every arm once per round, reversing the order in every second round (A B, B A, ...).

    On a shared machine, arms that run close together are slowed alike, so rely on `ratio`. What
    `prepare` does before each of an arm's rounds is not timed.
    """
    costs: Costs = {name: [] for name in arms}
    for number in range(rounds):
        for name in list(arms) if number % 2 == 0 else list(arms)[::-1]:
            prepare(name)
            cost = measure(arms[name])
            costs[name].append(cost)
            told = f"{cost.wall:.2f} s, {cost.cpu:.2f} s of CPU"
            print(f"  round {number + 1}, {name}: {told}", file=sys.stderr)
    return costs


def measure(work: Callable[[], object]) -> Cost:
    """Do some work and return its cost."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    work()
    return Cost(time.perf_counter() - wall, cpu_seconds() - cpu)


def cpu_seconds() -> float:
    """CPU time of this process, its finished children, and its running servers."""
    spent = sum(os.times()[:4])
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            spent += sum(process.cpu_times()[:4])
    return spent


def ratio(costs: Costs, dividend: str, divisor: str, kind: str = "wall") -> float:
    """The median over rounds of one arm's cost divided by another's in the same round."""
    pairs = zip(costs[dividend], costs[divisor], strict=True)
    return median(getattr(one, kind) / getattr(other, kind) for one, other in pairs)


def typical(costs: Sequence[Cost]) -> Cost:
    """The medians over an arm's rounds."""
    return Cost(median(cost.wall for cost in costs), median(cost.cpu for cost in costs))


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of equal length, aligning the first column left and the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  ".join(cells))


def print_verdict(name: str, value: float, target: float, at_most: bool = False) -> None:
    """Print the last line: the measured value, and whether it meets the target."""
    met = value <= target if at_most else value >= target
    bound = "at most" if at_most else "at least"
    print(f"{name}: {value:.2f} (target: {bound} {target:g}; {'met' if met else 'MISSED'})")


def squad_prompts(
    reader: LlamaQloraBackend, count: int, consecutive: bool = False, with_target: bool = False
) -> list[Prompt]:
    """Make prompts of answerable SQuAD questions in file order, with whole paragraphs.

    Uses the first question of each paragraph, or with `consecutive` all of them.
    """
    if not SQUAD.is_file():
        sys.exit(f"{SQUAD}: no such file; name the folder of the data sets in AQA_SHARED_DATA")
    chosen: dict[str, Example] = {}
    for example in read_examples(Source(str(SQUAD))):
        if example.answers:
            chosen.setdefault(example.id if consecutive else example.passages[0].text, example)
        if len(chosen) == count:
            break
    template = load_template(reader.config.prompt)
    return [
        prepare(example, index, template, reader.config.evidence, reader, with_target)
        for index, example in enumerate(chosen.values())
    ]


def smollm2_config(**layers: dict[str, object]) -> RunConfig:
    """The built-in config llama_smollm2, with sections overridden."""
    shipped = read_config(find_config("llama_smollm2"))
    return build_config(LlamaQloraOptions, [shipped, layers])


def save_tiny_llama(folder: Path) -> Path:
    """Save a model of two small layers for `--quick`, with its tokenizer."""
    sys.path.insert(0, str(ROOT / "tests" / "fakes"))
    from tiny_llama import make_tokenizer, save_tiny

    return save_tiny(folder, make_tokenizer())


def load_nf4(folder: str, dtype: "torch.dtype") -> Any:
    """Load a model in NF4 as transformers and bitsandbytes do by default."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    return AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=dtype,
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        ),
    )


def plain_arguments(
    folder: Path, options: TrainingOptions, bf16: bool, steps: int = -1, grouped: bool = False
) -> "TrainingArguments":
    """Arguments for transformers' own Trainer that match the options, and nothing else."""
    import torch
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=options.num_train_epochs,
        max_steps=steps,
        learning_rate=options.learning_rate,
        lr_scheduler_type=options.lr_scheduler_type,
        warmup_steps=options.warmup_steps,
        weight_decay=options.weight_decay,
        max_grad_norm=options.max_grad_norm,
        per_device_train_batch_size=options.per_device_train_batch_size,
        train_sampling_strategy="group_by_length" if grouped else "sequential",
        bf16=bf16,
        use_cpu=not torch.cuda.is_available(),
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        disable_tqdm=True,
        seed=SEED,
    )


def run_config(folder: Path, **layers: dict[str, object]) -> RunConfig:
    """The config of a trained run, with its adapter, and sections overridden."""
    if not (folder / "adapter").is_dir():
        sys.exit(
            f"{folder}: no trained run; make one with `aqa train llama --config llama_smollm2`"
            " (it writes runs/llama_smollm2), or name another with --run FOLDER"
        )
    model: dict[str, dict[str, object]] = {"backend": {"model": str(folder)}}
    return build_config(LlamaQloraOptions, [inherited_config(folder), model, layers])
