import random
import time
import tracemalloc
from statistics import fmean, quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqa.metrics.intervals import bootstrap_interval

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


def test_is_the_same_each_time() -> None:
    values = [KINDS["continuous"]() for _ in range(700)]
    assert bootstrap_interval(values) == bootstrap_interval(values)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30))
def test_stays_within_the_values(values: list[float]) -> None:
    low, high = bootstrap_interval(values)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


def test_no_spread() -> None:
    assert bootstrap_interval([40.0] * 9) == pytest.approx((40.0, 40.0))


def test_many_examples_need_little_time_and_memory() -> None:
    values = [KINDS["continuous"]() for _ in range(100_000)]
    bootstrap_interval(values[:10])
    started = time.process_time()
    bootstrap_interval(values)
    assert time.process_time() - started < 2
    tracemalloc.start()
    bootstrap_interval(values)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * 2**20
