"""Intervals of a mean that hold at every moment of a run, however often one looks.

What is drawn are clusters of examples, each with its total and its number of examples; the mean is
the ratio of both. "The mean is m" is tested by betting on the clusters' total - m * size, of which
zero is expected then. The wealth is a nonnegative martingale, so by Ville's inequality it ever
reaches 1 / a with a probability of a at most, and the interval is all m that were not refuted so.
It is a mean over all clusters like these, as in a test of fixed size, not over those of one file.
"""

from dataclasses import dataclass, replace
from math import log
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aqa.metrics.statistics.clusters import LEVEL, Clusters, Matrix, Places

Kind = Literal["betting", "t-mixture"]

SMALL = 2  # examples of the largest cluster up to which the bounds of single values say enough
_STAKES = np.geomspace(2**-6, 0.7, 8)  # shares of the wealth that are bet
# How the wealth is spread over them: those in the middle suit differences of 2 to 10 points.
_WEIGHTS = np.array([1, 2, 4, 6, 6, 4, 2, 1]) / 26
_BEST_AFTER = 1 / 8  # of all clusters: there the t mixture is narrowest
_HALVINGS = 30
_ROUNDING = 1e-9
_REFUTED = -log(1 - LEVEL)


@dataclass(frozen=True, slots=True)
class ConfidenceSequence:
    """How the mean of values within -1 and 1 is followed; chosen before any value is known.

    `largest` is the number of examples of the largest cluster that may come, `clusters` how many
    may. Where all are small, nothing but the bounds of the values is relied on ("betting"): the
    wealth is spread over constant stakes, as in Cover (1991), "Universal Portfolios", Mathematical
    Finance 1(1); see Waudby-Smith & Ramdas (2024), "Estimating means of bounded random variables by
    betting", JRSS B 86(1), and Orabona & Jun (2024), IEEE Transactions on Information Theory 70(1).
    Of large clusters bounds say too little. Their totals are nearly normal, and "t-mixture" is the
    sequential t test with a normal mixture over effect sizes, exact for normal totals of any
    variance: Wang & Ramdas (2024), "Anytime-valid t-tests and confidence sequences for Gaussian
    means with unknown variance", arXiv:2310.03722.
    """

    largest: int
    clusters: int
    by_bounds: bool = False  # alone, however large the clusters are

    @property
    def kind(self) -> Kind:
        """How bets are made."""
        return "betting" if self.by_bounds or self.largest <= SMALL else "t-mixture"

    def interval(self, totals: Matrix, sizes: Matrix) -> tuple[float, float]:
        """Give the 95 % interval of the mean after these clusters."""
        return self._lower(totals, sizes), -self._lower(-totals, sizes)

    def p_value(self, totals: Matrix, sizes: Matrix) -> float:
        """Give the p value of a mean of zero, two-sided, at whatever moment this is."""
        wealth = np.maximum(self.above(0.0, totals, sizes), self.above(0.0, -totals, sizes))
        return float(min(1.0, np.exp(-wealth[-1])))

    def above(self, mean: float, totals: Matrix, sizes: Matrix) -> Matrix:
        """Give the logarithm of the wealth against "the mean is `mean` or less", by cluster.

        Halved for the other side, which is bet on, too. Against "`mean` or more" it is that of the
        negated totals and mean.
        """
        if self.kind == "betting":
            return self._bets(mean, totals, sizes)
        return self._t_mixture(mean, totals, sizes)

    def _bets(self, mean: float, totals: Matrix, sizes: Matrix) -> Matrix:
        gains = (totals - mean * sizes) / (self.largest * (1 + mean))
        wealth = np.log1p(_STAKES[:, None] * gains).cumsum(axis=1)
        found: Matrix = np.logaddexp.reduce(wealth + np.log(_WEIGHTS / 2)[:, None], axis=0)
        return found

    def _t_mixture(self, mean: float, totals: Matrix, sizes: Matrix) -> Matrix:
        # One more cluster, which speaks against it: of one example, and of a whole cluster where it
        # is asked how little readers differ, which those that are still to come may show wrong.
        against = -(1 + mean) * (sizes.mean() if mean < 0 else 1.0)
        gains = np.concatenate([[against], totals - mean * sizes])
        count = np.arange(1, len(gains) + 1)
        # The variance of the mixture that makes it narrowest after so many: Howard, Ramdas,
        # McAuliffe & Sekhon (2021), Annals of Statistics 49(2), section 3.5.
        prior = max(1.0, _BEST_AFTER * self.clusters / (2 * _REFUTED + log(2 * _REFUTED) + 1))
        sums, squares = gains.cumsum(), (gains**2).cumsum()
        share = np.zeros(len(gains))
        np.divide(sums**2 / (count + prior), squares, out=share, where=squares > 0)
        wealth = (np.log(prior / (count + prior)) - count * np.log1p(-share)) / 2
        return np.where(sums > 0, wealth, -np.inf)[1:]

    def _lower(self, totals: Matrix, sizes: Matrix) -> float:
        """Halve the way from -1, or from 0, to the mean; the part that is refuted lies below."""
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
    looks: Places,
    margin: float | None = None,
) -> list[Verdict]:
    """Decide on b - a, of values within -1 and 1, after each number of clusters in `looks`.

    With a `margin`, both readers are taken to be equal where b - a is surely less to either side.
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


def followed(values: Matrix, clusters: Clusters) -> tuple[float, float, float, Kind]:
    """Give the interval of a mean difference that was looked at all along, its p value and kind.

    Where clusters are larger than was planned, or values are not within -100 and 100, bets go by
    that.
    """
    is_bounded = abs(values).max() <= 100 * (1 + _ROUNDING)
    sequence, totals, sizes = _sequence(values / 100, clusters, 1 if is_bounded else SMALL + 1)
    low, high = sequence.interval(totals, sizes)
    return 100 * low, 100 * high, sequence.p_value(totals, sizes), sequence.kind


def followed_mean(
    values: Matrix, clusters: Clusters, low: float, high: float
) -> tuple[float, float]:
    """Give the interval of a mean of values within two bounds that was looked at all along.

    It goes by these alone: of a score that nearly all answers get, totals are far from normal.
    """
    scaled = 2 * (values - low) / (high - low) - 1
    sequence, totals, sizes = _sequence(scaled, clusters, 1)
    ends = replace(sequence, by_bounds=True).interval(totals, sizes)
    least, most = (low + (high - low) * (end + 1) / 2 for end in ends)
    return least, most


def _sequence(
    values: Matrix, clusters: Clusters, least: int
) -> tuple[ConfidenceSequence, Matrix, Matrix]:
    """The planned sequence, for the clusters that came; their totals and sizes."""
    assert clusters.sequence is not None
    planned, count = clusters.sequence
    totals, sizes = clusters.sums(values[:, None])[:, 0], clusters.sizes
    return ConfidenceSequence(max(planned, int(sizes.max()), least), count), totals, sizes
