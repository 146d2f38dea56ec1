"""Paired significance tests that flip the signs of whole clusters.

If two systems were equally good, either could have given the better answers to a cluster of
questions, so each cluster's difference could as well have the opposite sign. Fisher (1935), "The
Design of Experiments", section 21.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aqa.metrics.statistics.clusters import Clusters, Matrix

MCNEMAR = "mcnemar-exact"
DRAWS = 10_000
SEED = 12345
FEWEST = 25  # draws at least as extreme; fewer estimate a rare p poorly
MARGIN = 1.25  # factor on approximated rare p values, above the error where it is used
ENUMERATED = 28  # clusters: two halves of 2^14 sums each
_CELLS = 2_000_000  # per block of draws
_STEPS = 100_000_000  # of integer random walks: about 0.1 s
_EPSILON = 1e-9  # relative tolerance for sums of the same scores in another order
_LEAST = 5e-324  # the smallest float, since p is never 0


@dataclass(frozen=True, slots=True)
class Significance:
    """The two-sided p of a difference, and the test that it comes from."""

    p: float
    test: str


def sign_flip_tests(columns: Matrix, clusters: Clusters, seed: int = SEED) -> list[Significance]:
    """Test whether each column's mean difference is 0; `columns` are (examples, k).

    Exact if all nonzero differences have one size (McNemar's test, for right or wrong answers to
    independent questions), if they are multiples of a half, or if at most 28 clusters differ;
    otherwise by 10,000 random sign flips. If fewer than 25 of these are as extreme, p comes from a
    saddlepoint approximation, raised by a quarter: Robinson (1982), JRSS B 44(1).
    """
    sums = clusters.sums(columns)
    tests: list[Significance | None] = [
        _exact(sums[:, index], clusters) for index in range(sums.shape[1])
    ]
    left = [index for index, test in enumerate(tests) if test is None]
    if left:
        reached = _draws_as_far(sums[:, left], seed)
        for index, count in zip(left, reached.tolist(), strict=True):
            tests[index] = Significance(_p_of_draws(sums[:, index], count), "sign-flip")
    return [test for test in tests if test is not None]


def mcnemar(wins: int, losses: int) -> float:
    """The two-sided p of McNemar's exact test: wins and losses are a fair coin's.

    McNemar (1947), Psychometrika 12(2); the exact form is the binomial test of the discordant
    pairs against 1/2.
    """
    from scipy import special

    return max(_LEAST, min(1.0, 2 * float(special.bdtr(min(wins, losses), wins + losses, 0.5))))


def least_p(clusters: int) -> float:
    """The smallest p possible: that all clusters have one sign by chance."""
    return max(_LEAST, min(1.0, 2.0 ** (1 - clusters)))


def _exact(sums: Matrix, clusters: Clusters) -> Significance | None:
    """Test one column exactly; None if that would take too long."""
    scale = float(np.abs(sums).max(initial=0.0))
    sums = sums[np.abs(sums) > _EPSILON * max(1.0, scale)]
    sizes = np.abs(sums)
    if not len(sums) or sizes.max() - sizes.min() <= _EPSILON * scale:
        wins = int((sums > 0).sum())
        is_right_or_wrong = clusters.are_examples and (not len(sums) or abs(scale - 100) < _EPSILON)
        name = MCNEMAR if is_right_or_wrong else "sign-flip-exact"
        return Significance(mcnemar(wins, len(sums) - wins), name)
    halves = np.rint(sums / 50)  # wrong, half right and right are 0, 50 and 100
    if (np.abs(sums - 50 * halves) <= _EPSILON * scale).all():
        steps = halves.astype(np.int64)
        steps //= np.gcd.reduce(steps)
        if len(steps) * np.abs(steps).sum() <= _STEPS:
            return Significance(_of_steps(steps), "sign-flip-exact")
    if len(sums) <= ENUMERATED:
        return Significance(_enumerated(sums), "sign-flip-exact")
    return None


def _of_steps(steps: NDArray[np.int64]) -> float:
    """Return the exact p of integers, from the distribution of a random walk with these steps."""
    sizes = np.sort(np.abs(steps))
    reach = int(sizes.sum())
    probabilities = np.zeros(2 * reach + 1)
    probabilities[reach] = 1.0
    used = 0
    for size in sizes.tolist():
        low, high = reach - used - size, reach + used + size + 1
        before = probabilities[low:high].copy()
        probabilities[low:high] = 0.0
        probabilities[low : high - size] += before[size:] / 2
        probabilities[low + size : high] += before[: len(before) - size] / 2
        used += size
    far = abs(int(steps.sum()))
    if not far:
        return 1.0
    return max(_LEAST, min(1.0, 2 * float(probabilities[reach + far :].sum())))


def _enumerated(sums: Matrix) -> float:
    """Return the exact p over all 2^n choices of signs, meeting the sums of two halves."""
    middle = len(sums) // 2
    left, right = _all_sums(sums[:middle]), np.sort(_all_sums(sums[middle:]))
    far = abs(float(sums.sum()))
    least = far - _EPSILON * max(1.0, float(np.abs(sums).sum()))
    above = len(right) - np.searchsorted(right, least - left, side="left")
    return min(1.0, 2 * int(above.sum()) / (1 << len(sums)))


def _all_sums(values: Matrix) -> Matrix:
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate((sums + value, sums - value))
    return sums


def _draws_as_far(sums: Matrix, seed: int) -> NDArray[np.int64]:
    """Count the random sign flips that make each column's sum at least as extreme.

    Sums are sorted by size, so that neither the order of clusters nor that of systems changes the
    draws.
    """
    clusters, columns = sums.shape
    sizes = -np.sort(-np.abs(sums), axis=0)
    totals = sizes.sum(axis=0)
    least = np.abs(sums.sum(axis=0)) - _EPSILON * np.maximum(1.0, totals)
    generator = np.random.default_rng(seed)
    reached = np.zeros(columns, dtype=np.int64)
    block = max(1, min(DRAWS, _CELLS // clusters))
    for start in range(0, DRAWS, block):
        rows = min(block, DRAWS - start)
        random = generator.integers(0, 256, (rows, -(-clusters // 8)), dtype=np.uint8)
        positive = np.unpackbits(random, axis=1, count=clusters).astype(np.float64)
        flipped = 2 * (positive @ sizes) - totals
        reached += (np.abs(flipped) >= least).sum(axis=0)
    return reached


def _p_of_draws(sums: Matrix, reached: int) -> float:
    """Return p from the number of extreme draws, counting the observed signs as one."""
    if reached >= FEWEST:
        return (reached + 1) / (DRAWS + 1)
    sizes = np.abs(sums)
    rare = MARGIN * saddlepoint_p(sizes, abs(float(sums.sum())))
    differing = int((sizes > _EPSILON * max(1.0, sizes.max())).sum())
    return min(1.0, max(least_p(differing), rare))


def saddlepoint_p(sizes: Matrix, far: float) -> float:
    """Approximate the probability that randomly signed sizes sum to `far` or more, two-sided.

    The formula of Lugannani & Rice (1980), Advances in Applied Probability 12(2), for the
    cumulants of signs, K(t) = sum(log(cosh(t * sizes))).
    """
    from scipy import special

    if far >= sizes.sum():
        return least_p(len(sizes))
    scale = float(sizes.max())
    sizes, far = sizes / scale, far / scale
    slope = root(lambda at: float((sizes * np.tanh(at * sizes)).sum()) - far)
    bent = slope * sizes
    cumulant = float((bent + np.log1p(np.exp(-2 * bent))).sum()) - len(sizes) * np.log(2)
    curvature = float((sizes**2 / np.cosh(np.minimum(bent, 300.0)) ** 2).sum())
    wide = np.sqrt(max(0.0, 2 * (slope * far - cumulant)))
    steep = slope * np.sqrt(curvature)
    if min(wide, steep) < _EPSILON:
        return 1.0 if wide < 1 else least_p(len(sizes))
    density = np.exp(-(wide**2) / 2) / np.sqrt(2 * np.pi)
    tail = float(special.ndtr(-wide) + density * (1 / steep - 1 / wide))
    return max(_LEAST, min(1.0, 2 * tail))


def root(function: Callable[[float], float]) -> float:
    """Find the root of an increasing function by bisection, from 0 up."""
    low, high = 0.0, 1.0
    while function(high) < 0 and high < 1e6:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) < 0 else (low, middle)
    return high


def holm(probabilities: Sequence[float]) -> list[float]:
    """Correct p values for their number: Holm (1979), Scandinavian Journal of Statistics 6(2)."""
    order = sorted(range(len(probabilities)), key=probabilities.__getitem__)
    corrected = [0.0] * len(probabilities)
    highest = 0.0
    for step, index in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - step) * probabilities[index]))
        corrected[index] = highest
    return corrected
