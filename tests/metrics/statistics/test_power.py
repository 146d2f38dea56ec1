import numpy as np
import pytest
from scipy import stats

from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.intervals import difference_intervals
from aqa.metrics.statistics.power import (
    detectable_difference,
    detectable_share,
    share_of_few,
    skewness,
)
from aqa.metrics.statistics.sign_flips import mcnemar, sign_flip_tests


@pytest.mark.parametrize("level", [0.05, 0.05 / 6])
@pytest.mark.parametrize("spread", [0.0, 1.0])  # of the logarithm of cluster sizes
def test_four_of_five_differences_of_that_size_are_found(level: float, spread: float) -> None:
    generator = np.random.default_rng(5)
    sizes = np.ceil(10 * np.exp(generator.normal(0, spread, 20))).astype(int)
    clusters = Clusters.of(np.repeat(np.arange(20), sizes).tolist(), "title")

    def drawn(size: float) -> np.ndarray:
        alike = generator.normal(0, 25, (20, 600))[clusters.codes]
        return size + alike + generator.normal(0, 25, alike.shape)

    columns = drawn(0.0)
    errors = difference_intervals(columns, clusters).errors.tolist()
    tails = share_of_few(clusters.sums(columns)).tolist()
    found = [
        detectable_difference(error, 20, level, own)
        for error, own in zip(errors, tails, strict=True)
    ]
    shown = sign_flip_tests(drawn(float(np.mean(found))), clusters)
    assert np.mean([each.p <= level for each in shown]) == pytest.approx(0.8, abs=0.045)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_skewed_gains_and_losses_are_found_as_often(side: float) -> None:
    generator = np.random.default_rng(6)
    clusters = Clusters.apart(48)

    def drawn(size: float) -> np.ndarray:
        return size + side * (generator.exponential(30, (48, 3000)) - 30)

    columns = drawn(0.0)
    errors = difference_intervals(columns, clusters).errors.tolist()
    tails = share_of_few(columns).tolist()
    skews = skewness(columns - columns.mean(axis=0)).tolist()
    found = [
        detectable_difference(error, 48, 0.05, own, skew)
        for error, own, skew in zip(errors, tails, skews, strict=True)
    ]
    shown = sign_flip_tests(drawn(float(np.mean(found))), clusters)
    assert np.mean([each.p <= 0.05 for each in shown]) == pytest.approx(0.8, abs=0.04)


@pytest.mark.parametrize(("examples", "differing"), [(20, 6), (60, 12), (200, 8), (1000, 100)])
@pytest.mark.parametrize("level", [0.05, 0.05 / 45])
def test_mcnemar_finds_four_of_five(examples: int, differing: int, level: float) -> None:
    size = detectable_share(examples, differing, level)
    assert size is not None
    share = max(differing / examples, size)
    wins = (share + size) / 2
    draws = np.random.default_rng(7).multinomial(examples, [wins, share - wins, 1 - share], 4000)
    found = np.mean([mcnemar(int(draw[0]), int(draw[1])) <= level for draw in draws])
    assert found == pytest.approx(0.8, abs=0.025)


@pytest.mark.parametrize(("examples", "level"), [(5, 0.05), (1, 0.05), (6, 0.05 / 3)])
def test_so_few_show_no_difference_at_all(examples: int, level: float) -> None:
    assert detectable_share(examples, examples, level) is None
    assert detectable_difference(10.0, examples, level) is None


def test_where_none_differ_as_many_as_the_test_needs_would_have_to() -> None:
    size = detectable_share(40, 0)
    assert size is not None
    assert stats.binom.sf(5, 40, size) == pytest.approx(0.8, abs=1e-6)  # six wins and no loss


def test_a_large_sample_follows_the_normal_law() -> None:
    assert detectable_difference(1.0, 100_000) == pytest.approx(2.8016, abs=1e-3)
