"""How far a mean score could be off: bootstrap intervals over examples."""

from collections.abc import Sequence

RESAMPLES = 10_000
SEED = 12345
SIGNATURE = f"bs:{RESAMPLES}|seed:{SEED}"
_GROUPS = 512


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float]:
    """Give the 95 % percentile interval of the mean of `values` over resamples of them.

    A resample is drawn as how often it holds each distinct value (a multinomial draw, the same
    distribution as drawing one by one). Beyond 512 distinct values, close ones are taken together
    at their mean, in equal steps: that leaves the mean alone and hides at most (range / 512)² / 12
    of the variance, far below the noise of 10,000 resamples.
    """
    import numpy as np

    scores = np.asarray(values, dtype=np.float64)
    points, counts = np.unique(scores, return_counts=True)
    if len(points) > _GROUPS:
        steps = np.linspace(points[0], points[-1], _GROUPS + 1)[1:-1]
        group = np.digitize(scores, steps)
        counts = np.bincount(group)
        sums = np.bincount(group, weights=scores)
        points, counts = sums[counts > 0] / counts[counts > 0], counts[counts > 0]
    draws = np.random.default_rng(SEED).multinomial(
        len(scores), counts / len(scores), size=RESAMPLES
    )
    low, high = np.percentile(draws @ points / len(scores), [2.5, 97.5])
    return float(low), float(high)
