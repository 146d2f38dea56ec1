"""Scores of verdicts, the variance of repeats, and the majority of a panel."""

import pytest

from aqa.errors import UsageError
from aqa.metrics import load_metric
from aqa.metrics.pairs import Pairs
from aqa.metrics.verdicts import Verdict, Verdicts, majority, most_given


def given(*words: str | None) -> tuple[Verdict, ...]:
    return tuple(Verdict(word, "because") for word in words)


SIX = (
    given("correct", "correct", "partially_correct"),
    given("unsupported", "incorrect", None),
    given(None, None, None),
    (),
    (),
    given("partially_correct", "partially_correct", "partially_correct"),
)
VERDICTS = Verdicts(SIX, (0, 0, 0, 100, 0, 0), 3, "model:m|repeats:3")


def test_the_score_is_the_mean_of_verdicts() -> None:
    predictions = ["a", "b", "c", "", None, "d"]
    references = [("x",), ("x",), ("x",), (), ("x",), ("x",)]
    pairs = Pairs(predictions, references, "squad", verdicts=VERDICTS)
    assert pairs.abstention_scores[3:5] == (100, 0)
    score = load_metric("judge")(pairs)
    assert score.per_example == pytest.approx((250 / 3, 0, 0, 100, 0, 50))
    start = "judge|model:m|repeats:3|failed-verdicts:4|refs:all|missing:1|v:"
    assert score.signature.startswith(start)


def test_without_verdicts_there_is_no_score() -> None:
    with pytest.raises(UsageError, match="needs verdicts"):
        load_metric("judge")(Pairs(["a"], [("b",)], "squad"))


def test_counts_and_variance() -> None:
    """By hand: each of the three repeats, and the sample variances within examples."""
    found = VERDICTS.to_json()
    assert found["verdicts"] == {
        "correct": 2,
        "partially_correct": 4,
        "incorrect": 1,
        "unsupported": 1,
    }
    assert found["failed_verdicts"] == 4
    first = (100 + 100 + 50) / 6
    last = (50 + 100 + 50) / 6
    mean = (2 * first + last) / 3
    assert found["repeats"]["scores"] == pytest.approx([first, first, last])
    variance = (2 * (first - mean) ** 2 + (last - mean) ** 2) / 2
    assert found["repeats"]["variance"] == pytest.approx(variance)
    example = (2 * (100 - 250 / 3) ** 2 + (50 - 250 / 3) ** 2) / 2
    assert found["repeats"]["variance_per_example"] == pytest.approx((example + 0 + 0) / 3)
    assert "repeats" not in Verdicts((given("correct"),), (0,), 1, "").to_json()


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        (("correct", "incorrect", "incorrect"), "incorrect"),
        (("unsupported", "correct"), "unsupported"),
        ((None, "correct"), "correct"),
        ((None,), None),
        ((), None),
    ],
)
def test_most_given(words: tuple[str | None, ...], verdict: str | None) -> None:
    assert most_given(given(*words)) == verdict


@pytest.mark.parametrize(
    ("judges", "verdict"),
    [
        ([["correct"], ["correct"], ["incorrect"]], "correct"),
        ([["correct"], ["incorrect"]], "incorrect"),  # in a tie, the lower one
        ([["correct"], ["partially_correct"]], "partially_correct"),
        ([["incorrect"], ["unsupported"]], "unsupported"),
        ([["correct"], [None], [None]], "correct"),
        ([["correct", "correct", "incorrect"], ["correct"], ["incorrect"]], "correct"),
        ([[None], [None]], None),
    ],
)
def test_majority(judges: list[list[str | None]], verdict: str | None) -> None:
    assert majority([given(*words) for words in judges]).verdict == verdict


def test_a_judge_whose_verdicts_all_failed() -> None:
    assert not VERDICTS.are_none
    assert not Verdicts(((), ()), (0, 0), 1, "").are_none, "it was not asked"
    assert Verdicts((given(None), ()), (0, 0), 1, "").are_none
