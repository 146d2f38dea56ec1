import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from aqa.errors import UsageError
from aqa.evaluation import comparison
from aqa.evaluation.comparison import Comparison, Values, compare
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.power import detectable_share
from aqa.metrics.statistics.sign_flips import SEED, holm


def comparisons(
    values: Values, baseline: str | None = None, seed: int = SEED
) -> tuple[Comparison, ...]:
    return compare(values, apart(values), baseline, seed)


def apart(values: Values) -> Clusters:
    return Clusters.apart(len(next(iter(next(iter(values.values())).values()))))


def noisy(count: int, mean: float, seed: int) -> list[float]:
    generator = random.Random(seed)
    return [min(100.0, max(0.0, generator.gauss(mean, 20))) for _ in range(count)]


def test_interval_and_p_agree_with_student() -> None:
    a, b = noisy(200, 50, 1), noisy(200, 53, 2)
    (found,) = comparisons({"a": {"f1": a}, "b": {"f1": b}})
    difference = np.subtract(b, a)
    theirs = stats.ttest_1samp(difference, 0)
    assert found.difference == pytest.approx(difference.mean())
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval()), abs=0.15)
    assert found.p == pytest.approx(theirs.pvalue, abs=0.01)
    assert (found.test, found.design_effect) == ("sign-flip", 1.0)


@pytest.mark.parametrize("metric", ["em", "lenient"])  # the values matter, not the name
def test_counts_and_tests_of_right_and_wrong(metric: str) -> None:
    a = [100.0] * 3 + [0.0] * 12 + [100.0] * 5
    b = [0.0] * 3 + [100.0] * 12 + [100.0] * 5
    (found,) = comparisons({"a": {metric: a}, "b": {metric: b}})
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
    (found,) = comparisons(values)
    (alone,) = comparisons({name: {"f1": own["f1"][:count]} for name, own in values.items()})
    assert found.p == alone.p == p
    assert alone.is_real == (count > 5)


def test_five_wins_and_a_small_loss_are_not_better() -> None:
    (found,) = comparisons({"a": {"f1": [0.0] * 5 + [6, 7, 8]}, "b": {"f1": [100] * 5 + [0, 7, 8]}})
    assert (found.p, found.is_real) == (0.0625, False)
    assert found.detectable is not None
    assert found.detectable >= found.difference


def test_questions_of_one_article_do_not_prove_as_much_as_questions_of_many() -> None:
    generator = np.random.default_rng(3)
    effects = np.repeat(generator.normal(0, 20, 20), 30)
    a = generator.normal(50, 10, 600).clip(0, 100)
    values = {"a": {"f1": a}, "b": {"f1": (a + effects + generator.normal(0, 5, 600)).clip(0, 100)}}
    together = Clusters.of(np.repeat(np.arange(20), 30).tolist(), "title")
    (apart_,) = compare(values, Clusters.apart(600))
    (found,) = compare(values, together)
    assert found.high - found.low > 3 * (apart_.high - apart_.low)
    assert found.p > 10 * apart_.p
    assert found.design_effect is not None
    assert found.design_effect > 9
    assert found.test == "sign-flip-exact"
    assert found.detectable is not None
    assert apart_.detectable is not None
    assert found.detectable > 3 * apart_.detectable


def test_many_systems_leave_the_worst_and_the_best_apart() -> None:
    """For the 528 pairs of 33 systems, 10,000 draws alone could make nothing significant."""
    generator = np.random.default_rng(8)
    values = {
        f"s{place}": {"f1": generator.random(200) * 100 * (generator.random(200) < place / 36)}
        for place in range(33)
    }
    found = comparisons(values)
    assert len(found) == 528
    last = next(one for one in found if (one.a, one.b) == ("s0", "s32"))
    assert last.is_real
    assert last.p_holm < 1e-10
    for one in found:
        if not one.is_real:
            assert one.detectable is not None
            assert abs(one.difference) <= one.detectable


def test_the_level_of_each_pair_is_that_of_holm() -> None:
    """One of three is certain: the others are tested at half of 5 %, or all of it."""
    right = [100.0] * 30 + [0.0] * 170
    same = [*right[1:], right[0]]
    values = {"a": {"em": [0.0] * 200}, "b": {"em": right}, "c": {"em": same}}
    found = {(one.a, one.b): one for one in comparisons(values)}
    assert [found[pair].is_real for pair in (("a", "b"), ("a", "c"), ("b", "c"))] == [
        True,
        True,
        False,
    ]
    for pair, level in ((("b", "c"), 0.05), (("a", "b"), 0.025), (("a", "c"), 0.025)):
        one = found[pair]
        share = detectable_share(200, one.wins + one.losses, level)
        assert one.detectable == pytest.approx(100 * (share or 0))


def test_a_baseline_is_the_a_of_every_pair() -> None:
    values = {name: {"f1": noisy(20, 50, seed)} for seed, name in enumerate("abc")}
    assert [(one.a, one.b) for one in comparisons(values, "b")] == [("b", "a"), ("b", "c")]
    with pytest.raises(UsageError, match='the baseline "x" is not one of the systems a, b, c'):
        comparisons(values, "x")


def test_only_shared_metrics_are_compared() -> None:
    values = {"a": {"em": [0.0], "f1": [50.0]}, "b": {"f1": [60.0]}}
    assert [one.metric for one in comparisons(values)] == ["f1"]


def test_what_one_system_lacks_is_compared_between_the_others() -> None:
    values = {name: {"f1": noisy(20, 50, seed)} for seed, name in enumerate("abc")}
    values["a"]["bleu"], values["c"]["bleu"] = noisy(20, 10, 4), noisy(20, 20, 5)
    found = [(one.metric, one.a, one.b) for one in comparisons(values)]
    assert found == [*(("f1", *pair) for pair in ("ab", "ac", "bc")), ("bleu", "a", "c")]
    values.pop("c")
    assert [one.metric for one in comparisons(values)] == ["f1"]


def test_one_system_has_no_pair() -> None:
    assert comparisons({"a": {"em": [0.0]}}) == ()


@pytest.mark.parametrize("count", [1, 40])
def test_equal_systems(count: int) -> None:
    same = {"em": [100.0, *[0.0] * (count - 1)]}
    (found,) = comparisons({"a": same, "b": same})
    assert (found.difference, found.p) == (0, 1)
    assert found.low == -found.high < -5
    assert not found.is_real
    assert (found.detectable is None) == (count == 1)


def test_another_seed_gives_other_draws() -> None:
    values = {"a": {"f1": noisy(90, 50, 1)}, "b": {"f1": noisy(90, 53, 2)}}
    assert comparisons(values, seed=7) == comparisons(values, seed=7)
    one, two = comparisons(values), comparisons(values, seed=7)
    assert one[0].p != two[0].p
    assert one[0].p == pytest.approx(two[0].p, abs=0.03)
    assert one[0].low == two[0].low


def test_a_comparison_turned_round() -> None:
    found = Comparison("A", "B", "f1", 2.0, -1.0, 5.0, 0.2, 0.2, "sign-flip", 1, 2, 3, 3.44)
    turned = found.turned()
    assert (turned.a, turned.b) == ("B", "A")
    assert (turned.difference, turned.low, turned.high) == (-2.0, -5.0, 1.0)
    assert (turned.wins, turned.ties, turned.losses) == (3, 2, 1)
    assert turned.turned() == found
    assert f"{replace(found, difference=0.0).turned().difference:+.1f}" == "+0.0"


def test_many_pairs_are_compared_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = np.random.default_rng(0)
    values = {
        f"s{i}": {"em": 100.0 * (draws.random(40) < 0.5), "f1": 100 * draws.random(40)}
        for i in range(4)
    }
    at_once = comparison.measure(values, Clusters.apart(40))
    columns: list[int] = []
    tests = comparison.sign_flip_tests

    def counted(held: Any, *rest: Any) -> Any:
        columns.append(held.shape[1])
        return tests(held, *rest)

    monkeypatch.setattr(comparison, "sign_flip_tests", counted)
    monkeypatch.setattr(comparison, "_CELLS", 5 * 40)
    assert repr(comparison.measure(values, Clusters.apart(40))) == repr(at_once)
    assert columns == [5, 5, 2]
