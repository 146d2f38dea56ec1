"""The findings of an evaluation in sentences."""

from dataclasses import replace

import pytest

from aqa.evaluation.comparison import Comparison
from aqa.evaluation.findings import explain_power, verdict


def comparison(difference: float, low: float, high: float, p: float) -> Comparison:
    return Comparison("A", "B", "f1", difference, low, high, p, p, "sign-flip", 1, 2, 3, 3.44)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (comparison(2.1, 0.4, 3.9, 0.01), "B is better than A by 2.1 F1 (95 %: 0.4 to 3.9; "),
        (comparison(-2.1, -3.9, -0.4, 0.01), "A is better than B by 2.1 F1 (95 %: 0.4 to 3.9; "),
        (
            comparison(0.3, -0.8, 1.4, 0.6),
            "A and B can't be told apart by F1 (B - A: +0.3; 95 %: -0.8 to 1.4; ",
        ),
        (
            comparison(-2.0, -3.6, -0.4, 0.07),
            "A and B can't be told apart by F1 (B - A: -2.0; 95 %: -3.6 to -0.4, yet p (Holm) is"
            " 0.0700; ",
        ),
        (
            comparison(-20.7, -45.5, 4.2, 0.03),
            "A is better than B by 20.7 F1 (95 %: -4.2 to 45.5, yet p (Holm) is 0.0300; ",
        ),
    ],
)
def test_verdicts(found: Comparison, words: str) -> None:
    assert verdict(found) == f"{words}detectable: 3.4)"


def test_what_is_detectable_is_explained_once() -> None:
    found = comparison(2.1, 0.4, 3.9, 0.01)
    assert list(explain_power([found, found], "240 questions")) == [
        "with 240 questions, four in five true differences of the detectable size would be found;"
        " smaller ones less often"
    ]


def test_a_verdict_where_nothing_can_be_shown() -> None:
    found = replace(comparison(100, -100, 100, 1), detectable=None)
    assert verdict(found).endswith("; detectable: none)")
    assert list(explain_power([found], "1 question")) == [
        "1 question can show no difference, however large"
    ]
