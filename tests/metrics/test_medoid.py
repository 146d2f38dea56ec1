"""The most central of several answers, by each profile's F1."""

import pytest

from aqa.metrics.medoid import medoid, profile_of
from aqa.metrics.normalize import PROFILES

SQUAD, KORQUAD, KLUE = (PROFILES[name] for name in ("squad", "korquad", "klue-mrc"))


def test_the_majority_wins_however_it_is_written() -> None:
    found = medoid(["London", "Paris", "paris.", "the Paris"], SQUAD)
    assert found.place == 1
    assert found.agreements == pytest.approx((0, 2 / 3, 2 / 3, 2 / 3))


def test_the_most_central_of_texts_that_all_differ() -> None:
    # F1: "red car" / "red" 2/3, "red car" / "blue car" 1/2, "red" / "blue car" 0.
    found = medoid(["red", "blue car", "red car"], SQUAD)
    assert found.place == 2
    assert found.agreement == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_korean_is_compared_by_characters() -> None:
    texts = ["부산", "서울특별시", "서울 특별시입니다", "《서울특별시》"]
    assert medoid(texts, KORQUAD).place == 1
    assert medoid(texts, KORQUAD).agreement == pytest.approx((0 + 10 / 13 + 1) / 3)


def test_silence_agrees_with_silence_alone() -> None:
    assert medoid(["", "Paris", ""], SQUAD).place == 0
    assert medoid(["", "Paris", ""], SQUAD).agreements == (0.5, 0, 0.5)


def test_equals_are_settled_by_their_order() -> None:
    assert medoid(["Rome", "Paris"], SQUAD).place == 0
    assert medoid(["Paris", "Rome"], SQUAD).place == 0


def test_one_text_agrees_with_itself() -> None:
    assert medoid(["Paris"], SQUAD).agreement == 1


def test_likeness_is_the_same_both_ways() -> None:
    # difflib finds "ab" or "cd", depending on the order of texts; agreement must be symmetric.
    found = medoid(["abxcd", "cdyab"], KLUE)
    assert found.agreements[0] == found.agreements[1]


def test_no_texts_are_an_error() -> None:
    with pytest.raises(ValueError, match="no texts"):
        medoid([], SQUAD)


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
