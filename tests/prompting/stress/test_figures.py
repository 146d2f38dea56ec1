"""Replacing figures in the same form: dates stay dates, and amounts keep their unit."""

import re
from random import Random

import pytest

from aqa.prompting.stress.figures import other_figures

MONTH = "(January|February|March|April|May|June|July|August|September|October|November|December)"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("57 mm", r"\d\d mm"),
        ("1988", r"(19\d|20[0-3])\d"),
        ("1990s", r"(19[4-8]|20[0-4])0s"),
        ("1990년대", r"(19[4-8]|20[0-4])0년대"),
        ("1500 people", r"\d\d00 people"),
        ("$3.5 million", r"\$\d\.\d million"),
        ("3,000", r"\d,000"),
        ("0.57", r"0\.[1-9]\d"),
        ("007", r"00[1-9]"),
        ("12.5%", r"\d\d\.\d%"),
        ("100%", r"\d\d%"),
        ("19th century", r"(1[0-8]|20)th century"),
        ("September 17, 1988", rf"{MONTH} (1\d|2[0-8]), (19\d|20[0-3])\d"),
        ("17 may", r"(1\d|2[0-8]) [a-z]+"),
        ("AUG. 3", r"(JAN|FEB|MAR|APR|JUN|JUL|SEP|OCT|NOV|DEC)\. \d"),
        ("May", MONTH),
        ("12월 31일", r"1[01]월 (1\d|2[0-8])일"),
        ("오후 3시 30분", r"오후 \d시 [1-5]0분|오후 \d시 [1-5]\d분"),
        ("at 12:30", r"at 1[01]:[1-5]\d"),
        ("제3차", r"제\d차"),
        ("1억 2천만 달러", r"\d억 \d천만 달러"),
        ("Apollo 11", r"Apollo \d\d"),
    ],
)
def test_the_form_stays(text: str, form: str) -> None:
    for seed in range(50):
        found = other_figures(text, Random(seed))
        assert found is not None
        assert found != text
        assert re.fullmatch(form, found), found
    assert other_figures(text, Random(3)) == other_figures(text, Random(3))


@pytest.mark.parametrize("text", ["1914–1918", "10 to 12", "24-10", "2 of 9"])
def test_what_was_larger_stays_larger(text: str) -> None:
    one, other = map(int, re.findall(r"\d+", text))
    for seed in range(50):
        new, another = map(int, re.findall(r"\d+", other_figures(text, Random(seed)) or ""))
        assert (new < another) == (one < other)
        assert new not in (one, other) or another not in (one, other)


def test_the_same_figures_stay_the_same_and_ordinals_agree() -> None:
    found = {other_figures("50-50", Random(seed)) for seed in range(50)}
    assert found == {f"{n}0-{n}0" for n in (1, 2, 3, 4, 6, 7, 8, 9)}
    ordinals = {other_figures("2nd", Random(seed)) for seed in range(200)}
    assert ordinals == {"3rd", *(f"{n}th" for n in range(4, 10))}
    two = {other_figures("11th", Random(seed)) for seed in range(2000)}
    assert {"21st", "12th", "13th", "22nd", "93rd"} <= two
    assert not {"12nd", "13rd", "21th"} & two


@pytest.mark.parametrize("text", ["", "no figures", "may be"])
def test_without_figures_there_are_no_others(text: str) -> None:
    assert other_figures(text, Random(1)) is None
