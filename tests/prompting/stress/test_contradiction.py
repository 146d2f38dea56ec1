"""Replacing an answer by another: types, whole words, Korean particles."""

from random import Random

import pytest

from aqa.metrics.kiwi import has_kiwi
from aqa.prompting.stress.answers import FIGURES, KOREAN, NAME, Kind, OtherAnswers, kind_of
from aqa.prompting.stress.contradiction import replaced
from aqa.prompting.stress.particles import agreeing
from aqa.records import Example

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
    ("answer", "question", "kind"),
    [
        *((text, "Who?", Kind(FIGURES)) for text in ("1988", "September 17, 1988", "May", "5년")),
        *((text, "", Kind(FIGURES)) for text in ("$3.5 million", "In 1066", "the 1960s", "제3차")),
        *((text, "", Kind(FIGURES)) for text in ("Apollo 11", "2012 Summer Olympics")),
        ("the Broncos", "Who won?", Kind(NAME, "2 latin the", "who")),
        ("The Who", "", Kind(NAME, "2 latin the")),
        ("Peter (the Great)", "", Kind(NAME, "3 latin ( )")),
        ("University of Warsaw", "In which city?", Kind(NAME, "3 latin", "where")),
        ("NASA", "", Kind(NAME, "1 latin large")),
        ("U.S.", "", Kind(NAME, "1 latin large .")),
        ("Zoë", "", Kind(NAME, "1 latin")),
    ],
)
def test_types(answer: str, question: str, kind: Kind) -> None:
    assert kind_of(answer, question) == kind


@pytest.mark.parametrize(
    "answer",
    [
        *("to save money", "in the Palace", "In London", "three", "", "A" * 61, "to be or " * 5),
        *("the", "Of the", "Peter (the Great", "about three hundred of 1,000 people"),
    ],
)
def test_what_has_no_type(answer: str) -> None:
    assert kind_of(answer, "Who?") is None


def test_names_of_the_same_form_begin_with_those_asked_for_alike() -> None:
    asked = {"Who?": ["Ada King", "Ben Hur"], "Where?": ["Oslo Bay", "Lake Como", "NASA", "Rome"]}
    asked["In which country?"] = ["Hudson Bay", "Oslo Bay 7", "1988"]
    examples = [
        Example(name, question, (), answers=(name,))
        for question, names in asked.items()
        for name in names
    ]
    kind = kind_of("Green Bay", "Where?")
    assert kind is not None
    found = list(OtherAnswers(examples).like("Green Bay", kind, Random(1), 9))
    assert set(found[:3]) == {"Oslo Bay", "Hudson Bay", "Lake Como"}
    assert set(found[3:]) == {"Ada King", "Ben Hur"}


@needs_kiwi
def test_korean_names() -> None:
    assert kind_of("서울특별시", "어디인가?") == Kind(KOREAN, "1 ko", "where")
    assert kind_of("송나라(宋)", "") == Kind(KOREAN, "1 ko zh ( )")
    assert kind_of("서울에서 열린 회의", "어디인가?") is None
