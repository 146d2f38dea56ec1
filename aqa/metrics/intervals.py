"""How far a mean score could be off: bootstrap intervals over examples (Efron 1979)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

RESAMPLES = 10_000
SEED = 12345
_GROUPS = 256  # of values, where many examples have many of them
_CELLS = 200_000  # of a block of resamples: what the cache of a processor holds


def interval_signature(seed: int = SEED) -> str:
    """Say how intervals were made."""
    return f"bs:{RESAMPLES}|seed:{seed}"


def bootstrap_interval(values: Sequence[float], seed: int = SEED) -> tuple[float, float]:
    """Give the 95 % percentile interval of the mean of `values` over resamples of them."""
    return bootstrap_intervals([values], seed)[0]


def bootstrap_intervals(
    columns: Sequence[Sequence[float]], seed: int = SEED
) -> list[tuple[float, float]]:
    """Give the interval of each column's mean; columns are of equal length."""
    import numpy as np

    if not columns:
        return []
    drawn = resampled_means(np.column_stack(columns).astype(np.float64, copy=False), seed)
    lows, highs = np.percentile(drawn, [2.5, 97.5], axis=0)
    return list(zip(lows.tolist(), highs.tolist(), strict=True))


def resampled_means(values: "Matrix", seed: int = SEED) -> "Matrix":
    """Give the means of each column (one a score) over resamples of its rows (the examples).

    What a column comes to depends on itself alone, so a score's interval is the same whatever is
    scored beside it. Few distinct values are drawn as how often a resample holds each of them,
    which is one multinomial draw and the same distribution as drawing one by one. Columns of many
    share what is drawn. Beyond 25,600 examples drawing takes too long: then close values are
    taken together at their mean, in 256 equal steps. That leaves the mean alone and hides at most
    (range / 256)² / 12 of the variance, far below the noise of 10,000 resamples.
    """
    import numpy as np

    examples, columns = values.shape
    means = np.empty((RESAMPLES, columns))
    few = max(8, examples // 100)  # where the two ways take about as long
    shared = []
    for place in range(columns):
        points, counts = np.unique(values[:, place], return_counts=True)
        shares = counts / examples
        if len(points) > min(few, _GROUPS):
            if few <= _GROUPS:
                shared.append(place)
                continue
            points, shares = _grouped(points, shares)
        drawn = np.random.default_rng(seed).multinomial(examples, shares, RESAMPLES)
        means[:, place] = drawn @ points / examples
    if shared:
        means[:, shared] = _drawn_one_by_one(values[:, shared], seed)
    return means


def _grouped(points: "Matrix", shares: "Matrix") -> tuple["Matrix", "Matrix"]:
    """Take values in equal steps together: give their means, and their shares of the examples."""
    import numpy as np

    steps = np.linspace(points[0], points[-1], _GROUPS + 1)[1:-1]
    group = np.digitize(points, steps)
    sums = np.bincount(group, weights=shares * points)
    sizes = np.bincount(group, weights=shares).astype(np.float64, copy=False)
    return sums[sizes > 0] / sizes[sizes > 0], sizes[sizes > 0]


def _drawn_one_by_one(values: "Matrix", seed: int) -> "Matrix":
    """Draw examples; a resample is a row of counts, how often it holds each example.

    A block of resamples meets all columns in one multiplication.
    """
    import numpy as np

    examples, columns = values.shape
    generator = np.random.default_rng(seed)
    block = max(1, min(RESAMPLES, _CELLS // examples))
    counts = np.empty((block, examples))
    means = np.empty((RESAMPLES, columns))
    for start in range(0, RESAMPLES, block):
        size = min(block, RESAMPLES - start)
        drawn = generator.integers(0, examples, (size, examples))
        for place in range(size):
            counts[place] = np.bincount(drawn[place], minlength=examples)
        means[start : start + size] = counts[:size] @ values / examples
    return means
