"""10,000 paired resamples of 3 systems x 10,000 examples x 4 metrics: aqa against SciPy.

SciPy's `stats.bootstrap` gets the differences of each pair and metric, vectorised, in batches of
100 resamples to bound its memory (its default would need 800 MB for each difference).

Run: python tests/benchmarks/bootstrap_speed.py
"""

import time

import numpy as np
from scipy import stats

from aqa.comparison import compare

EXAMPLES, SYSTEMS, METRICS = 10_000, 3, 4


def main() -> None:
    generator = np.random.default_rng(1)
    values = {
        f"system {system}": {
            f"metric {metric}": generator.random(EXAMPLES) * (100 - system)
            for metric in range(METRICS)
        }
        for system in range(SYSTEMS)
    }
    compare({name: {key: own[:50] for key, own in each.items()} for name, each in values.items()})
    started = time.perf_counter()
    found = compare(values)
    ours = time.perf_counter() - started

    started = time.perf_counter()
    worst = 0.0
    for one in found:
        difference = np.subtract(values[one.b][one.metric], values[one.a][one.metric])
        theirs = stats.bootstrap(
            (difference,),
            np.mean,
            n_resamples=10_000,
            method="percentile",
            batch=100,
            rng=generator,
        ).confidence_interval
        worst = max(worst, abs(theirs.low - one.low), abs(theirs.high - one.high))
    scipy_seconds = time.perf_counter() - started
    print(f"aqa: {ours:.2f} s, with tests; SciPy: {scipy_seconds:.2f} s for intervals alone;")
    print(f"{scipy_seconds / ours:.1f} times as fast; the ends differ by {worst:.3f} at most")


if __name__ == "__main__":
    main()
