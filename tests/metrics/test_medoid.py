"""The most central of several answers, by each profile's F1."""

import pytest

from aqa.metrics.medoid import agreements, profile_of
from aqa.metrics.normalize import PROFILES

SQUAD, KORQUAD, KLUE = (PROFILES[name] for name in ("squad", "korquad", "klue-mrc"))


def test_texts_agree_however_they_are_written() -> None:
    found = agreements(["London", "Paris", "paris.", "the Paris"], SQUAD)
    assert found == pytest.approx([0, 2 / 3, 2 / 3, 2 / 3])


def test_texts_that_all_differ() -> None:
    # F1: "red car" / "red" 2/3, "red car" / "blue car" 1/2, "red" / "blue car" 0.
    found = agreements(["red", "blue car", "red car"], SQUAD)
    assert found == pytest.approx([1 / 3, 1 / 4, (2 / 3 + 1 / 2) / 2])


def test_korean_is_compared_by_characters() -> None:
    texts = ["부산", "서울특별시", "서울 특별시입니다", "《서울특별시》"]
    assert agreements(texts, KORQUAD)[1] == pytest.approx((0 + 10 / 13 + 1) / 3)


def test_silence_agrees_with_silence_alone() -> None:
    assert agreements(["", "Paris", ""], SQUAD) == [0.5, 0, 0.5]


def test_one_text_agrees_with_itself() -> None:
    assert agreements(["Paris"], SQUAD) == [1]


def test_likeness_is_the_same_both_ways() -> None:
    # difflib finds "ab" or "cd", depending on the order of texts; agreement must be symmetric.
    one, other = agreements(["abxcd", "cdyab"], KLUE)
    assert one == other


@pytest.mark.parametrize(
    ("name", "question", "passages", "answers", "profile"),
    [
        ("auto", "Where is it?", ["It is in Paris."], ["Paris"], "squad"),
        ("auto", "어디에 있습니까?", ["서울에 있다."], ["1988"], "korquad"),
        ("mixed", "몇 년입니까?", ["올림픽은 1988년에 열렸다."], ["1988", "1989"], "korquad"),
        ("auto", "", [], ["Paris"], "squad"),
        ("klue-mrc", "Where is it?", [], ["Paris"], "klue-mrc"),
    ],
)
def test_the_profile_goes_by_name_or_language(
    name: str, question: str, passages: list[str], answers: list[str], profile: str
) -> None:
    assert profile_of(name, question, passages, answers).name == profile
