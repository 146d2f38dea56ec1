"""What the benchmarks share: interleaved arms, medians of ratios, a table, and the data."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from statistics import median

from aqa.config import LlamaQloraOptions, RunConfig, build_config, find_config, read_config
from aqa.data import Source, read_examples
from aqa.records import Example
from aqa.runs import inherited_config

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("AQA_SHARED_DATA") or ROOT.parent / "shared" / "data")
SQUAD = SHARED / "squad2-cs224n" / "dev-v2.0.json"

# What one arm took in each round, in seconds or any other unit of cost.
Costs = dict[str, list[float]]


def interleave(arms: Mapping[str, Callable[[], float]], rounds: int) -> Costs:
    """Run every arm once a round, in turned order each second round (A B, B A, A B, ...).

    On a machine that others use, neighbours in time are slowed alike; so trust `ratio`.
    """
    costs: Costs = {name: [] for name in arms}
    for number in range(rounds):
        order = list(arms) if number % 2 == 0 else list(arms)[::-1]
        for name in order:
            costs[name].append(arms[name]())
            print(f"  round {number + 1}, {name}: {costs[name][-1]:.3f}", file=sys.stderr)
    return costs


def ratio(costs: Costs, dividend: str, divisor: str) -> float:
    """The median over the rounds of one arm's cost divided by another's in the same round."""
    pairs = zip(costs[dividend], costs[divisor], strict=True)
    return median(one / other for one, other in pairs)


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


def squad_examples(count: int) -> list[Example]:
    """The first answerable question of each of the first `count` SQuAD paragraphs that have one."""
    if not SQUAD.is_file():
        sys.exit(f"{SQUAD}: no such file; name the folder of the data sets in AQA_SHARED_DATA")
    by_passage: dict[str, Example] = {}
    for example in read_examples(Source(str(SQUAD))):
        if example.answers:
            by_passage.setdefault(example.passages[0].text, example)
    return list(islice(by_passage.values(), count))


def smollm2_config(**layers: dict[str, object]) -> RunConfig:
    """The shipped config llama_smollm2, with sections laid over it."""
    shipped = read_config(find_config("llama_smollm2"))
    return build_config(LlamaQloraOptions, [shipped, layers])


def run_config(folder: Path, **layers: dict[str, object]) -> RunConfig:
    """The config of a trained run, pointing at its adapter, with sections laid over it."""
    if not (folder / "adapter").is_dir():
        sys.exit(
            f"{folder}: no trained run; make one with `aqa train llama --config llama_smollm2`"
            " (it writes runs/llama_smollm2), or name another with --run FOLDER"
        )
    model: dict[str, dict[str, object]] = {"backend": {"model": str(folder)}}
    return build_config(LlamaQloraOptions, [inherited_config(folder), model, layers])
