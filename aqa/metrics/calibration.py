"""Calibration: how well confidences match the probability of a right answer.

The error is the expected calibration error (ECE) of Naeini, Cooper & Hauskrecht (2015), "Obtaining
Well Calibrated Probabilities Using Bayesian Binning", AAAI: the mean distance between confidence
and share of right answers over bins, weighted by their examples. Bins have equal numbers of
examples, as in Nguyen & O'Connor (2015), "Posterior Calibration and Exploratory Analysis for
Natural Language Processing Models", EMNLP; equal confidences share a bin.

The plain estimate is biased upwards, since chance alone always adds a positive distance in a bin
(Kumar, Liang & Ma 2019, "Verified Uncertainty Calibration", NeurIPS). The error reported is the one
for which the plain estimate would be the median; its interval contains those for which the plain
estimate would not be among the 2.5 % largest or smallest. To simulate this, the observed distances
are scaled by a factor, and normal noise with the clusters' covariance is added, more of it if right
answers would then be less nearly certain than those observed. The upper end also covers the
confidence interval of the mean distance over all answers, which a few answers that are all right
would not show.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray

from aqa.metrics.statistics.clusters import LEVEL, Clusters, Matrix
from aqa.metrics.statistics.intervals import mean_interval
from aqa.records import AGREEMENT, MEAN_LOGPROB
from aqa.runs.files import Facts

PROBABILITY = "probability"  # the kind of confidences that are probabilities in other tools' files
BINS = 10
DRAWS = 4000
LEAST = 20  # answers, to estimate calibration at all
STEPS = 30  # in a bisection


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers of similar confidence: their mean, and the share that is right (0..100, 95 %)."""

    n: int
    confidence: float
    right: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Calibration(Facts):
    """The ECE of n confidences of a kind, 0..100, with its 95 % interval; see the module.

    `plain_ece` is the usual estimate, for comparison with other work. `overconfidence` is the
    mean confidence minus the share of right answers.
    """

    kind: str
    n: int
    ece: float
    low: float
    high: float
    plain_ece: float
    overconfidence: float
    bins: tuple[Bin, ...]


def as_probability(kind: str, confidence: float) -> float | None:
    """Convert a confidence to a probability of a right answer; None if it does not express one.

    A mean log-probability becomes the geometric mean of the tokens' probabilities.
    """
    if kind == MEAN_LOGPROB:
        return exp(min(confidence, 0.0))
    if kind in (AGREEMENT, PROBABILITY) and 0 <= confidence <= 1:
        return confidence
    return None


def calibrate(
    kind: str, probabilities: Sequence[float], is_right: Sequence[bool], clusters: Clusters
) -> Calibration | None:
    """Compare confidences with the frequency of right answers; all arguments are by example.

    None if there are too few.
    """
    claimed = np.asarray(probabilities, dtype=np.float64)
    right = np.asarray(is_right, dtype=np.float64)
    count = len(claimed)
    if count < LEAST:
        return None
    codes = _bins(claimed)
    bins = [_bin(claimed[codes == code], right, codes == code, clusters) for code in set(codes)]
    members = codes[:, None] == np.arange(codes.max() + 1)  # (examples, bins)
    distances = members * (claimed - right)[:, None]
    means = distances.mean(axis=0)
    plain = float(np.abs(means).sum())
    by_bin = _Bins.of(claimed, right, codes)
    noise = _noise(distances, by_bin.sizes * by_bin.spread / count**2, clusters)
    error, low, high = _interval(means, lambda factor: noise * by_bin.widening(factor), plain)
    # The ECE is at least the absolute difference of mean confidence and share of right answers.
    shares = mean_interval((100 * right).tolist(), clusters)
    sure = float(claimed.mean())
    high = max(high, *(abs(sure - end / 100) for end in (shares.low, shares.high)))
    return Calibration(
        kind,
        count,
        100 * error,
        100 * low,
        100 * high,
        100 * plain,
        100 * float(means.sum()),
        tuple(sorted(bins, key=lambda group: group.confidence)),
    )


def _bins(claimed: Matrix) -> NDArray[np.intp]:
    """The bin of each confidence, numbered from 0 for the lowest."""
    shares = np.arange(1, BINS) / BINS
    edges = np.unique(np.quantile(claimed, shares, method="inverted_cdf"))
    return np.unique(np.searchsorted(edges, claimed), return_inverse=True)[1]


def _bin(claimed: Matrix, right: Matrix, members: NDArray[np.bool_], clusters: Clusters) -> Bin:
    outcomes = right[members]
    indices = members.nonzero()[0].tolist()
    low, high, _ = mean_interval((100 * outcomes).tolist(), clusters.at(indices))
    return Bin(len(outcomes), 100 * float(claimed.mean()), 100 * float(outcomes.mean()), low, high)


@dataclass(frozen=True, eq=False)
class _Bins:
    """The number of answers in each bin, their mean confidence, and the share that is right.

    `spread` is a bin's variance of right or wrong, with two more answers of average accuracy, since
    a few may be alike by chance.
    """

    sizes: Matrix
    confidence: Matrix
    right: Matrix
    spread: Matrix

    @classmethod
    def of(cls, claimed: Matrix, right: Matrix, codes: NDArray[np.intp]) -> "_Bins":
        sizes = np.bincount(codes).astype(np.float64)
        sums = np.bincount(codes, weights=right)
        usual = (right.sum() + 1) / (len(right) + 2)
        shares = (sums + 2 * usual) / (sizes + 2)
        confidence = np.bincount(codes, weights=claimed) / sizes
        return cls(sizes, confidence, sums / sizes, shares * (1 - shares))

    def widening(self, factor: float) -> Matrix:
        """How much larger the noise would be with distances so many times the observed ones.

        As in Wilson's interval: where nearly all answers are right, those of a reader that is only
        as often right as it says would vary more.
        """
        true = np.clip(self.confidence - factor * (self.confidence - self.right), 0.0, 1.0)
        factors: Matrix = np.sqrt(np.maximum(1.0, true * (1 - true) / self.spread))
        return factors


def _noise(distances: Matrix, least: Matrix, clusters: Clusters) -> Matrix:
    """Draw the noise in the mean distances: (draws, bins).

    Its covariance is that of the clusters' sums, with each bin's variance at `least` so large.
    """
    count, groups = len(distances), clusters.count
    sums = clusters.sums(distances - distances.mean(axis=0))
    covariance = sums.T @ sums * groups / max(groups - 1, 1) / count**2
    factor = np.sqrt(np.maximum(least / np.maximum(covariance.diagonal(), 1e-300), 1.0))
    empty = covariance.diagonal() <= 0
    covariance = covariance * np.outer(factor, factor)
    covariance[empty] = covariance[:, empty] = 0.0
    covariance[empty, empty] = least[empty]
    random = np.random.default_rng(0)
    values, vectors = np.linalg.eigh(covariance)
    normal = random.normal(size=(DRAWS, len(least))) * np.sqrt(np.maximum(values, 0.0))
    freedom = max(groups - 1, 1)
    heavy = np.sqrt(freedom / random.chisquare(freedom, DRAWS))
    noise: Matrix = (normal @ vectors.T) * heavy[:, None]
    return noise


def _interval(
    means: Matrix, noise: Callable[[float], Matrix], plain: float
) -> tuple[float, float, float]:
    """The error for which the plain estimate would be the median, and the interval."""

    def exceeded(factor: float) -> float:
        """How often the plain estimate would be at least its value, for this factor."""
        return float((np.abs(factor * means + noise(factor)).sum(axis=1) >= plain).mean())

    def solve(share: float) -> float:
        """The factor for which that happens in this share of cases; 0 if it always does."""
        low, high = 0.0, 1.0
        while exceeded(high) < share and high * plain < 1:
            low, high = high, 2 * high
        if exceeded(0.0) >= share:
            return 0.0
        for _ in range(STEPS):
            middle = (low + high) / 2
            low, high = (low, middle) if exceeded(middle) >= share else (middle, high)
        return high

    tail = (1 - LEVEL) / 2
    low, error, high = (min(plain * solve(share), 1.0) for share in (tail, 0.5, 1 - tail))
    return error, low, high
