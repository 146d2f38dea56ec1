"""What the benchmarks share: interleaved arms, medians of ratios, a table, and the data."""

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
    """The options of a benchmark: a size each, as `name=(usual, tiny)`, and those that are added.

    With --quick, which all have, each size is the tiny one. `threads` are those of PyTorch.
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
        """Read the command line; set PyTorch's threads."""
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

    `cpu` adds up the cores, this process and its children. It says what a machine would need that
    nobody else uses, as long as no thread waits for another in a loop: take one thread for that.
    """

    wall: float
    cpu: float


Costs = dict[str, list[Cost]]


def interleave(
    arms: Mapping[str, Callable[[], object]],
    rounds: int,
    prepare: Callable[[str], object] = lambda name: None,
) -> Costs:
    """Run every arm once a round, the order turned in each second one (A B, B A, A B, ...).

    On a machine that others use, neighbours in time are slowed alike; so trust `ratio`. What
    `prepare` does for an arm before each of its rounds is not timed.
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
    """Do some work and give its cost."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    work()
    return Cost(time.perf_counter() - wall, cpu_seconds() - cpu)


def cpu_seconds() -> float:
    """What this process has used, its children that have ended, and the servers that it runs."""
    spent = sum(os.times()[:4])
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            spent += sum(process.cpu_times()[:4])
    return spent


def ratio(costs: Costs, dividend: str, divisor: str, kind: str = "wall") -> float:
    """The median over the rounds of one arm's cost divided by another's in the same round."""
    pairs = zip(costs[dividend], costs[divisor], strict=True)
    return median(getattr(one, kind) / getattr(other, kind) for one, other in pairs)


def typical(costs: Sequence[Cost]) -> Cost:
    """The medians of an arm's rounds."""
    return Cost(median(cost.wall for cost in costs), median(cost.cpu for cost in costs))


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of equal length; the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("  ".join(cells))


def print_verdict(name: str, value: float, target: float, at_most: bool = False) -> None:
    """Print the last line: what was measured, and whether it is within the target."""
    met = value <= target if at_most else value >= target
    bound = "at most" if at_most else "at least"
    print(f"{name}: {value:.2f} (target: {bound} {target:g}; {'met' if met else 'MISSED'})")


def squad_prompts(
    reader: LlamaQloraBackend, count: int, consecutive: bool = False, with_target: bool = False
) -> list[Prompt]:
    """Prompts of answerable SQuAD questions in file order, over whole paragraphs.

    Each paragraph gives its first one, or with `consecutive` all of them.
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
    """The shipped config llama_smollm2, with sections laid over it."""
    shipped = read_config(find_config("llama_smollm2"))
    return build_config(LlamaQloraOptions, [shipped, layers])


def save_tiny_llama(folder: Path) -> Path:
    """A model of two small layers for `--quick`, with its tokenizer."""
    sys.path.insert(0, str(ROOT / "tests" / "fakes"))
    from tiny_llama import make_tokenizer, save_tiny

    return save_tiny(folder, make_tokenizer())


def load_nf4(folder: str, dtype: "torch.dtype") -> Any:
    """A model in NF4 as transformers and bitsandbytes give it."""
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
    """Arguments for transformers' own Trainer that train as the options say, and nothing else."""
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
    """The config of a trained run, pointing at its adapter, with sections laid over it."""
    if not (folder / "adapter").is_dir():
        sys.exit(
            f"{folder}: no trained run; make one with `aqa train llama --config llama_smollm2`"
            " (it writes runs/llama_smollm2), or name another with --run FOLDER"
        )
    model: dict[str, dict[str, object]] = {"backend": {"model": str(folder)}}
    return build_config(LlamaQloraOptions, [inherited_config(folder), model, layers])
