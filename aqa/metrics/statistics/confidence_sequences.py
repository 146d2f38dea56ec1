"""Anytime-valid intervals of a mean: they hold however often one looks at the results.

Clusters of examples are drawn, each with its total and its number of examples; the mean is the
ratio of both. "The mean is m" is tested by betting on the clusters' total - m * size, whose
expectation is then zero. The wealth is a nonnegative martingale, so by Ville's inequality it ever
reaches 1 / a with probability at most a; the interval is all m not rejected so. As in a fixed-size
test, the mean is that over all clusters like these, not over those of one file.
"""

from dataclasses import dataclass, replace
from math import log
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aqa.metrics.statistics.clusters import LEVEL, Clusters, Indices, Matrix

Kind = Literal["betting", "t-mixture"]

SMALL = 2  # largest cluster size for which the bounds of single values are informative enough
_STAKES = np.geomspace(2**-6, 0.7, 8)  # shares of the wealth that are bet
# The wealth's distribution over them; the middle ones suit differences of 2 to 10 points.
_WEIGHTS = np.array([1, 2, 4, 6, 6, 4, 2, 1]) / 26
_BEST_AFTER = 1 / 8  # of all clusters, where the t mixture is narrowest
_HALVINGS = 30
_ROUNDING = 1e-9
_REFUTED = -log(1 - LEVEL)


@dataclass(frozen=True, slots=True)
class ConfidenceSequence:
    """How the mean of values within -1 and 1 is monitored; chosen before any value is known.

    `largest` is the largest possible cluster size, `clusters` the possible number of clusters. If
    all are small, only the bounds of the values are assumed ("betting"): the wealth is spread over
    constant stakes, as in Cover (1991), "Universal Portfolios", Mathematical Finance 1(1); see
    Waudby-Smith & Ramdas (2024), "Estimating means of bounded random variables by betting", JRSS B
    86(1), and Orabona & Jun (2024), IEEE Transactions on Information Theory 70(1). For large
    clusters bounds are too loose. Their totals are nearly normal, and "t-mixture" is the
    sequential t test with a normal mixture over effect sizes, exact for normal totals of any
    variance: Wang & Ramdas (2024), "Anytime-valid t-tests and confidence sequences for Gaussian
    means with unknown variance", arXiv:2310.03722.
    """

    largest: int
    clusters: int
    by_bounds: bool = False  # use "betting" even for large clusters

    @property
    def kind(self) -> Kind:
        """The betting strategy."""
        return "betting" if self.by_bounds or self.largest <= SMALL else "t-mixture"

    def interval(self, totals: Matrix, sizes: Matrix) -> tuple[float, float]:
        """Return the 95 % interval of the mean after these clusters."""
        return self._lower(totals, sizes), -self._lower(-totals, sizes)

    def p_value(self, totals: Matrix, sizes: Matrix) -> float:
        """Return the two-sided, anytime-valid p value of a mean of zero."""
        wealth = np.maximum(self.above(0.0, totals, sizes), self.above(0.0, -totals, sizes))
        return float(min(1.0, np.exp(-wealth[-1])))

    def above(self, mean: float, totals: Matrix, sizes: Matrix) -> Matrix:
        """Return the log wealth against "the mean is `mean` or less", after each cluster.

        The wealth is halved, since the other side is bet on, too. Negate totals and mean to bet
        against "`mean` or more".
        """
        if self.kind == "betting":
            return self._bets(mean, totals, sizes)
        return self._t_mixture(mean, totals, sizes)

    def _bets(self, mean: float, totals: Matrix, sizes: Matrix) -> Matrix:
        gains = (totals - mean * sizes) / (self.largest * (1 + mean))
        wealth = np.log1p(_STAKES[:, None] * gains).cumsum(axis=1)
        mixture: Matrix = np.logaddexp.reduce(wealth + np.log(_WEIGHTS / 2)[:, None], axis=0)
        return mixture

    def _t_mixture(self, mean: float, totals: Matrix, sizes: Matrix) -> Matrix:
        # Add one cluster of counter-evidence: one example, or a whole cluster when testing for
        # a small difference, which clusters still to come may contradict.
        against = -(1 + mean) * (sizes.mean() if mean < 0 else 1.0)
        gains = np.concatenate([[against], totals - mean * sizes])
        count = np.arange(1, len(gains) + 1)
        # The mixture variance with the narrowest interval at that time: Howard, Ramdas,
        # McAuliffe & Sekhon (2021), Annals of Statistics 49(2), section 3.5.
        prior = max(1.0, _BEST_AFTER * self.clusters / (2 * _REFUTED + log(2 * _REFUTED) + 1))
        sums, squares = gains.cumsum(), (gains**2).cumsum()
        share = np.zeros(len(gains))
        np.divide(sums**2 / (count + prior), squares, out=share, where=squares > 0)
        wealth = (np.log(prior / (count + prior)) - count * np.log1p(-share)) / 2
        return np.where(sums > 0, wealth, -np.inf)[1:]

    def _lower(self, totals: Matrix, sizes: Matrix) -> float:
        """Bisect between -1 (or 0) and the mean for the lower end, below which m is rejected."""
        is_above = self.above(0.0, totals, sizes)[-1] >= _REFUTED
        low, high = 0.0 if is_above else -1.0, float(totals.sum() / sizes.sum())
        if high <= low:
            return low
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if self.above(middle, totals, sizes)[-1] >= _REFUTED:
                low = middle
            else:
                high = middle
        return low


Verdict = Literal["b better", "a better", "no difference above the margin", "undecided"]


def verdicts(
    sequence: ConfidenceSequence,
    totals: Matrix,
    sizes: Matrix,
    looks: Indices,
    margin: float | None = None,
) -> list[Verdict]:
    """Decide on b - a, of values within -1 and 1, after each number of clusters in `looks`.

    With a `margin`, readers are called equal if b - a is surely smaller in both directions.
    """
    at = looks - 1

    def is_above(mean: float, sign: int) -> NDArray[np.bool_]:
        return sequence.above(mean, sign * totals, sizes)[at] >= _REFUTED

    better, worse = is_above(0.0, 1), is_above(0.0, -1)
    equal = is_above(-margin, 1) & is_above(-margin, -1) if margin else [False] * len(at)
    return [
        "b better" if up
        else "a better" if down
        else "no difference above the margin" if same
        else "undecided"
        for up, down, same in zip(better, worse, equal, strict=True)
    ]  # fmt: skip


def monitored_difference(values: Matrix, clusters: Clusters) -> tuple[float, float, float, Kind]:
    """Return the interval, p value and kind for a monitored mean difference.

    If clusters are larger than planned, or values are not within -100 and 100, the betting
    strategy takes that into account.
    """
    is_bounded = abs(values).max() <= 100 * (1 + _ROUNDING)
    sequence, totals, sizes = _sequence(values / 100, clusters, 1 if is_bounded else SMALL + 1)
    low, high = sequence.interval(totals, sizes)
    return 100 * low, 100 * high, sequence.p_value(totals, sizes), sequence.kind


def monitored_mean(
    values: Matrix, clusters: Clusters, low: float, high: float
) -> tuple[float, float]:
    """Return the interval of a monitored mean of values within two bounds.

    It uses only the bounds: if nearly all answers have one score, totals are far from normal.
    """
    scaled = 2 * (values - low) / (high - low) - 1
    sequence, totals, sizes = _sequence(scaled, clusters, 1)
    ends = replace(sequence, by_bounds=True).interval(totals, sizes)
    least, most = (low + (high - low) * (end + 1) / 2 for end in ends)
    return least, most


def _sequence(
    values: Matrix, clusters: Clusters, least: int
) -> tuple[ConfidenceSequence, Matrix, Matrix]:
    """Return the planned sequence for the actual clusters, and their totals and sizes."""
    assert clusters.sequence is not None
    planned, count = clusters.sequence
    totals, sizes = clusters.sums(values[:, None])[:, 0], clusters.sizes
    return ConfidenceSequence(max(planned, int(sizes.max()), least), count), totals, sizes
