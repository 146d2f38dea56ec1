"""Which true differences so many clusters of examples would show in four of five tests."""

from functools import lru_cache
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

from aqa.metrics.statistics.clusters import Matrix
from aqa.metrics.statistics.sign_flips import least_p, root

POWER = 0.8
LEAST = 6  # clusters: fewer show no difference at a level of 5 %
_MOST_TAILS = 0.4  # heavier ones are of two clusters or one, and tell nothing of other samples


def detectable_difference(
    error: float, clusters: int, level: float = 0.05, tails: float = 1.0
) -> float | None:
    """Give the true difference that a test at that level finds in four of five samples like this.

    By the noncentral t of a standard error over so many clusters: Cohen (1988), "Statistical
    Power Analysis", chapter 2; Miller (2024), "Adding Error Bars to Evals", section 5. The test
    turns signs; `tails` is the sum of the fourth powers of what it turns, by the square of that of
    the squares: the more a few clusters have of all, the sooner it finds, by the expansion of
    Cornish & Fisher (1938), Revue de l'Institut International de Statistique 5(4). None where so
    few clusters can't show any difference, however large.
    """
    from scipy import special

    if least_p(clusters) > level:
        return None
    freedom = clusters - 1
    normal = float(special.ndtri(1 - level / 2))
    if tails > _MOST_TAILS:
        tails = 3 / (clusters + 2)  # of normal ones
    far = normal - tails * (normal**3 - 3 * normal) / 12
    limit = far * sqrt(freedom / (clusters - far**2))
    away = float(special.nctdtrinc(min(freedom, 1e6), 1 - POWER, limit))
    return error * away


def share_of_few(sums: Matrix) -> Matrix:
    """Give the `tails` of each column, which are (clusters, k); 1 where all are 0."""
    squares = (sums**2).sum(axis=0)
    found: Matrix = np.ones_like(squares)
    np.divide((sums**4).sum(axis=0), squares**2, out=found, where=squares > 0)
    return found


def as_differing(detected: float, differing: float, seen: float, examples: int) -> float:
    """Correct the points that a test of right and wrong answers detects, by how these vary.

    Of examples of which the share `differing` differs, at `seen` points of difference, the variance
    is known; at other points it is another one, and no fewer can differ than the difference. If it
    is zero, it is taken as if one example differed.
    """
    variance = max(differing - (seen / 100) ** 2, 1 / examples)
    ratio = (detected / 100) ** 2 / variance
    all_differing = ratio / (1 + ratio)  # what is detected where all that differ do so in favour
    return 100 * sqrt(all_differing * max(differing, all_differing))


@lru_cache(maxsize=4096)
def detectable_share(examples: int, differing: int, level: float = 0.05) -> float | None:
    """Give the difference of shares, 0..1, that McNemar's exact test finds in four of five samples.

    So many of the independent examples differ as `differing` tells; where the difference is larger
    than that, all differ in its favour. Exact, over the binomial counts of those that differ and of
    wins among them. None where so few examples can't show any difference.
    """
    if least_p(examples) > level:
        return None
    share = differing / examples
    return root(lambda size: _power(examples, max(share, size), size, level) - POWER)


def needed_clusters(
    clusters: int, detected: float, wanted: float, differing: float | None = None
) -> int:
    """Give the clusters that detect `wanted` points where so many detect `detected` points.

    A standard error falls with the root of their number. Of right and wrong answers, of which the
    share `differing` differs, no fewer can differ than the difference.
    """
    found, sought = detected / 100, wanted / 100
    times = (found / sought) ** 2
    if differing is not None:  # variances, each by the difference that is detected
        times *= (max(differing, sought) - sought**2) / (max(differing, found) - found**2)
    return max(LEAST, ceil(times * clusters))


def _power(examples: int, differing: float, difference: float, level: float) -> float:
    """Give the power of McNemar's exact test; `differing` and `difference` are shares."""
    from scipy import special

    spread = 8 * np.sqrt(examples * differing * (1 - differing)) + 8
    first = max(0, int(examples * differing - spread))
    last = min(examples, int(examples * differing + spread))
    counts = np.arange(first, last + 1)
    ways = special.gammaln(examples + 1) - special.gammaln(counts + 1)
    ways -= special.gammaln(examples - counts + 1)
    logs = special.xlogy(counts, differing) + special.xlog1py(examples - counts, -differing)
    chances = np.exp(ways + logs)
    most_losses = _most_losses(counts, level)
    losing = (1 - difference / differing) / 2
    found = np.where(most_losses >= 0, special.bdtr(np.maximum(most_losses, 0), counts, losing), 0)
    return float((chances * found).sum())


def _most_losses(counts: NDArray[np.int64], level: float) -> NDArray[np.int64]:
    """Give the most losses among so many differing examples by which the test still finds; -1."""
    from scipy import special

    half = level / 2
    # The inverse is of a continuous function, and may be off by one; it has none where none do.
    near = np.nan_to_num(np.floor(special.bdtrik(half, counts, 0.5))) + np.array([[-1], [0], [1]])
    is_found = (near >= 0) & (special.bdtr(near.clip(0), counts, 0.5) <= half)
    found: NDArray[np.int64] = np.where(is_found, near, -1).max(axis=0).astype(np.int64)
    return found
