"""What verdicts count, how far repeats differ, and agreement with people."""

import hypothesis
import pytest
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from aqa.errors import UsageError
from aqa.metrics import load_metric
from aqa.metrics.pairs import Pairs
from aqa.metrics.verdicts import Verdict, Verdicts, agreement, most_given


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
    assert pairs.silence[3:5] == (100, 0)
    score = load_metric("judge").score(pairs)
    assert score.per_example == pytest.approx((250 / 3, 0, 0, 100, 0, 50))
    start = "judge|model:m|repeats:3|failed-verdicts:4|refs:all|missing:1|v:"
    assert score.signature.startswith(start)


def test_without_verdicts_there_is_no_score() -> None:
    with pytest.raises(UsageError, match="needs verdicts"):
        load_metric("judge").score(Pairs(["a"], [("b",)], "squad"))


def test_counts_and_variance() -> None:
    """By hand: the three repeats alone, and the sample variances of examples with two or more."""
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


def test_kappa_of_a_published_example() -> None:
    """Fleiss, Levin and Paik (2003), "Statistical Methods for Rates and Proportions", table 18.1.

    Two raters diagnose 100 people as psychotic, neurotic or organic: p_o 0.89, p_e 0.66.
    """
    table = {"pp": 75, "pn": 1, "po": 4, "np": 5, "nn": 4, "no": 1, "oo": 10}
    pairs = [(a, b) for (a, b), count in table.items() for _ in range(count)]
    found = agreement(pairs)
    assert found.n == 100
    assert found.agreement == pytest.approx(89)
    assert found.kappa == pytest.approx(0.23 / 0.34)
    assert agreement([(b, a) for a, b in pairs]) == found


LABELS = st.sampled_from(["correct", "partially_correct", "incorrect", "unsupported"])


@hypothesis.given(st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=40))
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    first, second = zip(*pairs, strict=True)
    kappa = agreement(pairs).kappa
    if kappa is None:
        assert len({*first, *second}) == 1
    else:
        assert kappa == pytest.approx(cohen_kappa_score(first, second), abs=1e-9)


@pytest.mark.parametrize(
    ("pairs", "kappa"),
    [
        ([("a", "a"), ("b", "b")], 1),
        ([("a", "b"), ("b", "a")], -1),
        ([("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")], 0),
        ([("a", "a"), ("a", "a")], None),
        ([("a", "b")], 0),
    ],
)
def test_kappa_at_its_ends(pairs: list[tuple[str, str]], kappa: float | None) -> None:
    assert agreement(pairs).kappa == kappa
    assert ("kappa" in agreement(pairs).to_json()) == (kappa is not None)
