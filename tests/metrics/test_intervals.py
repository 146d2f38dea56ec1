import random
import time
import tracemalloc
from statistics import NormalDist, fmean, pstdev, quantiles

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from aqa.metrics.intervals import (
    RESAMPLES,
    SEED,
    bootstrap_interval,
    bootstrap_intervals,
    interval_signature,
    resampled_means,
)

GENERATOR = random.Random(7)
KINDS = {
    "exact match": lambda: 100.0 * (GENERATOR.random() < 0.6),
    "f1": lambda: 100.0 * GENERATOR.randrange(8) / 7,
    "continuous": lambda: min(100.0, max(0.0, GENERATOR.gauss(85, 6))),
    "continuous with zeros": lambda: 0.0 if GENERATOR.random() < 0.02 else GENERATOR.gauss(85, 4),
}


def plain_interval(values: list[float], resamples: int) -> tuple[float, float]:
    """Draw one by one, as the method is defined."""
    means = [fmean(GENERATOR.choices(values, k=len(values))) for _ in range(resamples)]
    cuts = quantiles(means, n=40, method="inclusive")
    return cuts[0], cuts[-1]


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("count", [60, 800])
def test_equals_the_plain_method(kind: str, count: int) -> None:
    values = [KINDS[kind]() for _ in range(count)]
    low, high = bootstrap_interval(values)
    plain = plain_interval(values, 3000)
    assert (low, high) == pytest.approx(plain, abs=0.08 * (high - low))
    assert low < fmean(values) < high


@pytest.mark.parametrize("kind", list(KINDS))
def test_equals_scipy(kind: str) -> None:
    values = [KINDS[kind]() for _ in range(500)]
    low, high = bootstrap_interval(values)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", rng=3).confidence_interval
    assert (low, high) == pytest.approx(tuple(theirs), abs=0.05 * (high - low))


# Few values are drawn together, many one by one, and many of very many examples in groups.
@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("count", [7, 3_000, 40_000])
def test_resamples_have_the_law_of_drawing_one_by_one(kind: str, count: int) -> None:
    values = [KINDS[kind]() for _ in range(count)]
    drawn = resampled_means(np.array([values]).T)[:, 0]
    assert drawn.shape == (RESAMPLES,)
    deviation = pstdev(values) / count**0.5
    assert drawn.mean() == pytest.approx(fmean(values), abs=4 * deviation / RESAMPLES**0.5)
    assert drawn.std() == pytest.approx(deviation, rel=0.04)
    if count > 1000:
        z = NormalDist().inv_cdf(0.975)
        expected = (fmean(values) - z * deviation, fmean(values) + z * deviation)
        assert bootstrap_interval(values) == pytest.approx(expected, abs=0.2 * deviation)


def test_is_the_same_each_time_and_another_with_another_seed() -> None:
    values = [KINDS["continuous"]() for _ in range(700)]
    assert bootstrap_interval(values) == bootstrap_interval(values, SEED)
    assert bootstrap_interval(values) != bootstrap_interval(values, 7)


@pytest.mark.parametrize("count", [50, 2_000])
def test_a_score_has_the_same_interval_whatever_is_beside_it(count: int) -> None:
    columns = [[draw() for _ in range(count)] for draw in KINDS.values()]
    together = bootstrap_intervals(columns)
    for interval, values in zip(together, columns, strict=True):
        assert interval == pytest.approx(bootstrap_interval(values), abs=1e-9)
    assert bootstrap_intervals([]) == []


def test_the_signature_tells_resamples_and_seed() -> None:
    assert interval_signature(7) == "bs:10000|seed:7"


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30))
def test_stays_within_the_values(values: list[float]) -> None:
    low, high = bootstrap_interval(values)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


def test_no_spread() -> None:
    assert bootstrap_interval([40.0] * 9) == pytest.approx((40.0, 40.0))


@pytest.mark.parametrize("count", [10_000, 100_000])
def test_many_examples_need_little_time_and_memory(count: int) -> None:
    values = [KINDS["continuous"]() for _ in range(count)]
    bootstrap_interval(values[:10])
    started = time.process_time()
    bootstrap_interval(values)
    assert time.process_time() - started < 4
    tracemalloc.start()
    resampled_means(np.array([values]).T)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * 2**20
