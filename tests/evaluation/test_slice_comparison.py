import numpy as np
import pytest

from aqa.evaluation.comparison import Values
from aqa.evaluation.slices import compare_slices
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.sign_flips import SEED, holm, mcnemar

RIGHT, WRONG = 100.0, 0.0
# In the first ten b is right where a is wrong, and vice versa in the other ten.
VALUES: Values = {
    "a": {"em": [WRONG] * 10 + [RIGHT] * 10},
    "b": {"em": [RIGHT] * 10 + [WRONG] * 6 + [RIGHT] * 4},
}
HALVES = {"half": {"first": list(range(10)), "second": list(range(10, 20))}}
APART = Clusters.apart(20)


def test_each_group_has_its_difference_corrected_over_all() -> None:
    found = compare_slices({"a": HALVES, "b": HALVES}, VALUES, APART, None, SEED)["half"]
    (first,), (second,) = found["first"], found["second"]
    assert (first.difference, second.difference) == (100, -60)
    assert (first.wins, second.losses, second.ties) == (10, 6, 4)
    assert [first.p, second.p] == [mcnemar(10, 0), mcnemar(0, 6)]
    assert [first.p_holm, second.p_holm] == holm([first.p, second.p])
    assert first.low < 100 <= first.high
    assert first.is_real
    assert second.is_real


def test_other_examples_of_another_system_are_not_compared() -> None:
    other = {"half": {"first": list(range(9)), "second": list(range(9, 20))}}
    assert compare_slices({"a": HALVES, "b": other}, VALUES, APART, None, SEED) == {"half": {}}
    values = {**VALUES, "c": VALUES["a"]}
    groups = {"a": HALVES, "b": other, "c": HALVES}
    found = compare_slices(groups, values, APART, None, SEED)["half"]
    assert {(one.a, one.b) for one in found["first"]} == {("a", "c")}


def test_groups_keep_their_clusters() -> None:
    clusters = Clusters.of([place // 5 for place in range(20)], "title")
    found = compare_slices({"a": HALVES, "b": HALVES}, VALUES, clusters, None, SEED)["half"]
    assert found["first"][0].p == 0.5  # two clusters
    assert found["first"][0].test == "sign-flip-exact"


@pytest.mark.parametrize("baseline", ["a", "b"])
def test_a_baseline_is_the_a(baseline: str) -> None:
    values = {**VALUES, "c": VALUES["a"]}
    found = compare_slices(dict.fromkeys("abc", HALVES), values, APART, baseline, SEED)["half"]
    assert {one.a for one in found["first"]} == {baseline}
    assert len(found["first"]) == 2


def test_one_system_has_no_difference() -> None:
    assert compare_slices({"a": HALVES}, {"a": VALUES["a"]}, APART, None, SEED) == {}


@pytest.mark.slow
def test_false_alarms_over_ten_groups_stay_within_five_per_cent() -> None:
    """Without Holm's correction over groups, two in five such slices would have one."""
    generator = np.random.default_rng(3)
    places = {"key": {str(group): list(range(40 * group, 40 * group + 40)) for group in range(10)}}
    alarms = 0
    for _ in range(100):
        values = {name: {"f1": generator.random(400) * 100} for name in "ab"}
        found = compare_slices({"a": places, "b": places}, values, Clusters.apart(400), None, SEED)
        alarms += any(one.is_real for group in found["key"].values() for one in group)
    assert alarms <= 12
