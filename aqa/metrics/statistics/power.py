"""Power analysis: which true differences are detected in four of five tests."""

from bisect import bisect_left
from functools import lru_cache
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

from aqa.metrics.statistics.clusters import Matrix
from aqa.metrics.statistics.sign_flips import least_p, root

POWER = 0.8
LEAST = 6  # clusters; fewer show no difference at a level of 5 %
_NORMAL = 1000  # examples, from which on plans are as exact without McNemar's test
_WIDEST = 3  # above the squared ratio of `_standard_errors` of the fewest clusters and of many
_MOST_TAILS = 0.4  # more means that one or two clusters dominate, which says nothing in general


def detectable_difference(
    error: float, clusters: int, level: float = 0.05, tails: float = 1.0, skew: float = 0.0
) -> float | None:
    """The true difference that a test at that level finds in four of five such samples.

    By the noncentral t, with the standard error over so many clusters: Cohen (1988), "Statistical
    Power Analysis", chapter 2; Miller (2024), "Adding Error Bars to Evals", section 5. The test
    flips signs; `tails` is the sum of the fourth powers of the flipped sums, divided by the square
    of the sum of their squares: the more a few clusters dominate, the sooner it rejects, by the
    expansion of Cornish & Fisher (1938), Revue de l'Institut International de Statistique 5(4).
    `skew` is `skewness` in the difference's direction: where gains are skewed, samples with large
    gains have large standard errors, so statistics vary less and more of them are found; to first
    order as in Srivastava (1958), "Effect of Non-Normality on the Power Function of t-Test",
    Biometrika 45. None if there are too few clusters to show any difference.
    """
    from scipy import special

    if least_p(clusters) > level:
        return None
    freedom = clusters - 1
    normal = float(special.ndtri(1 - level / 2))
    if tails > _MOST_TAILS:
        tails, skew = 3 / (clusters + 2), 0.0  # as for normal sums
    far = normal - tails * (normal**3 - 3 * normal) / 12
    limit = far * sqrt(freedom / (clusters - far**2))
    away = float(special.nctdtrinc(min(freedom, 1e6), 1 - POWER, limit))
    # At x errors from 0, the statistic's mean falls by skew / 2, and its variance by x * skew:
    # this solves x - skew / 2 - below * sqrt(1 - x * skew) = away - below.
    below = float(special.ndtri(POWER))
    center = away - below + skew / 2
    variance = max(0.0, 1 - center * skew + (below * skew / 2) ** 2)
    return error * (center - below**2 * skew / 2 + below * sqrt(variance))


def share_of_few(sums: Matrix) -> Matrix:
    """Return the `tails` of each column of (clusters, k); 1 if all sums are 0."""
    squares = (sums**2).sum(axis=0)
    tails: Matrix = np.ones_like(squares)
    np.divide((sums**4).sum(axis=0), squares**2, out=tails, where=squares > 0)
    return tails


def skewness(residuals: Matrix) -> Matrix:
    """Return the skewness of the sum of each column of (clusters, k); 0 if all are 0.

    Samples show too little of it, so it is adjusted: G1 of Joanes & Gill (1998), "Comparing
    Measures of Sample Skewness and Kurtosis", The Statistician 47.
    """
    squares, clusters = (residuals**2).sum(axis=0), len(residuals)
    skews: Matrix = np.zeros_like(squares)
    if clusters > 2:
        adjusted = sqrt(clusters * (clusters - 1)) / (clusters - 2)
        np.divide(adjusted * (residuals**3).sum(axis=0), squares**1.5, out=skews, where=squares > 0)
    return skews


def as_differing(detected: float, differing: float, observed: float, examples: int) -> float:
    """Adjust a difference detectable with right or wrong answers for their binomial variance.

    With the share `differing` of examples at a difference of `observed` points, the variance is
    known; it changes with the difference, and at least as many examples must differ. If it is
    zero, one example is assumed to differ.
    """
    variance = max(differing - (observed / 100) ** 2, 1 / examples)
    ratio = (detected / 100) ** 2 / variance
    all_differing = ratio / (1 + ratio)  # detectable if all differing examples favour one side
    return 100 * sqrt(all_differing * max(differing, all_differing))


@lru_cache(maxsize=4096)
def detectable_share(examples: int, differing: int, level: float = 0.05) -> float | None:
    """The difference of shares, 0..1, that McNemar's exact test finds in four of five samples.

    As many independent examples differ as `differing` says; beyond that difference, all that
    differ favour one side. Exact, over the binomial numbers of differing examples and of wins
    among them. None if there are too few examples to show any difference.
    """
    if least_p(examples) > level:
        return None
    share = differing / examples
    return root(lambda size: _power(examples, max(share, size), size, level) - POWER)


def needed_clusters(
    clusters: int, detected: float, wanted: float, differing: float | None = None
) -> int:
    """The clusters needed to detect `wanted` points if `clusters` detect `detected` points.

    A standard error falls with the square root of their number, and tests of fewer clusters detect
    fewer differences of as many standard errors. For right or wrong answers, of which the share
    `differing` differs, no fewer can differ than the difference.
    """
    old, new = detected / 100, wanted / 100
    times = (old / new) ** 2
    if differing is not None:  # the variance depends on the difference
        times *= (max(differing, new) - new**2) / (max(differing, old) - old**2)
    usual, most = _standard_errors(clusters), ceil(_WIDEST * times * clusters)

    def worth(count: int) -> float:
        # A few clusters don't shorten the plan for more: their spread may be small by chance.
        return count / max(1.0, _standard_errors(count) / usual) ** 2

    return LEAST + bisect_left(range(LEAST, most), times * clusters, key=worth)


def needed_examples(examples: int, detected: float, wanted: float, differing: float) -> int:
    """As `needed_clusters`, for right or wrong answers to independent questions.

    At least so many that McNemar's exact test finds the difference at a level of 5 %.
    """
    count = needed_clusters(examples, detected, wanted, differing)
    share = wanted / 100
    while count < _NORMAL and _power(count, max(differing, share), share, 0.05) < POWER:
        count += 1
    return count


@lru_cache(maxsize=4096)
def _standard_errors(clusters: int) -> float:
    """The detectable difference of so many clusters, in standard errors."""
    errors = detectable_difference(1.0, max(LEAST, clusters))
    assert errors is not None
    return errors


def _power(examples: int, differing: float, difference: float, level: float) -> float:
    """The power of McNemar's exact test; `differing` and `difference` are shares."""
    from scipy import special

    margin = 8 * np.sqrt(examples * differing * (1 - differing)) + 8
    first = max(0, int(examples * differing - margin))
    last = min(examples, int(examples * differing + margin))
    counts = np.arange(first, last + 1)
    ways = special.gammaln(examples + 1) - special.gammaln(counts + 1)
    ways -= special.gammaln(examples - counts + 1)
    logs = special.xlogy(counts, differing) + special.xlog1py(examples - counts, -differing)
    probabilities = np.exp(ways + logs)
    most_losses = _most_losses(counts, level)
    losing = (1 - difference / differing) / 2
    power = np.where(most_losses >= 0, special.bdtr(np.maximum(most_losses, 0), counts, losing), 0)
    return float((probabilities * power).sum())


def _most_losses(counts: NDArray[np.int64], level: float) -> NDArray[np.int64]:
    """The most losses among `counts` differing examples with which the test rejects, or -1."""
    from scipy import special

    half = level / 2
    # The inverse, of a continuous function, may be off by one; it is NaN if there is none.
    near = np.nan_to_num(np.floor(special.bdtrik(half, counts, 0.5))) + np.array([[-1], [0], [1]])
    is_valid = (near >= 0) & (special.bdtr(near.clip(0), counts, 0.5) <= half)
    losses: NDArray[np.int64] = np.where(is_valid, near, -1).max(axis=0).astype(np.int64)
    return losses
