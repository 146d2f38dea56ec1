import random
from dataclasses import replace
from statistics import stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from aqa.errors import UsageError
from aqa.evaluation.comparison import (
    Comparison,
    Values,
    compare,
    detectable_difference,
    holm,
    mcnemar,
    verdict,
)
from aqa.metrics.intervals import SEED, bootstrap_interval


def comparisons(
    values: Values, baseline: str | None = None, seed: int = SEED
) -> tuple[Comparison, ...]:
    return compare(values, baseline, seed).comparisons


def noisy(count: int, mean: float, seed: int) -> list[float]:
    generator = random.Random(seed)
    return [min(100.0, max(0.0, generator.gauss(mean, 20))) for _ in range(count)]


@pytest.mark.parametrize(
    ("wins", "losses", "p"),
    [  # statsmodels 0.15.0: mcnemar([[10, wins], [losses, 10]], exact=True).pvalue
        (12, 3, 0.03515625),
        (0, 5, 0.0625),
        (86, 150, 3.7159361395713866e-05),
        (7, 7, 1.0),
        (1, 0, 1.0),
        (0, 0, 1.0),
    ],
)
def test_mcnemar(wins: int, losses: int, p: float) -> None:
    assert mcnemar(wins, losses) == pytest.approx(p, rel=1e-12)
    assert mcnemar(losses, wins) == mcnemar(wins, losses)


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_the_binomial_test(wins: int, losses: int) -> None:
    if wins + losses:
        expected = stats.binomtest(wins, wins + losses).pvalue
        assert mcnemar(wins, losses) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("given", "corrected"),
    [  # statsmodels 0.15.0: multipletests(given, method="holm")[1]
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.02, 0.02, 0.9], [0.06, 0.06, 0.9]),
        ([0.7, 0.8], [1.0, 1.0]),
        ([0.2], [0.2]),
    ],
)
def test_holm(given: list[float], corrected: list[float]) -> None:
    assert holm(given) == pytest.approx(corrected)


def test_interval_and_p_agree_with_scipy() -> None:
    a, b = noisy(200, 50, 1), noisy(200, 53, 2)
    (found,) = comparisons({"a": {"f1": a}, "b": {"f1": b}})
    difference = np.subtract(b, a)
    theirs = stats.bootstrap((difference,), np.mean, method="percentile", rng=3)
    assert found.difference == pytest.approx(difference.mean())
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.15)
    assert found.p == pytest.approx(stats.ttest_1samp(difference, 0).pvalue, abs=0.01)
    assert found.test == "paired-bootstrap"


def test_counts_and_tests_of_em() -> None:
    a = [100.0] * 3 + [0.0] * 12 + [100.0] * 5
    b = [0.0] * 3 + [100.0] * 12 + [100.0] * 5
    (found,) = comparisons({"a": {"em": a}, "b": {"em": b}})
    assert (found.wins, found.ties, found.losses) == (12, 5, 3)
    assert found.difference == pytest.approx(45)
    assert (found.test, found.p) == ("mcnemar-exact", pytest.approx(0.03515625))


def test_the_other_way_round_is_the_mirror_image() -> None:
    a, b = noisy(90, 50, 1), noisy(90, 60, 2)
    (one,) = comparisons({"a": {"f1": a}, "b": {"f1": b}})
    (two,) = comparisons({"b": {"f1": b}, "a": {"f1": a}})
    assert one.difference == pytest.approx(-two.difference)
    assert (one.low, one.high) == pytest.approx((-two.high, -two.low))
    assert (one.wins, one.losses, one.p) == (two.losses, two.wins, two.p)
    assert one.detectable == pytest.approx(two.detectable)


def test_holm_counts_the_pairs_of_one_metric() -> None:
    values = {
        name: {"em": [100.0 * (value > 50) for value in noisy(50, mean, seed)]}
        for name, mean, seed in (("a", 40, 1), ("b", 50, 2), ("c", 80, 3))
    }
    found = comparisons(values)
    assert [(one.a, one.b) for one in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [one.p_holm for one in found] == pytest.approx(holm([one.p for one in found]))


@pytest.mark.parametrize(("count", "p"), [(1, 1.0), (2, 0.5), (5, 0.0625), (8, 0.0078125)])
def test_few_differing_examples_prove_little(count: int, p: float) -> None:
    values = {"a": {"f1": [0.0] * 20}, "b": {"f1": [80.0] * count + [0.0] * (20 - count)}}
    (found,) = compare(values).comparisons
    assert found.p >= p
    (alone,) = compare(
        {name: {"f1": own["f1"][:count]} for name, own in values.items()}
    ).comparisons
    assert alone.p == p
    assert alone.is_real == (count > 5)


def test_a_baseline_is_the_a_of_every_pair() -> None:
    values = {name: {"f1": noisy(20, 50, seed)} for seed, name in enumerate("abc")}
    assert [(one.a, one.b) for one in comparisons(values, "b")] == [("b", "a"), ("b", "c")]
    with pytest.raises(UsageError, match='the baseline "x" is no system; there are a, b, c'):
        comparisons(values, "x")


def test_only_shared_metrics_are_compared() -> None:
    values = {"a": {"em": [0.0], "f1": [50.0]}, "b": {"f1": [60.0]}}
    assert [one.metric for one in comparisons(values)] == ["f1"]


def test_one_system_has_no_pair() -> None:
    assert comparisons({"a": {"em": [0.0]}}) == ()


@pytest.mark.parametrize("count", [1, 40])
def test_equal_systems(count: int) -> None:
    same = {"em": [100.0, *[0.0] * (count - 1)]}
    (found,) = comparisons({"a": same, "b": same})
    assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert not found.is_real
    assert 0 < found.detectable <= 100


def test_the_detectable_difference_is_detected_in_four_of_five() -> None:
    generator = np.random.default_rng(5)
    base = generator.normal(0, 30, 100)
    size = detectable_difference(base)
    assert size == pytest.approx(2.801585 * stdev(base) / 10)  # z(0.975) + z(0.8)
    draws = generator.normal(size, stdev(base), (2000, 100))
    shown = np.mean(stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05)
    assert shown == pytest.approx(0.8, abs=0.06)


@pytest.mark.parametrize("count", [40, 900])
def test_each_score_has_its_interval(count: int) -> None:
    a, b = noisy(count, 50, 1), noisy(count, 53, 2)
    right = [100.0 * (value > 50) for value in a]
    found = compare({"a": {"em": right, "f1": a}, "b": {"f1": b}}).intervals
    assert {name: list(own) for name, own in found.items()} == {"a": ["em", "f1"], "b": ["f1"]}
    for interval, values in ((found["a"]["em"], right), (found["b"]["f1"], b)):
        assert interval == pytest.approx(bootstrap_interval(values), abs=1e-9)


def test_another_seed_gives_other_resamples() -> None:
    values = {"a": {"f1": noisy(90, 50, 1)}, "b": {"f1": noisy(90, 53, 2)}}
    assert comparisons(values, seed=7) == comparisons(values, seed=7)
    one, two = comparisons(values), comparisons(values, seed=7)
    assert one[0].low != two[0].low
    assert one[0].low == pytest.approx(two[0].low, abs=0.5)


def comparison(difference: float, low: float, high: float, p: float) -> Comparison:
    return Comparison(
        "A", "B", "f1", difference, low, high, p, p, "paired-bootstrap", 1, 2, 3, 3.44
    )


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (comparison(2.1, 0.4, 3.9, 0.01), "B is better than A by 2.1 F1 (95 %: 0.4 to 3.9); "),
        (comparison(-2.1, -3.9, -0.4, 0.01), "A is better than B by 2.1 F1 (95 %: 0.4 to 3.9); "),
        (
            comparison(0.3, -0.8, 1.4, 0.6),
            "A and B can't be told apart by F1 (B - A: +0.3; 95 %: -0.8 to 1.4); ",
        ),
        (
            comparison(-2.0, -3.6, -0.4, 0.07),
            "A and B can't be told apart by F1 (B - A: -2.0; 95 %: -3.6 to -0.4, yet p (Holm) is"
            " 0.0700); ",
        ),
    ],
)
def test_verdicts(found: Comparison, words: str) -> None:
    seen = "are often missed" if found.is_real else "can't be seen"
    assert verdict(found, 240) == f"{words}with 240 questions differences under 3.4 F1 {seen}"


def test_a_large_difference_in_words() -> None:
    assert verdict(comparison(5, 3, 7, 0.001), 1).endswith(
        "with 1 question differences under 3.4 F1 can't be seen"
    )


def test_a_comparison_turned_round() -> None:
    found = comparison(2.0, -1.0, 5.0, 0.2)
    turned = found.turned()
    assert (turned.a, turned.b) == ("B", "A")
    assert (turned.difference, turned.low, turned.high) == (-2.0, -5.0, 1.0)
    assert (turned.wins, turned.ties, turned.losses) == (3, 2, 1)
    assert turned.turned() == found
    assert f"{replace(found, difference=0.0).turned().difference:+.1f}" == "+0.0"
