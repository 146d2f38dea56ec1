"""From a row of named columns, as any format gives it, to an Example."""

import hashlib
import math
import unicodedata
from collections.abc import Iterable, Mapping
from typing import NoReturn

from aqa.data.json_stream import describe
from aqa.errors import DataError
from aqa.records import Example, Passage

# The columns each field is looked for in, the first that has a value wins.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "qid", "guid", "_id"),
    "question": ("question", "query", "input"),
    "passages": ("ctxs", "passages", "contexts", "documents", "context"),
    "answers": ("answers", "answer", "output", "target"),
    "title": ("title",),
}
PASSAGE_TEXT = ("text", "context", "contents")
PASSAGE_ID = ("id", "document_id", "docid")
ANSWER_TEXT = ("text", "answer")


class RowParser:
    """Makes Examples from rows; `generated_ids` counts those whose row had no id.

    `fields` names the columns to take instead of the usual ones: such a column must be there.
    With `nfc`, question, passages and answers are put in that Unicode form.
    """

    def __init__(self, fields: Mapping[str, str], nfc: bool) -> None:
        if unknown := sorted(fields.keys() - COLUMNS.keys()):
            raise DataError(
                f'there is no field "{unknown[0]}" to name a column for; '
                f"the fields are {', '.join(COLUMNS)}"
            )
        self._fields = fields
        self._columns = {
            name: (fields[name],) if name in fields else columns
            for name, columns in COLUMNS.items()
        }
        self._nfc = nfc
        self.generated_ids = 0

    def example(self, place: str, row: Mapping[str, object]) -> Example:
        """Parse one row; DataError names its place and what is wrong with it."""
        question_column, question = self._find("question", row, place)
        passages_column, passage_values = self._find("passages", row, place)
        title_column, title = self._find("title", row, place)
        id_column, stored_id = self._find("id", row, place)
        answers_column, answer_values = self._find("answers", row, place)
        if not isinstance(question, str) or not question.strip():
            self._refuse("question", question_column, question, row, place)
        passages = self._passages(passage_values, title, place)
        if not any(passage.text.strip() for passage in passages):
            self._refuse("passages", passages_column, passage_values, row, place)
        answers = _answers(answer_values, place)
        if _is_true(row.get("is_impossible")):
            answers = ()
        if self._nfc:
            question = unicodedata.normalize("NFC", question)
            if answers:
                answers = tuple(unicodedata.normalize("NFC", answer) for answer in answers)
        if len(passages) != 1 or passages[0].title != title:
            title_column = ""  # not used: it stays in the metadata
        used = (id_column, question_column, passages_column, answers_column, title_column)
        return Example(
            id=self._id(stored_id, question, passages, place),
            question=question,
            passages=passages,
            answers=answers,
            metadata={column: value for column, value in row.items() if column not in used},
            place=place,
        )

    def _find(self, field: str, row: Mapping[str, object], place: str) -> tuple[str, object]:
        for column in self._columns[field]:
            value = row.get(column)
            if value is not None:
                return column, value
        if field in self._fields and self._fields[field] not in row:
            raise DataError(
                f'{place}: no column "{self._fields[field]}" for the field {field}; '
                f"the columns are {', '.join(map(str, row))}"
            )
        return "", None

    def _refuse(
        self, field: str, column: str, value: object, row: Mapping[str, object], place: str
    ) -> NoReturn:
        if not column:
            raise DataError(
                f"{place}: no {field} among the columns {', '.join(map(str, row))}; "
                f"name the right one with --field {field}=NAME"
            )
        if field == "question" and not isinstance(value, str):
            raise DataError(f'{place}: {describe(value)} in "{column}" where a text is needed')
        raise DataError(
            f'{place}: "{column}" is empty; each example needs a question and at least one passage'
        )

    def _passages(self, value: object, title: object, place: str) -> tuple[Passage, ...]:
        if isinstance(value, dict):
            value = _transposed(value)
        elif isinstance(value, str):
            value = [value]
        if not isinstance(value, list):
            if value is None:
                return ()
            raise DataError(f"{place}: {describe(value)} where passages are needed")
        title = title if isinstance(title, str) and len(value) == 1 else ""
        passages = []
        for rank, item in enumerate(value, 1):
            if isinstance(item, str):
                passage = Passage(item, title, rank=rank)
            elif isinstance(item, dict):
                passage = _passage(item, title, rank, place)
            else:
                raise DataError(f"{place}: passage {rank} is {describe(item)}, not a text")
            if self._nfc:
                text, heading = (
                    unicodedata.normalize("NFC", part) for part in (passage.text, passage.title)
                )
                passage = Passage(text, heading, passage.id, passage.score, rank)
            passages.append(passage)
        return tuple(passages)

    def _id(self, stored: object, question: str, passages: Iterable[Passage], place: str) -> str:
        if isinstance(stored, str) and stored:
            return stored
        if isinstance(stored, int) and not isinstance(stored, bool):
            return str(stored)
        if stored is not None and stored != "":
            raise DataError(f"{place}: {describe(stored)} where an id, text or number, is needed")
        self.generated_ids += 1
        content = "\n".join((question, *(passage.text for passage in passages)))
        return short_hash(unicodedata.normalize("NFC", content))


def short_hash(text: str) -> str:
    """Give the first 16 hexadecimal digits of the text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _is_true(value: object) -> bool:
    return value is True or value in (1, "1", "true", "True")


def _first(item: Mapping[str, object], columns: tuple[str, ...]) -> object:
    return next((item[column] for column in columns if item.get(column) is not None), None)


def _transposed(columns: Mapping[str, object]) -> list[object]:
    """Make one object per passage from an object of lists, as data sets on the hub have it."""
    lists = {column: value for column, value in columns.items() if isinstance(value, list)}
    if not isinstance(_first(columns, PASSAGE_TEXT), list):
        return [columns]
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def _passage(item: Mapping[str, object], title: str, rank: int, place: str) -> Passage:
    text, passage_id = _first(item, PASSAGE_TEXT), _first(item, PASSAGE_ID)
    own_title = item.get("title")
    if not isinstance(text, str):
        raise DataError(
            f"{place}: passage {rank} has no text under {', '.join(PASSAGE_TEXT)}; "
            f"it has {', '.join(item)}"
        )
    return Passage(
        text,
        own_title if isinstance(own_title, str) else title,
        None if passage_id is None else str(passage_id),
        _score(item.get("score"), rank, place),
        rank,
    )


def _score(value: object, rank: int, place: str) -> float | None:
    if value is None:
        return None
    try:
        if isinstance(value, int | float | str) and math.isfinite(score := float(value)):
            return score
    except ValueError:
        pass
    raise DataError(f"{place}: the score of passage {rank} is {value!r:.40}, which is no number")


def _answers(value: object, place: str) -> tuple[str, ...] | None:
    """Give the references: None without any, () where they say that there is no answer."""
    if value is None:
        return None
    if isinstance(value, dict) and isinstance(listed := _first(value, ANSWER_TEXT), list):
        value = listed
    texts = []
    for item in value if isinstance(value, list) else [value]:
        text = _first(item, ANSWER_TEXT) if isinstance(item, dict) else item
        if not isinstance(text, str):
            raise DataError(
                f"{place}: {describe(item)} among the answers where a text is needed; write a "
                'text, a list of texts, or {"text": [...]}'
            )
        if text.strip():
            texts.append(text)
    return tuple(dict.fromkeys(texts))
