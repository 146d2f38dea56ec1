"""Another answer in the place of the old one: types, whole words, Korean particles."""

import pytest

from aqa.metrics.kiwi import has_kiwi
from aqa.prompting.stress.answers import kind_of
from aqa.prompting.stress.contradiction import replaced
from aqa.prompting.stress.particles import agreeing

needs_kiwi = pytest.mark.skipif(not has_kiwi(), reason="needs kiwipiepy (the extra korean)")


@pytest.mark.parametrize(
    ("text", "olds", "new", "expected"),
    [
        ("In 1988 Seoul; 1988-89.", ["1988"], "1972", "In 1972 Seoul; 1972-89."),
        ("3 of 3,000 for $3, or 3.5", ["3"], "27", "27 of 3,000 for $27, or 3.5"),
        ("The U.S. and U.S.", ["U.S."], "France", "The France and France"),
        ("Rome's romans in rome", ["Rome"], "Oslo", "Oslo's romans in Oslo"),
        (
            "Denver Broncos; the Broncos won.",
            ["Denver Broncos", "Broncos"],
            "Colts",
            "Colts; the Colts won.",
        ),
        ("C++ (c++) \\1", ["C++"], r"\g<0>", r"\g<0> (\g<0>) \1"),
    ],
)
def test_whole_words_are_replaced(text: str, olds: list[str], new: str, expected: str) -> None:
    assert replaced(text, olds, new) == expected


@needs_kiwi
@pytest.mark.parametrize(
    ("text", "old", "new", "expected"),
    [
        (
            "서울은 수도이다. 서울대학교는 서울에.",
            "서울",
            "파리",
            "파리는 수도이다. 서울대학교는 파리에.",
        ),
        ("《송환》을 본 '송환'은", "송환", "나무", "《나무》를 본 '나무'는"),
        ("13명과 3명은", "3", "27", "13명과 27명은"),
        ("NASA는 크다", "NASA", "유럽 우주국", "유럽 우주국은 크다"),
    ],
)
@pytest.mark.slow
def test_korean_words_with_their_endings(text: str, old: str, new: str, expected: str) -> None:
    assert replaced(text, [old], new) == expected


@needs_kiwi
@pytest.mark.parametrize(
    ("ending", "old", "new", "expected"),
    [
        ("을", "서울", "파리", "를"),
        ("였다", "김구", "이순신", "이었다"),
        ("으로", "평양", "서울", "로"),
        ("로", "파리", "평양", "으로"),
        ("와의", "파리", "평양", "과의"),
        ("라고", "파리", "평양", "이라고"),
        ("은", "1988", "1992", "는"),
        ("가", "NASA", "BTN", "이"),
        ("이", "이집트인", "BBC", "가"),
        ("로", "파리", "Denver", "로"),
        ("로", "파리", "KBS 2R", "로"),
        ("는", "파리", "Boeing", "은"),
        ("까지", "평양", "파리", "까지"),
        ("대학교", "서울", "파리", None),
        ("", "서울", "파리", ""),
    ],
)
def test_particles_agree(ending: str, old: str, new: str, expected: str | None) -> None:
    assert agreeing(ending, old, new) == expected


@pytest.mark.parametrize(
    ("answer", "question", "name", "form"),
    [
        ("1988", "", "date", "year"),
        ("September 17, 1988", "", "date", "month 0, 0"),
        ("1988년 9월 17일", "", "date", "0년 0월 0일"),
        ("5년", "", "number", "0년"),
        ("4,000 people", "", "number", "0 people"),
        ("$3.5 million", "", "number", "$0 million"),
        ("the Broncos", "Who won?", "name", "who"),
        ("The Who", "", "name", ""),
        ("Peter (the Great)", "", "name", ""),
        ("University of Warsaw", "In which city?", "name", "where"),
        ("Apollo 11", "", "name", ""),
    ],
)
def test_types(answer: str, question: str, name: str, form: str) -> None:
    kind = kind_of(answer, question)
    assert kind is not None
    assert (kind.name, kind.form) == (name, form)


@pytest.mark.parametrize(
    "answer",
    [
        *("to save money", "in the Palace", "three", "", "A" * 61, "to be or not " * 4),
        *("In 1066", "In the 1060s", "the", "Of the", "Peter (the Great"),
    ],
)
def test_what_has_no_type(answer: str) -> None:
    assert kind_of(answer, "Who?") is None


@needs_kiwi
def test_korean_names() -> None:
    assert kind_of("서울특별시", "어디인가?") is not None
    assert kind_of("서울에서 열린 회의", "어디인가?") is None
