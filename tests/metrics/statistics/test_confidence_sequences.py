"""Anytime-valid intervals, compared with exact sums and by simulation."""

import numpy as np
import pytest

from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.confidence_sequences import ConfidenceSequence, verdicts
from aqa.metrics.statistics.intervals import mean_interval

FIVE_PER_CENT = 20 + 3 * 4.4  # of 400 runs, plus three standard deviations


def drawn(random: np.random.Generator, size: int, clusters: int, mean: float) -> np.ndarray:
    """Totals of values -1, 0 and 1 in clusters with different means."""
    own = random.normal(mean, 0.1, (clusters, 1))
    chance = np.clip([0.2 + own / 2, 0.2 - own / 2], 0, 1)
    draws = random.random((clusters, size))
    up, down = draws < chance[0], draws > 1 - chance[1]
    return (up.astype(float) - down).sum(axis=1)


def test_wealth_is_what_the_bets_come_to() -> None:
    sequence = ConfidenceSequence(1, 3)
    values = np.array([1.0, -0.5, 0.25])
    stakes = np.geomspace(2**-6, 0.7, 8)
    gains = (values - 0.1) / 1.1
    wealth = [np.prod(1 + stake * gains) for stake in stakes]
    expected = np.average(wealth, weights=[1, 2, 4, 6, 6, 4, 2, 1]) / 2
    assert sequence.above(0.1, values, np.ones(3))[-1] == pytest.approx(np.log(expected))


def test_the_t_mixture_is_the_integral_over_effect_sizes() -> None:
    """Likelihoods with a right Haar prior and a normal effect of variance 1 / c, on a grid."""
    unseen, seen = -1.0, [1.0, 3.0, 2.5, -0.5, 2.0]
    totals = np.array([unseen, *seen])
    c = 1.0  # the smallest, for few clusters
    scale = np.geomspace(1e-2, 1e3, 801)
    effect = np.linspace(-12, 12, 801)[:, None]
    errors = ((totals[:, None, None] / scale - effect) ** 2).sum(axis=0)
    prior = np.exp(-c * effect**2 / 2) * np.sqrt(c / (2 * np.pi))
    haar = scale ** -(len(totals) + 1.0)
    inner = np.trapezoid(np.exp(-errors / 2) * prior, effect[:, 0], axis=0)
    upper = np.trapezoid(inner * haar, scale)
    lower = np.trapezoid(np.exp(-((totals[:, None] / scale) ** 2).sum(axis=0) / 2) * haar, scale)
    wealth = ConfidenceSequence(9, 5).above(0.0, np.array(seen), np.full(5, 9.0))[-1]
    assert wealth == pytest.approx(np.log(upper / lower), rel=1e-4)


@pytest.mark.parametrize("size", [1, 12])
def test_an_interval_holds_the_mean_at_every_look(size: int) -> None:
    random = np.random.default_rng(5)
    sequence, sizes = ConfidenceSequence(size, 150), np.full(150, float(size))
    looks, missed = np.arange(10, 151, 5), 0
    for _ in range(400):
        totals = drawn(random, size, 150, 0.0)
        told = verdicts(sequence, totals, sizes, looks)
        missed += any(one != "undecided" for one in told)
    assert missed <= FIVE_PER_CENT


@pytest.mark.parametrize("size", [1, 12])
def test_verdicts_and_p_values_go_with_the_interval(size: int) -> None:
    random = np.random.default_rng(6)
    sequence, sizes = ConfidenceSequence(size, 400), np.full(400, float(size))
    for mean in (0.0, 0.1, -0.3):
        totals = drawn(random, size, 400, mean)
        low, high = sequence.interval(totals, sizes)
        assert low < totals.sum() / sizes.sum() < high
        (told,) = verdicts(sequence, totals, sizes, np.array([400]), margin=0.2)
        expected = "b better" if low > 0 else "a better" if high < 0 else "undecided"
        if low > -0.2 and high < 0.2 and low < 0 < high:
            expected = "no difference above the margin"
        assert told == expected
        assert (sequence.p_value(totals, sizes) < 0.05) == (low > 0 or high < 0)
        turned = sequence.interval(-totals, sizes)
        assert turned == pytest.approx((-high, -low), abs=1e-6)


def test_clusters_of_unequal_sizes_are_weighted_by_their_examples() -> None:
    sizes = np.array([1.0, 9.0] * 30)
    totals = np.array([1.0, 0.0] * 30)  # the mean is 0.1; that of the clusters' means is 0.5
    low, high = ConfidenceSequence(9, 60).interval(totals, sizes)
    assert low < 0.1 < high < 0.3


def test_values_that_are_all_the_same_so_far() -> None:
    """None of 60 clusters differed, but 1 in 20 may still differ entirely."""
    sizes = np.full(60, 5.0)
    low, high = ConfidenceSequence(5, 60).interval(0 * sizes, sizes)
    assert -low == pytest.approx(high)
    assert 0.05 < high < 0.15
    low, high = ConfidenceSequence(5, 60).interval(sizes, sizes)
    assert 0.9 < low < 0.99
    assert high == 1


@pytest.mark.parametrize(("share", "size"), [(0.03, 4), (0.05, 41)])
def test_few_clusters_that_differ_as_a_whole_are_not_overlooked(share: float, size: int) -> None:
    random, sizes = np.random.default_rng(3), np.full(200, float(size))
    sequence, looks = ConfidenceSequence(size, 200), np.arange(10, 201, 5)
    found = []
    for _ in range(200):
        totals = (random.random(200) < share) * sizes
        told = verdicts(sequence, totals, sizes, looks, margin=0.02)
        found += [one for one in told if one != "undecided"][:1]
    assert found.count("no difference above the margin") <= 200 * 0.05
    assert set(found) <= {"b better", "no difference above the margin"}


@pytest.mark.parametrize(("mean", "size"), [(0.5, 1), (0.97, 4)])
def test_means_that_were_looked_at(mean: float, size: int) -> None:
    """Stopping where the interval looks worst, the mean is outside in at most 5 %."""
    random, clusters, missed = np.random.default_rng(4), 40, 0
    for _ in range(40):
        own = np.clip(random.normal(mean, 0.02, (clusters, 1)), 0, 1)
        values = 100.0 * (random.random((clusters, size)) < own).ravel()
        codes = np.repeat(np.arange(clusters), size)
        for count in range(10, clusters + 1, 10):
            seen = Clusters(codes[: count * size], "title", (size, clusters))
            low, high, effect = mean_interval(values[: count * size].tolist(), seen)
            assert 0 <= low <= high <= 100
            assert effect is None
            if not low <= 100 * mean <= high:
                missed += 1
                break
    assert missed <= 40 * 0.05 + 3 * 1.4


def test_all_right_so_far_is_not_all_right() -> None:
    low, high, _ = mean_interval([100.0] * 64, Clusters(np.arange(64) // 4, "title", (4, 60)))
    assert 40 < low < 90
    assert high == 100
