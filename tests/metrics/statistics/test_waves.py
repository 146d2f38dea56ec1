"""The order in which clusters are drawn, and when one looks."""

from itertools import pairwise

import pytest

from aqa.metrics.statistics.waves import draw_order, wave_ends


def test_the_seed_fixes_the_order() -> None:
    strata = ["en"] * 60 + ["ko"] * 40
    order = draw_order(strata, 1)
    assert order == draw_order(strata, 1)
    assert order != draw_order(strata, 2)
    assert sorted(order) == list(range(100))


def test_every_part_of_the_order_has_its_share_of_each_stratum() -> None:
    strata = ["en"] * 60 + ["ko"] * 30 + ["mixed"] * 10
    order = draw_order(strata, 3)
    for start in range(0, 100, 10):
        part = [strata[cluster] for cluster in order[start : start + 10]]
        assert abs(part.count("en") - 6) <= 1
        assert abs(part.count("ko") - 3) <= 1


@pytest.mark.parametrize("growth", [1.1, 2.0])
def test_waves_grow(growth: float) -> None:
    ends = wave_ends([3] * 1000, growth)
    assert (ends[0], ends[-1]) == (22, 1000)  # 66 examples first
    for before, after in pairwise(ends[:-1]):
        assert after - before >= 22
        assert after >= growth * before - 1e-9
        assert after <= growth * before + 22


def test_a_wave_holds_ten_clusters_at_first() -> None:
    assert wave_ends([100] * 12) == [10, 11, 12]
    assert wave_ends([5, 5]) == [2]
