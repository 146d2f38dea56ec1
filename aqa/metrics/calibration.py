"""How far confidences are the probabilities of a right answer that they are taken for.

The error is the expected calibration error (ECE) of Naeini, Cooper & Hauskrecht (2015), "Obtaining
Well Calibrated Probabilities Using Bayesian Binning", AAAI: the mean distance between confidence
and share of right answers over bins, each counted by its examples. The bins are of equally many
examples, as in Nguyen & O'Connor (2015), "Posterior Calibration and Exploratory Analysis for
Natural Language Processing Models", EMNLP; equal confidences stay in one.

The plain estimate is too large, since the distance in a bin that chance alone makes is never
negative (Kumar, Liang & Ma 2019, "Verified Uncertainty Calibration", NeurIPS). So the error given
is the one under which the plain estimate would as often be larger as smaller, and its interval
holds those under which it would not be among the 2.5 % largest or smallest: the distances that
were seen, times a factor, with normal noise of the clusters' covariance. Its upper end reaches as
far as the mean distance of all answers may, which few that are all right do not show.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray

from aqa.metrics.statistics.clusters import LEVEL, Clusters, Matrix
from aqa.metrics.statistics.intervals import mean_interval
from aqa.records import AGREEMENT, MEAN_LOGPROB
from aqa.runs.files import Facts

PROBABILITY = "probability"  # the kind of confidences, in files of other tools, that are ones
BINS = 10
DRAWS = 4000
LEAST = 20  # answers: fewer tell nothing of a calibration
STEPS = 30  # of a bisection


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers of like confidence: their mean, and the share that is right (0..100, 95 %)."""

    n: int
    confidence: float
    right: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Calibration(Facts):
    """The ECE of n confidences of a kind, 0..100, with its 95 % interval; see the module.

    `plain_ece` is the usual estimate, for comparisons with those of others. `overconfidence` is by
    how much the mean confidence exceeds the share of right answers.
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
    """The probability of a right answer that a confidence means; None where it is none.

    Of a mean log-probability that is the geometric mean of the tokens' probabilities.
    """
    if kind == MEAN_LOGPROB:
        return exp(min(confidence, 0.0))
    if kind in (AGREEMENT, PROBABILITY) and 0 <= confidence <= 1:
        return confidence
    return None


def calibrate(
    kind: str, probabilities: Sequence[float], is_right: Sequence[bool], clusters: Clusters
) -> Calibration | None:
    """Compare confidences with how often answers are right; all follow the examples.

    None where there are too few.
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
    error, low, high = _interval(means, _noise(distances, right, codes, clusters), plain)
    # It is never less than what confidences are too high or too low by on the whole.
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
        tuple(sorted(bins, key=lambda own: own.confidence)),
    )


def _bins(claimed: Matrix) -> NDArray[np.intp]:
    """The bin of each confidence, 0, 1, ... from the lowest up."""
    shares = np.arange(1, BINS) / BINS
    edges = np.unique(np.quantile(claimed, shares, method="inverted_cdf"))
    return np.unique(np.searchsorted(edges, claimed), return_inverse=True)[1]


def _bin(claimed: Matrix, right: Matrix, members: NDArray[np.bool_], clusters: Clusters) -> Bin:
    own = right[members]
    places = members.nonzero()[0].tolist()
    low, high, _ = mean_interval((100 * own).tolist(), clusters.at(places))
    return Bin(len(own), 100 * float(claimed.mean()), 100 * float(own.mean()), low, high)


def _noise(distances: Matrix, right: Matrix, codes: NDArray[np.intp], clusters: Clusters) -> Matrix:
    """Draw what chance adds to the mean distances: (draws, bins).

    The covariance is that of the clusters' sums; a bin has at least the variance of independent
    answers of which two more are right as often as all are, for few may be alike by chance.
    """
    count, groups = len(distances), clusters.count
    sums = clusters.sums(distances - distances.mean(axis=0))
    covariance = sums.T @ sums * groups / max(groups - 1, 1) / count**2
    sizes = np.bincount(codes)
    usual = (right.sum() + 1) / (count + 2)
    shares = (np.bincount(codes, weights=right) + 2 * usual) / (sizes + 2)
    least = sizes * shares * (1 - shares) / count**2
    factor = np.sqrt(np.maximum(least / np.maximum(covariance.diagonal(), 1e-300), 1.0))
    empty = covariance.diagonal() <= 0
    covariance = covariance * np.outer(factor, factor)
    covariance[empty] = covariance[:, empty] = 0.0
    covariance[empty, empty] = least[empty]
    random = np.random.default_rng(0)
    values, vectors = np.linalg.eigh(covariance)
    normal = random.normal(size=(DRAWS, len(sizes))) * np.sqrt(np.maximum(values, 0.0))
    freedom = max(groups - 1, 1)
    heavy = np.sqrt(freedom / random.chisquare(freedom, DRAWS))
    found: Matrix = (normal @ vectors.T) * heavy[:, None]
    return found


def _interval(means: Matrix, noise: Matrix, plain: float) -> tuple[float, float, float]:
    """The error under which as many plain estimates are larger as smaller, and the interval."""

    def exceeded(factor: float) -> float:
        """How often the plain estimate would be as large as it is, were this the factor."""
        return float((np.abs(factor * means + noise).sum(axis=1) >= plain).mean())

    def solve(share: float) -> float:
        """The factor at which it would be that in this share of cases; 0 where it always is."""
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
