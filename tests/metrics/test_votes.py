"""The rules that choose among answers, on cases with a known choice."""

import json

import numpy as np
import pytest

from aqa.metrics.normalize import PROFILES
from aqa.metrics.votes import (
    NOBODY,
    Cascade,
    Curve,
    Majority,
    MinimumRisk,
    Rule,
    Single,
    Votes,
    Weighted,
    readers_of,
    rule_from_json,
    rule_to_json,
)

RISING = Curve(0.5, (0.0, 1.0), (0.0, 1.0))
UNKNOWN = Curve(0.4)


def votes(*texts: str | None, sure: tuple[float | None, ...] = (), profile: str = "squad") -> Votes:
    """Several readers' answers to one question."""
    return Votes.of([texts], [sure or (None,) * len(texts)], [PROFILES[profile]])


def chosen(rule: Rule, of: Votes) -> int:
    return int(rule.choose(of).readers[0])


@pytest.mark.parametrize(
    ("order", "texts", "winner"),
    [
        ((0, 1, 2), ("Paris", "Rome", "the Rome."), 1),  # equal once normalised
        ((0, 2, 1), ("Paris", "Rome", "the Rome."), 2),  # the better reader's words
        ((0, 1, 2), ("a b", "b c", "c d"), 0),  # no two agree: the best reader's
        ((2, 0, 1), ("a b", "b c", "c d"), 2),
        ((0, 1, 2), (None, "Rome", "Paris"), 1),
        ((0, 1, 2), ("Rome", "", ""), 1),  # an abstention is an answer
        ((0, 1, 2), (None, None, None), NOBODY),
    ],
)
def test_a_majority_is_of_normalised_answers(
    order: tuple[int, ...], texts: tuple[str | None, ...], winner: int
) -> None:
    assert chosen(Majority(order), votes(*texts)) == winner


def test_korean_answers_are_equal_by_their_profile() -> None:
    of = votes("서울", "《송환》", "송환", profile="korquad")
    assert chosen(Majority((0, 1, 2)), of) == 1


def test_letters_in_another_order_are_alike_but_not_the_same_answer() -> None:
    of = votes("나가", "가나", "다라", profile="korquad")
    assert of.likeness[0, 0, 1] == 1
    assert not of.same[0, 0, 1]


def test_minimum_risk_takes_what_is_most_like_all() -> None:
    of = votes("in the year 1988", "1988", "year 1988")
    assert chosen(MinimumRisk((0, 1, 2)), of) == 2
    assert chosen(Majority((0, 1, 2)), of) == 0


@pytest.mark.parametrize(
    ("sure", "winner"),
    [((0.9, 0.5, 0.3), 0), ((0.7, 0.5, 0.3), 1), ((0.7, None, None), 1), ((0.9, 0.2, None), 0)],
)
def test_a_weighted_vote_adds_up_expected_scores(
    sure: tuple[float | None, ...], winner: int
) -> None:
    rule = Weighted((0, 1, 2), (RISING, RISING, UNKNOWN))
    assert chosen(rule, votes("Paris", "Rome", "Rome", sure=sure)) == winner


@pytest.mark.parametrize(
    ("texts", "sure", "asks", "winner"),
    [
        (("Paris", "Rome"), (-0.1, None), False, 0),
        (("Paris", "Rome"), (-0.5, None), False, 0),  # exactly at the threshold
        (("Paris", "Rome"), (-0.6, None), True, 1),
        (("Paris", None), (-0.6, None), True, 0),  # the expensive reader failed
        ((None, "Rome"), (None, None), True, 1),
        (("Paris", "Rome"), (None, None), True, 1),
    ],
)
def test_a_cascade_asks_the_dear_reader_where_the_cheap_one_is_not_sure(
    texts: tuple[str | None, ...], sure: tuple[float | None, ...], asks: bool, winner: int
) -> None:
    rule = Cascade(0, 1, -0.5, (RISING, UNKNOWN))
    of = votes(*texts, sure=sure)
    assert bool(rule.asks_dear(of)[0]) == asks
    assert chosen(rule, of) == winner


def test_confidence_is_a_share_an_expectation_or_the_readers_own() -> None:
    of = votes("Rome", "Rome", "Paris", sure=(0.8, 0.2, -3.0))
    order = (0, 1, 2)
    assert Majority(order).choose(of).confidence[0] == pytest.approx(2 / 3)
    weighted = Weighted(order, (RISING, RISING, UNKNOWN)).choose(of)
    assert weighted.confidence[0] == pytest.approx((0.8 + 0.2) / 3)
    assert Single(2).choose(of).confidence[0] == -3.0
    assert Cascade(0, 2, 0.9, (RISING, UNKNOWN)).choose(of).confidence[0] == 0.4
    nobody = Majority(order).choose(votes(None, None, None))
    assert np.isnan(nobody.confidence[0])


@pytest.mark.parametrize(
    ("rule", "needed"),
    [
        (Single(1), (1,)),
        (Majority((2, 0, 1)), (0, 1, 2)),
        (MinimumRisk((1, 0)), (0, 1)),
        (Weighted((1, 0), (RISING, UNKNOWN)), (0, 1)),
        (Cascade(2, 0, -0.5, (RISING, UNKNOWN)), (2, 0)),
    ],
)
def test_a_rule_survives_its_file(rule: Rule, needed: tuple[int, ...]) -> None:
    assert rule_from_json(json.loads(json.dumps(rule_to_json(rule)))) == rule
    assert readers_of(rule) == needed
