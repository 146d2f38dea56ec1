"""Learning an ensemble's rule from answers, and its findings."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from aqa.errors import DataError
from aqa.evaluation.ensembles import Answered, fit, has_confidence, learn, possible_rules
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.votes import Cascade, Majority, MinimumRisk, Single, Votes, Weighted

NONE = math.nan


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(5)


def answered(
    right: "np.ndarray",
    confidences: "np.ndarray | None" = None,
    costs: Sequence[float] = (),
    per_group: int = 10,
) -> Answered:
    """Readers that are right or wrong independently; (questions, readers)."""
    count, width = right.shape
    codes = np.where(right, 0, 1 + np.arange(width))
    same = codes[:, :, None] == codes[:, None, :]
    known = np.full(right.shape, NONE) if confidences is None else confidences
    votes = Votes(np.ones(right.shape, dtype=bool), same, same.astype(float), known)
    clusters = Clusters(np.arange(count) // per_group, "title")
    return Answered(votes, 100.0 * right, costs or [0.0] * width, clusters)


def test_readers_that_err_apart_gain_by_a_majority(random: np.random.Generator) -> None:
    apart = answered(random.random((600, 3)) < 0.65)
    found = learn(apart, "f1", possible_rules(apart.votes, apart.costs), 42)
    assert isinstance(found.rule, Majority | MinimumRisk)
    assert found.is_gain
    two, one = 3 * 0.65**2 * 0.35, 3 * 0.65 * 0.35**2  # one alone is the best reader in a third
    truth = 100 * (0.65**3 + two + one / 3 - 0.65)
    assert found.gain.low < truth < found.gain.high
    assert found.rules["member"] < found.rules["majority"] < found.oracle


def test_without_a_gain_the_best_member_is_taken(random: np.random.Generator) -> None:
    right = random.random((600, 1)) < 0.65
    alike = np.repeat(right, 3, axis=1)
    alike[:60, 1] = False  # reader 1 errs more often
    found = learn(answered(alike), "f1", ["majority", "mbr"], 42)
    assert found.rule == Single(0)
    assert not found.is_gain


def test_one_rule_alone_is_taken_whatever_it_gains(random: np.random.Generator) -> None:
    alike = np.repeat(random.random((200, 1)) < 0.65, 3, axis=1)
    found = learn(answered(alike), "f1", ["majority"], 42)
    assert isinstance(found.rule, Majority)
    assert not found.is_gain


def test_a_cascade_asks_as_few_as_it_needs(random: np.random.Generator) -> None:
    sure = random.random(400)
    right = np.column_stack([sure > 0.3, random.random(400) < 0.5])
    confidences = np.column_stack([sure, np.full(400, NONE)])
    rule = fit("cascade", answered(right, confidences, [0.0, 2.0]))
    assert isinstance(rule, Cascade)
    assert (rule.cheap, rule.dear) == (0, 1)
    assert rule.threshold == pytest.approx(0.3, abs=0.06)
    # An expensive reader that is never right is never asked.
    right[:, 1] = False
    never = fit("cascade", answered(right, confidences, [0.0, 2.0]))
    assert isinstance(never, Cascade)
    assert never.threshold <= sure.min()


def test_prices_tell_which_reader_is_dear(random: np.random.Generator) -> None:
    right = np.column_stack([np.ones(100, dtype=bool), random.random(100) < 0.5])
    sure = random.random((100, 2))
    by_price = fit("cascade", answered(right, sure, [5.0, 1.0]))
    listed = fit("cascade", answered(right, sure, [1.0, 1.0]))
    assert isinstance(by_price, Cascade)
    assert isinstance(listed, Cascade)
    assert (by_price.cheap, by_price.dear) == (1, 0)
    assert (listed.cheap, listed.dear) == (0, 1)


def test_thresholds_part_no_equal_confidences() -> None:
    sure = np.repeat([0.2, 0.4, 0.6, 0.8, 1.0], 40)  # like the agreement of five samples
    right = np.column_stack([sure > 0.5, np.ones(200, dtype=bool)])
    found = fit("cascade", answered(right, np.column_stack([sure, sure]), [0, 1]))
    assert isinstance(found, Cascade)
    assert found.threshold == 0.6


def test_expected_scores_rise_with_confidence(random: np.random.Generator) -> None:
    sure = random.normal(size=(500, 2))
    right = random.random((500, 2)) < 1 / (1 + np.exp(-2 * sure))
    rule = fit("weighted", answered(right, sure))
    assert isinstance(rule, Weighted)
    curve = rule.curves[0]
    assert list(curve.scores) == sorted(curve.scores)
    assert curve.scores[0] < 0.2 < 0.8 < curve.scores[-1]


def test_rules_that_need_confidence_are_left_out_without(random: np.random.Generator) -> None:
    right = random.random((50, 2)) < 0.5
    none = answered(right)
    first = answered(right, np.column_stack([np.ones(50), np.full(50, NONE)]))
    both = answered(right, np.ones((50, 2)))
    assert has_confidence(first.votes) == [True, False]
    assert possible_rules(none.votes, [0, 0]) == ["majority", "mbr"]
    assert possible_rules(first.votes, [0, 1]) == ["majority", "mbr", "cascade"]
    assert possible_rules(first.votes, [1, 0]) == ["majority", "mbr"]
    assert possible_rules(both.votes, [0, 0]) == ["majority", "mbr", "weighted", "cascade"]


def test_the_best_member_is_a_reader_not_what_else_it_would_have_said() -> None:
    right = np.column_stack([np.zeros(60, dtype=bool), np.ones(60, dtype=bool)])
    of_one = answered(right, np.ones((60, 2)), [0.0, math.inf], per_group=1)
    assert fit("member", of_one) == Single(0)
    assert learn(of_one, "f1", ["weighted"], 42).gain.difference == 100
    of_two = answered(right, np.ones((60, 2)), [0.0, 1.0])
    assert fit("member", of_two) == Single(1)


def test_too_few_groups_are_refused(random: np.random.Generator) -> None:
    few = answered(random.random((90, 2)) < 0.5)
    with pytest.raises(DataError, match=r"10 clusters by title or more, and there are 9"):
        learn(few, "f1", ["majority"], 42)
    alone = answered(random.random((9, 2)) < 0.5, per_group=1)
    with pytest.raises(DataError, match="10 questions or more, and there are 9"):
        learn(alone, "f1", ["majority"], 42)


def test_groups_are_never_parted(random: np.random.Generator) -> None:
    """Readers are right in whole articles or not: a rule that saw half of one would gain."""
    right = np.repeat(random.random((40, 2)) < 0.5, 10, axis=0)
    found = learn(answered(right), "f1", ["majority", "mbr"], 42)
    assert not found.is_gain
    assert set(found.held_out.tolist()) <= {0, 1}
