"""Speed of intervals for 3 systems x 10,000 examples x 4 metrics: aqa and SciPy's bootstrap.

Each score gets an interval, and so does the difference of each pair of systems (in aqa together
with tests by 10,000 sign flips). SciPy's `stats.bootstrap` gets the same values, vectorised, in
batches of 100 resamples to limit memory (by default it would need 800 MB for each). Rounds are
interleaved; CPU time on one thread is measured, since a second, waiting thread would count as work.

Run: python tests/benchmarks/bootstrap_speed.py [--rounds 3] [--examples 10000]
"""

import os
import time
from statistics import median

os.environ["OMP_NUM_THREADS"] = "1"  # read when numpy is imported

import numpy as np
from arms import Parser
from numpy.typing import NDArray
from scipy import stats

from aqa.evaluation.comparison import compare
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.intervals import mean_intervals

SYSTEMS, METRICS = 3, 4
TARGET = 10
Column = NDArray[np.float64]


def scipy_intervals(columns: list[Column]) -> list[tuple[float, float]]:
    return [
        tuple(
            stats.bootstrap(
                (column,), np.mean, n_resamples=10_000, method="percentile", batch=100, rng=2
            ).confidence_interval
        )
        for column in columns
    ]


def main() -> None:
    asked = Parser(__doc__, examples=(10_000, 100), rounds=(3, 1)).parse_args()
    measure(asked.examples, asked.rounds)


def measure(examples: int, rounds: int) -> None:
    generator = np.random.default_rng(1)
    values = {
        f"system {system}": {
            f"metric {metric}": generator.random(examples) * (100 - system)
            for metric in range(METRICS)
        }
        for system in range(SYSTEMS)
    }
    scores = [column for own in values.values() for column in own.values()]
    clusters = Clusters.apart(examples)
    ratios = []
    for _ in range(rounds):
        started = time.process_time()
        means = mean_intervals(np.column_stack(scores), clusters).intervals()
        alone = time.process_time() - started
        started = time.process_time()
        compared = compare(values, clusters)
        ours = alone + time.process_time() - started
        differences = [
            np.subtract(values[one.b][one.metric], values[one.a][one.metric]) for one in compared
        ]
        started = time.process_time()
        theirs = scipy_intervals(scores)
        scipy_alone = time.process_time() - started
        theirs += scipy_intervals(differences)
        scipy_all = time.process_time() - started
        found = [interval[:2] for interval in means]
        found += [(one.low, one.high) for one in compared]
        worst = np.abs(np.subtract(theirs, found))
        ratios.append((scipy_alone / alone, scipy_all / ours))
        print(
            f"scores: aqa {alone:.2f} s, SciPy {scipy_alone:.2f} s; with differences: aqa"
            f" {ours:.2f} s, SciPy {scipy_all:.2f} s; the ends differ by {worst.max():.3f} at most"
        )
    for name, ratio in zip(("scores", "all"), map(median, zip(*ratios, strict=True)), strict=True):
        met = "met" if ratio >= TARGET else "MISSED"
        print(f"{name}: {ratio:.1f} times as fast (target: {TARGET}; {met})")


if __name__ == "__main__":
    main()
