"""95 % intervals of mean scores and of paired differences, for clustered examples.

The standard error is the cluster-robust one of Bell & McCaffrey (2002), Survey Methodology 28(2)
("CR2"), corrected for the bias from clusters of unequal sizes with correlated examples. Its degrees
of freedom are those of Satterthwaite (1946), Biometrics Bulletin 2(6), under the intra-class
correlation of the scores: Imbens & Kolesár (2016), Review of Economics and Statistics 98(4), more
where large clusters move mean and variance together. A mean of bounded scores gets the interval of
Wilson (1927), JASA 22, with the effective sample size: Korn & Graubard (1998), Survey Methodology
24(2); Dean & Pagano (2015), Journal of Survey Statistics and Methodology 3(4). So it has a width,
and stays within the bounds, even if all answers are right. The clusters' scores are taken to follow
a beta distribution: its tails change the degrees of freedom, and its variance grows the faster
towards the middle, the less clusters are right or wrong as a whole. So readers whose few wrong
answers may be a matter of luck get long intervals; Johnson (1978), JASA 73, corrects Student's t
for skewness to the same end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import NamedTuple

import numpy as np

from aqa.metrics.statistics.clusters import LEVEL, Clusters, Matrix
from aqa.metrics.statistics.confidence_sequences import monitored_mean

FEW = 10  # clusters; fewer are never treated as more informative than independent examples
_UPPER = (1 + LEVEL) / 2
_NOTHING = 1e-12  # rounding error in the variance of equal scores
_HALVINGS = 50  # of the distance from a share to a bound, to find an interval's end
_USUAL_SIZES = 1.6  # clusters per effective one, if log sizes have a standard deviation of 0.7


class Interval(NamedTuple):
    """The 95 % interval of one figure, and its design effect; None if unknown."""

    low: float
    high: float
    effect: float | None


@dataclass(frozen=True, eq=False)
class Estimates:
    """Means of columns with their 95 % intervals, as arrays with one value per column.

    `errors` are standard errors, `freedom` their degrees of freedom, and `effects` the design
    effects: the variance divided by that of independent examples (NaN if undefined).
    """

    values: Matrix
    lows: Matrix
    highs: Matrix
    errors: Matrix
    freedom: Matrix
    effects: Matrix

    def intervals(self) -> list[Interval]:
        """Return each column's interval."""
        return [
            Interval(low, high, None if isnan(effect) else effect)
            for low, high, effect in zip(
                self.lows.tolist(), self.highs.tolist(), self.effects.tolist(), strict=True
            )
        ]


def interval_signature(clusters: Clusters, effect: float | None) -> str:
    """Describe how an interval was computed; `wilson-t` was an earlier method's name."""
    if clusters.sequence is not None:
        return f"ci:confidence-sequence|cluster:{clusters.by}|clusters:{clusters.count}"
    design = "" if effect is None or clusters.are_examples else f"|deff:{effect:.2f}"
    return f"ci:wilson-beta-t|cluster:{clusters.by}|clusters:{clusters.count}{design}"


def mean_interval(values: Sequence[float], clusters: Clusters) -> Interval:
    """Return the interval of the mean of values, usually within 0..100."""
    return mean_intervals(np.asarray(values, dtype=np.float64)[:, None], clusters).intervals()[0]


def mean_intervals(
    columns: Matrix, clusters: Clusters, bounds: tuple[float, float] | None = None
) -> Estimates:
    """Return the interval of each column's mean; `columns` are (examples, k), usually 0..100.

    `bounds` limit the means; by default 0 and 100, extended to the column's values. If each
    example is its own cluster and scores are either bound, this is Wilson's interval of a
    proportion. For examples monitored as they came in, it is their confidence sequence's, without
    a design effect.
    """
    values = columns.mean(axis=0)
    spread = _spread(columns, clusters)
    if bounds is None:
        low = np.minimum(0.0, columns.min(axis=0))
        high = np.maximum(100.0, columns.max(axis=0))
        is_binary = ((columns == low) | (columns == high)).all(axis=0)
    else:
        low, high = np.full_like(values, bounds[0]), np.full_like(values, bounds[1])
        is_binary = np.zeros(len(values), dtype=bool)
    shares = np.clip((values - low) / (high - low), 0.0, 1.0)
    binomial = shares * (1 - shares)
    variances_of_shares = spread.variances / (high - low) ** 2
    is_known = (variances_of_shares > _NOTHING) & (binomial > _NOTHING)
    effective = np.full_like(values, clusters.count)  # sample sizes
    np.divide(binomial, variances_of_shares, out=effective, where=is_known)
    if clusters.are_examples:
        effective[is_binary] = clusters.examples
        is_known &= ~is_binary
    # The spread is never wider than that of clusters that are right or wrong as a whole.
    equivalent = clusters.examples**2 / (clusters.sizes**2).sum()  # number of equal-sized clusters
    normal = student(np.float64(np.inf))
    widest = normal**2 / np.minimum(effective, equivalent)
    tails, growth = _beta_shape(shares, np.maximum(0.0, effective / equivalent - 1))
    freedom = spread.freedom / np.maximum(_NOTHING, 1 + tails)
    squares = np.where(is_known, student(freedom), normal) ** 2 / effective
    growth = np.where(is_known, growth, 0.0)
    evenness = min(1.0, _USUAL_SIZES * equivalent / clusters.count)  # low where few outweigh others
    lows, highs = (
        _end(shares, bound, squares, (growth, growth * evenness), widest) for bound in (0.0, 1.0)
    )
    span = high - low
    lows, highs, effects = low + span * lows, low + span * highs, spread.effects
    if clusters.sequence is not None:
        rows = zip(columns.T, low, high, strict=True)
        ends = [monitored_mean(column, clusters, *limits) for column, *limits in rows]
        lows, highs = np.array(ends).T
        effects = np.full_like(values, np.nan)
    return Estimates(values, lows, highs, np.sqrt(spread.variances), spread.freedom, effects)


def difference_intervals(columns: Matrix, clusters: Clusters) -> Estimates:
    """Return the interval of each column's mean difference; `columns` are (examples, k).

    Two more examples, one each way and as large as typical differences, are added to the spread,
    as Bonett & Price (2012), Journal of Educational and Behavioral Statistics 37(4), do for
    proportions; without any difference, two whole clusters with the largest possible one. So no
    difference among a few examples is not taken for certainty.
    """
    values = columns.mean(axis=0)
    spread = _spread(columns, clusters)
    variances, freedom = spread.variances, spread.freedom
    count, examples = clusters.count, clusters.examples
    reach = max(100.0, float(np.abs(columns).max(initial=0.0)))
    sums, differs = np.abs(columns).sum(axis=0), columns.any(axis=0)
    typical = np.divide((columns**2).sum(axis=0), sums, out=np.zeros_like(sums), where=differs)
    added = 2 * typical**2 / examples**2
    added[~differs] = 2 * reach**2 / count**2
    if clusters.are_examples:
        shrunk = (examples / (examples + 2)) ** 2
        variances, added = variances * shrunk, added * shrunk
    with np.errstate(invalid="ignore"):
        half = student(freedom) * np.sqrt(variances + added * count / max(1, count - 1))
    half = np.where(freedom > 0, half, 2 * reach)
    return Estimates(
        values,
        np.maximum(-reach, values - half),
        np.minimum(reach, values + half),
        np.sqrt(spread.variances),
        freedom,
        spread.effects,
    )


def student(freedom: Matrix | np.float64) -> Matrix:
    """Return the 97.5 % quantiles of Student's t, normal ones for infinite freedom."""
    from scipy import special

    points = special.stdtrit(np.where(freedom > 0, np.minimum(freedom, 1e9), 1.0), _UPPER)
    return np.where(freedom > 0, points, np.inf)


def _end(
    shares: Matrix, bound: float, squares: Matrix, powers: tuple[Matrix, Matrix], widest: Matrix
) -> Matrix:
    """Find the end of each interval towards a bound: the last mean that the share agrees with.

    For a mean m it may be off by the root of m(1 - m) times `squares`, which are squared quantiles
    divided by effective sample sizes at m = share. They are multiplied by m(1 - m) relative to the
    share's, to the first of the `powers` if it is larger there, up to `widest`, and to the second
    if it is smaller. If both powers are 0, this is Wilson's interval.
    """
    at_share = np.maximum(_NOTHING, shares * (1 - shares))
    inside, outside = shares, np.full_like(shares, bound)
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        binomial = middle * (1 - middle)
        power = np.where(binomial < at_share, powers[1], powers[0])
        allowed = binomial * np.minimum(squares * (binomial / at_share) ** power, widest)
        agrees = (middle - shares) ** 2 <= allowed
        inside, outside = np.where(agrees, middle, inside), np.where(agrees, outside, middle)
    return outside


def _beta_shape(shares: Matrix, size: Matrix) -> tuple[Matrix, Matrix]:
    """Describe how the effective sample size varies with beta-distributed scores of clusters.

    That size is p(1 - p) divided by the variance; `size` is the sum a + b of the distribution's
    parameters, and p = a / (a + b) its mean: clusters count 1 + a + b times as much as if they were
    right or wrong as a whole. By the delta method, from the kurtosis and the skewness, returns by
    what share the variance of the estimated variance, at a given sample mean, exceeds that of
    normal scores, from -1 up; and with which power of p(1 - p) the size falls as sample means vary.
    """
    binomial = shares * (1 - shares)
    lean = np.zeros_like(shares)
    np.divide((1 - 2 * shares) ** 2, binomial, out=lean, where=binomial > _NOTHING)
    kurtosis = 6 * (lean * (size + 1) - size - 2) / ((size + 2) * (size + 3))
    skewness_squared = 4 * lean * (size + 1) / (size + 2) ** 2
    return (kurtosis - skewness_squared) / 2, size / (size + 2)


@dataclass(frozen=True, eq=False)
class _Spread:
    """Variance, degrees of freedom and design effect of each column's mean."""

    variances: Matrix
    freedom: Matrix
    effects: Matrix


def _spread(columns: Matrix, clusters: Clusters) -> _Spread:
    """Measure the spread of columns; for a single cluster it is 0 with 0 degrees of freedom."""
    examples, count = clusters.examples, clusters.count
    width = columns.shape[1]
    nothing = np.zeros(width)
    if count < 2:
        return _Spread(nothing, nothing, np.full(width, np.nan))
    centred = columns - columns.mean(axis=0)
    squares = (centred**2).sum(axis=0)
    simple = squares / (examples - 1) / examples
    if clusters.are_examples:
        return _Spread(simple, np.full(width, count - 1.0), np.ones(width))
    sizes = clusters.sizes
    sums = clusters.sums(centred) ** 2
    correlation = intra_class_correlation((sums.T / sizes).sum(axis=1), squares, sizes)
    variances, freedom = _robust(sums, sizes, correlation)
    if count < FEW:  # a few may agree by chance
        variances = np.maximum(variances, simple)
    effects = np.divide(variances, simple, out=np.full(width, np.nan), where=simple > _NOTHING)
    return _Spread(variances, freedom, effects)


def intra_class_correlation(between: Matrix, squares: Matrix, sizes: Matrix) -> Matrix:
    """Estimate the intra-class correlation by the analysis of variance (Donner 1986), 0..1.

    `between` and `squares` are the sums of squares between clusters and in total.
    """
    examples, count = sizes.sum(), len(sizes)
    of_clusters = between / (count - 1)
    within = np.maximum(squares - between, 0.0) / (examples - count)
    usual = (examples - (sizes**2).sum() / examples) / (count - 1)
    total = of_clusters + (usual - 1) * within
    correlation: Matrix = np.zeros_like(total)
    np.divide(of_clusters - within, total, out=correlation, where=total > 0)
    return np.clip(correlation, 0.0, 1.0)


def _robust(sums: Matrix, sizes: Matrix, correlation: Matrix) -> tuple[Matrix, Matrix]:
    """Return the unbiased CR2 variance of a mean, and its degrees of freedom.

    `sums` are squared sums of centred scores, (clusters, k). With weights c, and S the covariance
    of the plain sums under the correlation, the variance estimate is sum(c * sums), its mean
    trace(c S), and its degrees of freedom trace(c S)² / trace(c S c S). Large clusters weigh in the
    squared mean, too, so its ratio to the estimate varies less: 1 / freedom is lowered by half
    their relative covariance, at most to that of equal clusters. By the delta method the ratio's
    mean is then that of Student's t².
    """
    examples = sizes.sum()
    weights = 1 / (examples**2 * (1 - sizes / examples))
    correlation = correlation[:, None]
    # Variance of each cluster's sum of scores, (k, clusters).
    plain = sizes * (1 - correlation) + sizes**2 * correlation
    total = plain.sum(axis=1)
    shared = -2 * sizes * plain / examples + sizes**2 * total[:, None] / examples**2
    expected = (weights * (plain + shared)).sum(axis=1)
    # Off the diagonal S is -(n_g s_h + s_g n_h) / N + n_g n_h sum(s) / N²: of rank two, so the
    # sum of its squares needs no matrix of all pairs of clusters.
    of_sizes = (weights * sizes**2).sum()
    of_both = (weights * sizes * plain).sum(axis=1)
    squared = (
        2 * (of_sizes * (weights * plain**2).sum(axis=1) + of_both**2) / examples**2
        - 4 * total * of_sizes * of_both / examples**3
        + total**2 * of_sizes**2 / examples**4
        - ((weights * shared) ** 2).sum(axis=1)
        + ((weights * (plain + shared)) ** 2).sum(axis=1)
    )
    bias = total / examples**2 / expected
    with_mean = plain / examples - sizes * total[:, None] / examples**2  # covariance of each sum
    together = (weights * with_mean**2).sum(axis=1) / (total / examples**2 * expected)
    freedom = 1 / np.maximum(1 / (len(sizes) - 1), squared / expected**2 - together)
    return (weights[:, None] * sums).sum(axis=0) * bias, freedom
