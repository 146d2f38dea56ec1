"""Texts with nested questions, like SQuAD's: one row per question."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from aqa.data.columns import COLUMNS, KOREAN_TEXTS, columns_called, first_called, fold
from aqa.data.files import Row
from aqa.data.json_stream import as_row, describe
from aqa.data.passages import content_id
from aqa.data.shape import are_objects
from aqa.errors import DataError

CONTEXT = ("context", "contexttext")
# With questions under one of ASKED, as people and models write them, a text may have other names.
TEXT = (
    *CONTEXT, "passage", "paragraph", "chunk", "text", "content", "document", "article",
    *KOREAN_TEXTS,
)  # fmt: skip
ASKED = ("questions", "qapairs", "qalist", "qa", "질문목록", "질의응답", "문답")

# Columns of an article or paragraph that must not be mistaken for fields of its questions.
NOT_INHERITED = {"paragraphs", "qas", "rawhtml", "contexttokens", *ASKED}.union(*COLUMNS.values())


def questions_of(place: str, row: Mapping[str, object]) -> Iterator[Row] | None:
    """Yield the questions of an article or paragraph, which may be empty; None for other rows."""
    if _holds_questions(row.get("paragraphs")):
        return _article(re.sub(r", (row|item) (\d+)$", r", article \2", place), row)
    if isinstance(_questions_about(row), list):
        return _paragraph(place, row, _title(row), _inherited(row))
    is_empty = row.get("paragraphs") == [] and not columns_called(COLUMNS["question"], tuple(row))
    return iter(()) if is_empty else None


def _questions_about(row: Mapping[str, object]) -> object:
    """Return the questions about a text, under SQuAD's name or a similar one; else None."""
    if "qas" in row:
        return row["qas"]
    listed: Any = first_called(row, ASKED)
    is_a_text = isinstance(first_called(row, TEXT), str) and are_objects(listed)
    asks = is_a_text and columns_called(COLUMNS["question"], tuple(listed[0]))
    return listed if asks and first_called(row, COLUMNS["question"]) is None else None


def _holds_questions(paragraphs: object) -> bool:
    if not isinstance(paragraphs, list):
        return False
    first = next(iter(paragraphs), None)
    return isinstance(first, dict) and ("qas" in first or "context" in first)


def _article(place: str, article: Mapping[str, object]) -> Iterator[Row]:
    """Read an article of SQuAD's (KorQuAD, KLUE-MRC, XQuAD): paragraphs with questions."""
    paragraphs = article["paragraphs"]
    assert isinstance(paragraphs, list)
    for number, item in enumerate(paragraphs, 1):
        paragraph_place = f"{place}, paragraph {number}"
        paragraph = as_row(item, paragraph_place)
        inherited = {**_inherited(article), **_inherited(paragraph)}
        yield from _paragraph(paragraph_place, paragraph, _title(article), inherited)


def _paragraph(
    place: str, paragraph: Mapping[str, object], title: str, inherited: Mapping[str, object]
) -> Iterator[Row]:
    """Read a text with its questions: SQuAD's paragraph, or a row of MRQA or KorQuAD 2."""
    context = first_called(paragraph, CONTEXT if "qas" in paragraph else TEXT)
    if context is None:
        raise DataError(f'{place}: no "context" among its members {", ".join(paragraph)}')
    passage = {"text": context, "title": title, "id": content_id(title, context)}
    questions = _questions_about(paragraph)
    if not isinstance(questions, list):
        raise DataError(f'{place}: "qas" is {describe(questions)}, where a list is needed')
    for number, item in enumerate(questions, 1):
        question_place = f"{place}, question {number}"
        question = dict(as_row(item, question_place))
        question.pop("plausible_answers", None)  # which are wrong on purpose
        if "detected_answers" in question and question.get("qid"):
            question["id"] = question["qid"]  # MRQA's own; "id" is the original data set's
        yield question_place, {**inherited, **question, "passages": [passage]}


def _title(record: Mapping[str, object]) -> str:
    return str(first_called(record, COLUMNS["title"]) or "")


def _inherited(record: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in record.items() if fold(key) not in NOT_INHERITED}
