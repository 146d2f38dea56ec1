from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.intervals import (
    Estimates,
    difference_intervals,
    mean_intervals,
    student,
)


def mean_interval(values: list[float], labels: list[int] | None = None) -> tuple[float, float]:
    clusters = Clusters.apart(len(values)) if labels is None else Clusters.of(labels, "title")
    found = mean_intervals(np.array([values]).T, clusters)
    return float(found.lows[0]), float(found.highs[0])


def drawn_clusters(count: int, size: int, alike: float, seed: int) -> tuple[np.ndarray, Clusters]:
    """Correlated scores 0..100: normal effects of clusters and of examples."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(count), size)
    effects = generator.normal(0, alike**0.5, count)[labels]
    scores = 50 + 12 * (effects + generator.normal(0, (1 - alike) ** 0.5, count * size))
    return scores[:, None], Clusters.of(labels.tolist(), "title")


@pytest.mark.parametrize(
    ("right", "of"), [(5, 5), (0, 5), (1, 1), (19, 20), (97, 100), (600, 1000), (5773, 5774)]
)
def test_right_and_wrong_have_the_interval_of_wilson(right: int, of: int) -> None:
    expected = stats.binomtest(right, of).proportion_ci(method="wilson")
    found = mean_interval([100.0] * right + [0.0] * (of - right))
    assert found == pytest.approx((100 * expected.low, 100 * expected.high))


def test_five_of_five() -> None:
    assert mean_interval([100.0] * 5) == (pytest.approx(56.55, abs=0.01), 100.0)


def test_scores_in_between_have_the_interval_of_student_in_the_middle_of_the_scale() -> None:
    values = np.random.default_rng(3).normal(50, 10, 400).clip(0, 100)
    low, high = mean_interval(values.tolist())
    expected = stats.t.interval(0.95, 399, values.mean(), stats.sem(values))
    assert (low, high) == pytest.approx(expected, abs=0.01)


@given(st.lists(st.sampled_from([0.0, 33.3, 50.0, 66.7, 100.0]), min_size=1, max_size=30))
def test_stays_within_the_bounds_and_holds_the_mean(values: list[float]) -> None:
    for labels in (None, [place // 3 for place in range(len(values))]):
        low, high = mean_interval(values, labels)
        assert 0 <= low <= np.mean(values) + 1e-9
        assert np.mean(values) - 1e-9 <= high <= 100
        assert high - low > 1


@pytest.mark.parametrize("value", [0.0, 66.7, 100.0])
def test_one_example_proves_little(value: float) -> None:
    low, high = mean_interval([value])
    assert high - low > 75


def test_equal_clusters_have_the_variance_of_their_means() -> None:
    columns, clusters = drawn_clusters(12, 7, 0.4, 1)
    found = mean_intervals(columns, clusters)
    means = columns.reshape(12, 7).mean(axis=1)
    assert found.errors[0] == pytest.approx(stats.sem(means))
    assert found.freedom[0] == pytest.approx(11)
    assert found.effects[0] == pytest.approx((stats.sem(means) / stats.sem(columns[:, 0])) ** 2)


def test_clusters_that_are_alike_widen_and_their_order_does_not_matter() -> None:
    columns, clusters = drawn_clusters(40, 25, 0.3, 2)
    alone = mean_intervals(columns, Clusters.apart(len(columns)))
    found = mean_intervals(columns, clusters)
    assert 4 < found.effects[0] < 14  # 1 + 24 * 0.3 is 8.2
    assert found.highs[0] - found.lows[0] > 2 * (alone.highs[0] - alone.lows[0])
    order = np.random.default_rng(4).permutation(len(columns))
    mixed = mean_intervals(columns[order], clusters.at(order.tolist()))
    for name in ("lows", "highs", "errors", "freedom", "effects"):
        assert getattr(mixed, name) == pytest.approx(getattr(found, name))


def test_clusters_of_one_are_examples() -> None:
    columns, _ = drawn_clusters(30, 1, 0.0, 5)
    assert mean_intervals(columns, Clusters.of(range(30), "title")).errors[0] == pytest.approx(
        stats.sem(columns[:, 0])
    )


def dense(columns: np.ndarray, clusters: Clusters, alike: float) -> tuple[float, float]:
    """The unbiased CR2 variance and its degrees of freedom, using full matrices.

    Satterthwaite's, less the covariance of the squared mean and the estimate.
    """
    sizes, examples = clusters.sizes, clusters.examples
    same = clusters.codes[:, None] == clusters.codes
    covariance = np.where(same, alike, 0.0) + (1 - alike) * np.eye(examples)
    centring = np.eye(examples) - 1 / examples
    by_group = (clusters.codes == np.arange(clusters.count)[:, None]).astype(float) @ centring
    weights = np.diag(1 / (examples**2 * (1 - sizes / examples)))
    form = by_group.T @ weights @ by_group
    estimate = float(columns @ form @ columns)
    product = form @ covariance
    true = covariance.sum() / examples**2
    spread = np.trace(product @ product) / np.trace(product) ** 2
    together = (covariance @ product).sum() / examples**2 / (true * np.trace(product))
    return estimate * true / np.trace(product), 1 / (spread - together)


def test_unequal_clusters_agree_with_the_whole_matrices() -> None:
    generator = np.random.default_rng(6)
    labels = np.repeat(np.arange(9), [1, 2, 3, 4, 5, 8, 13, 2, 21])
    clusters = Clusters.of(labels.tolist(), "title")
    scores = 50 + 9 * generator.normal(0, 1, 9)[labels] + generator.normal(0, 9, len(labels))
    found = mean_intervals(scores[:, None], clusters)
    # The analysis of variance estimates the correlation.
    own = [scores[labels == label] for label in range(9)]
    between = sum(len(each) * (each.mean() - scores.mean()) ** 2 for each in own) / 8
    within = sum(((each - each.mean()) ** 2).sum() for each in own) / (len(labels) - 9)
    usual = (len(labels) - (clusters.sizes**2).sum() / len(labels)) / 8
    alike = (between - within) / (between + (usual - 1) * within)
    assert 0.1 < alike < 0.9
    variance, freedom = dense(scores, clusters, alike)
    assert found.errors[0] ** 2 == pytest.approx(variance)
    assert found.freedom[0] == pytest.approx(freedom)


def test_a_score_has_the_same_interval_whatever_is_beside_it() -> None:
    columns, clusters = drawn_clusters(15, 4, 0.2, 7)
    more = np.column_stack([columns[:, 0], columns[::-1, 0], np.full(60, 100.0)])
    together, alone = mean_intervals(more, clusters), mean_intervals(columns, clusters)
    assert together.lows[0] == pytest.approx(alone.lows[0])
    assert together.highs[0] == pytest.approx(alone.highs[0])


@pytest.mark.parametrize(("right", "of"), [(7, 10), (29, 30)])
def test_clusters_right_or_wrong_as_a_whole_have_the_interval_of_wilson(
    right: int, of: int
) -> None:
    """Their variance is p(1 - p) / (n - 1), for any p, so no t is needed."""
    labels = [place // 4 for place in range(4 * of)]
    found = mean_interval([100.0 * (label < right) for label in labels], labels)
    square, share = stats.norm.ppf(0.975) ** 2 / (of - 1), right / of
    half = (square * (share * (1 - share) + square / 4)) ** 0.5
    expected = [100 * (share + square / 2 + side * half) / (1 + square) for side in (-1, 1)]
    assert found == pytest.approx(expected)


def test_no_interval_is_wider_than_if_clusters_were_right_or_wrong_as_a_whole() -> None:
    """One score in ten is slightly less than right, which says almost nothing about the spread."""
    values = [100.0] * 9 + [90.0]
    whole = stats.binomtest(10, 10).proportion_ci(method="wilson").low
    for labels in (None, list(range(10)), [place // 3 for place in range(30)]):
        own = values if labels is None or len(labels) == 10 else np.repeat(values, 3).tolist()
        low, _ = mean_interval(own, labels)
        assert 100 * whole - 2 < low < 93


def test_two_clusters_that_agree_by_chance_prove_nothing() -> None:
    low, high = mean_interval([0.0, 0.0, 100.0, 33.3], [0, 0, 0, 1])
    assert high - low > 60


def test_scores_beyond_the_scale_have_their_own_bounds() -> None:
    low, high = mean_interval([150.0, 20.0, 60.0, 130.0, 90.0])
    assert 0 < low < 90 < high <= 150


def difference(values: list[float], labels: list[int] | None = None) -> Estimates:
    clusters = Clusters.apart(len(values)) if labels is None else Clusters.of(labels, "title")
    return difference_intervals(np.array([values]).T, clusters)


def test_no_difference_among_few_is_no_certainty() -> None:
    for count, reach in ((40, 6.9), (4000, 0.07)):
        found = difference([0.0] * count)
        assert (-found.lows[0], found.highs[0]) == pytest.approx((reach, reach), abs=0.05)
    # Clusters in which all examples may change together.
    assert difference([0.0] * 40, [place // 4 for place in range(40)]).highs[0] > 25


def test_one_question_tells_nothing_of_a_difference() -> None:
    found = difference([100.0])
    assert (found.lows[0], found.highs[0]) == (-100.0, 100.0)


def test_many_differences_have_the_interval_of_student() -> None:
    values = np.random.default_rng(8).normal(3, 20, 900)
    found = difference(values.tolist())
    expected = stats.t.interval(0.95, 899, values.mean(), stats.sem(values))
    assert (found.lows[0], found.highs[0]) == pytest.approx(expected, rel=0.01)


def test_right_and_wrong_have_nearly_the_interval_of_bonett_and_price() -> None:
    wins, losses, ties = 12, 3, 85
    found = difference([100.0] * wins + [-100.0] * losses + [0.0] * ties)
    one, other, total = wins + 1, losses + 1, wins + losses + ties + 2
    centre = (one - other) / total
    half = 1.96 * (((one + other) / total - centre**2) / total) ** 0.5
    assert (found.highs[0] - found.lows[0]) / 200 == pytest.approx(half, rel=0.03)


def test_the_points_of_student() -> None:
    points = student(np.array([1.0, 5.5, 30.0, inf]))
    assert points == pytest.approx([12.706, stats.t.ppf(0.975, 5.5), 2.0423, 1.95996], abs=1e-3)
    assert student(np.array([0.0]))[0] == inf


@pytest.mark.parametrize(("count", "share"), [(20, 0.95), (100, 0.99), (20, 0.5), (50, 0.9)])
def test_shares_near_the_edge_are_covered(count: int, share: float) -> None:
    """Exactly, over all numbers of right answers; a percentile bootstrap covers 64 and 63 %."""
    covered = 0.0
    for right in range(count + 1):
        low, high = mean_interval([100.0] * right + [0.0] * (count - right))
        if low <= 100 * share <= high:
            covered += float(stats.binom.pmf(right, count, share))
    assert 0.92 < covered < 0.99


@pytest.mark.parametrize("alike", [0.0, 0.3])
def test_means_of_clusters_are_covered(alike: float) -> None:
    generator = np.random.default_rng(11)
    codes = np.repeat(np.arange(24), generator.integers(1, 40, 24))
    clusters = Clusters.of(codes.tolist(), "title")
    effects = generator.normal(0, 15 * alike**0.5, (24, 4000))[codes]
    scores = 55 + effects + generator.normal(0, 15 * (1 - alike) ** 0.5, (len(codes), 4000))
    found = mean_intervals(scores.clip(0, 100), clusters)
    assert 0.935 < np.mean((found.lows < 55) & (found.highs > 55)) < 0.975


@pytest.mark.parametrize(("count", "size"), [(5, 10), (10, 5), (20, 1)])
@pytest.mark.parametrize("share", [0.85, 0.95])
def test_few_clusters_that_go_wrong_as_a_whole_are_covered(
    count: int, size: int, share: float
) -> None:
    """A sample may hold none of them, and all its scores are nearly right then."""
    generator = np.random.default_rng(12)
    clusters = Clusters.of([place // size for place in range(count * size)], "title")
    right = generator.beta(share, 1 - share, (count, 4000))[clusters.codes]
    scores = 100 * generator.beta(8 * right + 1e-3, 8 * (1 - right) + 1e-3)
    found = mean_intervals(scores, clusters)
    truth = 100 * (8 * share + 1e-3) / (8 + 2e-3)
    assert 0.92 < np.mean((found.lows <= truth) & (found.highs >= truth)) < 0.98


@pytest.mark.parametrize("sizes", [[200, *[10] * 10], [100, *[10] * 20], [200, *[1] * 100]])
def test_one_cluster_that_decides_the_mean_is_covered(sizes: list[int]) -> None:
    generator = np.random.default_rng(14)
    clusters = Clusters.of(np.repeat(np.arange(len(sizes)), sizes).tolist(), "title")
    shares = generator.beta(4 * 0.95, 4 * 0.05, (len(sizes), 4000))[clusters.codes]
    found = mean_intervals(100.0 * (generator.random(shares.shape) < shares), clusters)
    assert 0.93 < np.mean((found.lows <= 95) & (found.highs >= 95)) < 0.98


def test_large_clusters_move_mean_and_variance_together() -> None:
    """So the ratio of both varies less than for equal clusters of as many degrees of freedom."""
    generator = np.random.default_rng(13)
    codes = np.repeat(np.arange(10), [200, 60, 60, 30, 30, 30, 10, 10, 10, 5])
    clusters = Clusters.of(codes.tolist(), "title")
    scores = 50 + generator.normal(0, 9, (10, 8000))[codes]
    scores += generator.normal(0, 9, scores.shape)
    found = difference_intervals(scores - 50, clusters)
    ratios = found.values / found.errors
    half = student(found.freedom)
    assert np.mean(np.abs(ratios) > half) == pytest.approx(0.05, abs=0.015)
