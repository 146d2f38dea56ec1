"""From a row of named columns, as any format gives it, to an Example."""

import hashlib
import math
import unicodedata
from collections.abc import Iterable, Mapping
from typing import NoReturn

from aqa.data.json_stream import describe
from aqa.data.literals import read_literal
from aqa.data.passages import Listed, find_gold, first, is_true, list_passages, read_written
from aqa.errors import DataError
from aqa.records import Example, Passage

# The columns each field is looked for in, the first that has a value wins.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "qid", "guid", "query_id", "_id"),
    "question": ("question", "query", "input"),
    "passages": ("ctxs", "passages", "contexts", "documents", "context"),
    "answers": ("answers", "answer", "output", "target"),
    "title": ("title",),
}
DOCUMENT_ID = "document_id"
ANSWER_TEXT = ("text", "answer")


class RowParser:
    """Makes Examples from rows; `generated_ids` counts those whose row had no id.

    `fields` names the columns to take instead of the usual ones: such a column must be there.
    With `nfc`, question, passages and answers are put in that Unicode form. Where passages will be
    `joined`, a row needs none of its own, and has them in `own_passages`.
    """

    def __init__(
        self,
        fields: Mapping[str, str],
        nfc: bool,
        joined: bool = False,
        needs_passages: bool = True,
    ) -> None:
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
        self._joined = joined
        self._needs_passages = needs_passages and not joined
        self._needs_question = needs_passages  # else references alone will do
        self.generated_ids = 0

    def example(self, place: str, row: Mapping[str, object]) -> Example:
        """Parse one row; DataError names its place and what is wrong with it."""
        question_column, question = self._find("question", row, place)
        passages_column, passage_values = self._find("passages", row, place)
        title_column, title = self._find("title", row, place)
        id_column, stored_id = self._find("id", row, place)
        answers_column, answer_values = self._find("answers", row, place)
        passage_values = read_written(passage_values, f'"{passages_column}"', place)
        answer_values = _written_answers(answer_values, f'"{answers_column}"', place)
        if not self._needs_question and question is None and answers_column:
            question = ""
        elif not isinstance(question, str) or not question.strip():
            self._refuse("question", question_column, question, row, place)
        only = _only(title, read_literal(row.get(DOCUMENT_ID), DOCUMENT_ID, place))
        listed = list_passages(passage_values, place, only)
        passages = tuple(self._passage(item, rank) for rank, item in enumerate(listed, 1))
        if self._needs_passages and not any(passage.text.strip() for passage in passages):
            self._refuse("passages", passages_column, passage_values, row, place)
        answers = _answers(answer_values, place)
        if is_true(row.get("is_impossible")):
            answers = ()
        if self._nfc:
            question, answers = _nfc(question), answers and tuple(map(_nfc, answers))
        if len(passages) != 1 or passages[0].title != title:
            title_column = ""  # not used: it stays in the metadata
        used = (id_column, question_column, passages_column, answers_column, title_column)
        gold, gold_ids = find_gold(row, listed, place)
        if self._joined and not gold and not any(item.score is not None for item in listed):
            gold = listed  # what nothing ranked is what the question was asked about
            gold_ids = gold_ids or tuple(filter(None, map(_named_id, listed)))
        return Example(
            id=self._id(stored_id, question, passages, place),
            question=question,
            passages=() if self._joined else passages,
            answers=answers,
            metadata={column: value for column, value in row.items() if column not in used},
            gold_ids=gold_ids,
            place=place,
            own_passages=self._own(gold) if self._joined else (),
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
                + (", or give --passages FILE" if field == "passages" else "")
            )
        if field == "question" and not isinstance(value, str):
            raise DataError(f'{place}: {describe(value)} in "{column}" where a text is needed')
        raise DataError(
            f'{place}: "{column}" is empty; each example needs a question and at least one passage'
        )

    def _own(self, gold: Iterable[Listed]) -> tuple[Passage, ...]:
        texts = (item for item in gold if item.text and item.text.strip())
        return tuple(self._passage(item, rank) for rank, item in enumerate(texts, 1))

    def _passage(self, listed: Listed, rank: int) -> Passage:
        text, title = listed.text or "", listed.title
        if self._nfc:
            text, title = (unicodedata.normalize("NFC", part) for part in (text, title))
        return Passage(text, title, listed.id, listed.score, rank)

    def has_id(self, row: Mapping[str, object]) -> bool:
        """Whether a row that can be parsed has an id of its own."""
        return first(row, self._columns["id"]) not in (None, "")

    def _id(self, stored: object, question: str, passages: Iterable[Passage], place: str) -> str:
        if (own := read_id(stored, place)) is not None:
            return own
        if not question:
            raise DataError(f"{place}: no id and no question, one of which references need")
        self.generated_ids += 1
        content = "\n".join((question, *(passage.text for passage in passages)))
        return short_hash(unicodedata.normalize("NFC", content))


def read_id(stored: object, place: str) -> str | None:
    """Read a row's id, None where it has none; DataError where it can't be one."""
    if isinstance(stored, int) and not isinstance(stored, bool):
        return str(stored)
    if stored is None or isinstance(stored, str):
        return stored or None
    raise DataError(f"{place}: {describe(stored)} where an id, text or number, is needed")


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def short_hash(text: str) -> str:
    """Give the first 16 hexadecimal digits of the text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def content_id(title: str, text: object) -> str:
    """Make an id for a passage that has none."""
    return short_hash(f"{title}\n{text}")


def _named_id(passage: Listed) -> str | None:
    """A passage's id, unless we made it: that one no retriever knows."""
    return None if passage.id == content_id(passage.title, passage.text) else passage.id


def _only(title: object, document_id: object) -> Listed:
    """What a row says of its passage where it is the only one."""
    return Listed(
        title=title if isinstance(title, str) else "",
        id=str(document_id) if isinstance(document_id, str | int) else None,
    )


def _written_answers(value: object, what: str, place: str) -> object:
    """Read a list of answers that stands in a text, without what a table lacks."""
    found = read_literal(value, what, place)
    if isinstance(value, str) and isinstance(found, list):
        return [item for item in found if item is not None]
    return found


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _answers(value: object, place: str) -> tuple[str, ...] | None:
    """Give the references: None without any, () where they say that there is no answer."""
    if value is None:
        return None
    if isinstance(value, dict) and isinstance(listed := first(value, ANSWER_TEXT), list):
        value = listed
    texts = []
    for item in value if isinstance(value, list) else [value]:
        text = first(item, ANSWER_TEXT) if isinstance(item, dict) else item
        if _is_nan(text):
            continue  # a table's missing value
        if not isinstance(text, str):
            raise DataError(
                f"{place}: {describe(item)} among the answers where a text is needed; write a "
                'text, a list of texts, or {"text": [...]}'
            )
        if text.strip():
            texts.append(text)
    return tuple(dict.fromkeys(texts))
