from typing import Any

import pytest

from aqa.evaluation.mistakes import CATEGORIES, categorize
from aqa.evaluation.predictions import AnsweredRow
from aqa.metrics.pairs import Pairs


@pytest.mark.parametrize(
    ("prediction", "references", "metadata", "category"),
    [
        (None, ["Paris"], {}, "missing"),
        ("the Paris!", ["Paris"], {}, "exact"),
        ("", [], {}, "exact"),
        ("Paris", [], {}, "answered_unanswerable"),
        ("Paris", [" "], {}, "answered_unanswerable"),
        ("B", ["A"], {}, "wrong"),
        ("", ["A"], {}, "exact"),  # as in SQuAD's script
        ("B", ["A", "Paris"], {}, "wrong"),
        ("A", ["A", "Paris"], {}, "empty"),
        ("", ["Paris"], {}, "empty"),
        (" \n", ["Paris"], {}, "empty"),
        ("...", ["Paris"], {}, "empty"),
        ("", ["Paris"], {"abstained": True}, "abstained_wrongly"),
        ("It is Paris, France", ["Lyon", "Paris"], {}, "extra_words"),
        ("Parisian", ["Paris"], {}, "wrong"),
        ("Smith", ["John Henry Adam Smith"], {}, "partial"),
        ("king of France", ["king of Spain"], {}, "partial"),
        ("Oslo", ["Paris"], {"evidence": {"gold_in_evidence": True}}, "wrong_with_evidence"),
        ("Oslo", ["Paris"], {"evidence": {"gold_in_evidence": False}}, "wrong_without_evidence"),
        ("Oslo", ["Paris"], {"evidence": {"gold_in_evidence": None}}, "wrong"),
        ("Oslo", ["Paris"], {"evidence": "text"}, "wrong"),
    ],
)
def test_categories(
    prediction: str | None, references: list[str], metadata: dict[str, Any], category: str
) -> None:
    row = AnsweredRow("q", prediction, metadata=metadata)
    assert categorize(Pairs([prediction], [references], "squad"), [row]) == (category,)
    assert category in CATEGORIES


@pytest.mark.parametrize(
    ("prediction", "reference", "category"),
    [
        ("서울특별시입니다", "서울특별시", "extra_words"),
        ("복잡한감염병은", "복잡한 감염병", "extra_words"),
        ("감염병", "복잡한 감염병", "partial"),
        ("복잡한감염병", "복잡한 감염병", "partial"),  # nothing extra, but a missing space
        ("부산광역시", "서울특별시", "wrong"),
        ("3명이었다", "3명", "extra_words"),
        ("1988년입니다", "1988", "extra_words"),
        ("KBS가 13 명을", "13명", "extra_words"),
        ("모두 합쳐서 13명", "3명", "wrong"),
        ("13명", "3명", "partial"),
        ("2000", "2000년", "partial"),
    ],
)
def test_korean(prediction: str, reference: str, category: str) -> None:
    row = AnsweredRow("q", prediction)
    assert categorize(Pairs([prediction], [[reference]], "korquad"), [row]) == (category,)


def test_a_phrase_that_means_no_answer() -> None:
    # The phrase was mapped to "" before comparing; the row still has it.
    row = AnsweredRow("q", "unanswerable")
    assert categorize(Pairs([""], [["Paris"]], "squad"), [row]) == ("abstained_wrongly",)


def test_an_example_that_the_file_lacks() -> None:
    assert categorize(Pairs([None], [["Paris"]], "squad"), [None]) == ("missing",)
