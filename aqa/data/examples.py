"""Convert rows with named columns, from any format, to examples."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from shlex import quote
from typing import NoReturn

from aqa.data.columns import DOCUMENT_ID, Columns, candidates, composed, fold
from aqa.data.json_stream import describe
from aqa.data.literals import read_literal
from aqa.data.passages import (
    Listed,
    content_id,
    find_gold,
    in_ranked_order,
    list_passages,
    read_written,
    short_hash,
)
from aqa.data.references import ReferenceReader
from aqa.data.shapes.unsupported import are_predictions, what_to_do
from aqa.data.strict_json import one_line
from aqa.data.unnamed import generic_passages, other_passages
from aqa.errors import DataError
from aqa.records import Example, Passage

# Separators between passages, or before the second one.
JOINED = re.compile(
    r"\|\|\||\[(?:SEP|DOC)\] \S|</s>|\n(?:[-=*]{3,}\s*\n|\[2\]|\W{0,3}(?i:passage|document|doc"
    r"|context|source|paragraph|문서|지문|문단|단락|자료)\W{0,3}2\b)"
)


class RowParser:
    """Converts rows to Examples; `generated_ids` counts those whose row had no id.

    `fields` names columns to use instead of the usual ones; they must exist. `nfc` normalises
    questions, passages and answers to that Unicode form. If passages will be `joined`, a row
    needs none; any that it has become `own_passages`.
    """

    def __init__(
        self,
        fields: Mapping[str, str],
        nfc: bool,
        joined: bool = False,
        needs_passages: bool = True,
    ) -> None:
        self._columns = Columns(fields)
        self._references = ReferenceReader(self._columns)
        self._nfc = nfc
        self._joined = joined
        self._needs_passages = needs_passages and not joined
        self._needs_question = needs_passages  # otherwise, references suffice
        self._joined_texts = 0
        self._untitled = 0  # examples for whose passages the column named for the title is not used
        self._unread: Counter[tuple[str, str]] = Counter()  # (column read, column ignored)
        self._guessed: Counter[str] = Counter()  # columns of passages that no name shows
        self.generated_ids = 0

    def example(self, place: str, row: Mapping[str, object]) -> Example:
        """Parse one row; DataError says where it is and what is wrong with it."""
        question_column, question = self._columns.find("question", row, place)
        id_column, stored_id = self._columns.find("id", row, place)
        if self._needs_question and question is None:
            self._refuse("question", question_column, question, row, place)
        references = self._references.read(row, place)
        if not isinstance(question, str) or not question.strip():
            if question is not None:
                self._refuse("question", question_column, question, row, place)
            if not references.columns:
                self._refuse("answers", "", None, row, place)
            if read_id(stored_id, place) is None:
                self._refuse("question", "", None, row, place)
            question = ""
        passages_column, title_column, listed = self._list(row, bool(references.columns), place)
        passages = tuple(self._passage(item, rank) for rank, item in enumerate(listed, 1))
        if self._needs_passages and not any(passage.text.strip() for passage in passages):
            self._refuse("passages", passages_column, row.get(passages_column), row, place)
        gold, gold_ids = find_gold(row, listed, place)
        is_ranked = fold(passages_column).startswith(("retriev", "source")) or any(
            item.score is not None or item.rank is not None for item in listed
        )
        if not gold and not is_ranked and (self._joined or len(listed) == 1):
            gold = listed  # unranked passages are what the question was asked about
            if self._joined:
                gold_ids = gold_ids or tuple(filter(None, map(_named_id, listed)))
        used = {id_column, question_column, passages_column, title_column, *references.columns}
        return Example(
            id=self._id(stored_id, question, passages, place),
            question=self._form(question),
            passages=() if self._joined else passages,
            answers=references.texts and tuple(map(self._form, references.texts)),
            metadata={column: value for column, value in row.items() if column not in used},
            gold_ids=gold_ids,
            place=place,
            own_passages=passages if gold is listed and not self._joined else self._of_gold(gold),
            target=references.target and self._form(references.target),
        )

    def notes(self) -> Iterator[str]:
        """Yield notes for the user on what may have been misread."""
        if self.generated_ids:
            yield (
                f"Rows without an id: {self.generated_ids}; their ids were made from their content."
            )
        for (read, other), count in self._unread.items():
            yield (
                f'Examples with passages in two columns: {count}; "{read}" is read, not "{other}":'
                " name the right one with --field passages=NAME."
            )
        for column, count in self._guessed.items():
            if count:
                yield f'Examples whose passages are taken from "{column}": {count}.'
        if self._joined_texts:
            yield (
                f"Examples whose only passage looks like several in one text: {self._joined_texts};"
                ' it is taken as one: write a list, ["...", "..."].'
            )
        if self._untitled:
            yield (
                f"Examples with several passages: {self._untitled}; the title named with --field"
                " title=NAME is not theirs: write each passage's title into its object."
            )
        yield from self._references.notes()

    def has_id(self, row: Mapping[str, object]) -> bool:
        """Whether a parsable row has its own id."""
        return self._columns.find("id", row, "")[1] not in (None, "")

    def _list(
        self, row: Mapping[str, object], is_answered: bool, place: str
    ) -> tuple[str, str, list[Listed]]:
        """Return the columns of passages and of their title, if used, and the passages."""
        column, value = self._columns.find("passages", row, place)
        if not column and is_answered and not self._joined:
            lists = generic_passages(row, place)
            if len(lists) == 1:
                column, value = lists[0]
                self._guessed[column] += isinstance(value, list)
            elif lists and self._needs_passages:
                raise DataError(
                    f"{place}: {' and '.join(name for name, _ in lists)} may both hold passages;"
                    f" name the right one, such as --field {quote(f'passages={lists[0][0]}')}"
                )
        elif not self._joined and "passages" not in self._columns.fields:
            others = other_passages(row, column, place)
            self._unread.update((column, other) for other in others)
        title_column, title = self._columns.find("title", row, place)
        document_id = read_literal(row.get(DOCUMENT_ID), f'"{DOCUMENT_ID}"', place)
        only = Listed(
            title=title if isinstance(title, str) else "",
            id=str(document_id) if isinstance(document_id, str | int) else None,
        )
        listed = list_passages(read_written(value, f'"{column}"', place), place, only)
        if len(listed) == 1 and "title" in self._columns.fields and only.title:
            listed = [replace(listed[0], title=only.title)]
        self._untitled += len(listed) > 1 and "title" in self._columns.fields and title is not None
        self._joined_texts += len(listed) == 1 and _is_joined(listed[0].text or "")
        if len(listed) != 1 or listed[0].title != title:
            title_column = ""  # unused, so it stays in the metadata
        return column, title_column, in_ranked_order(listed, place)

    def _refuse(
        self, field: str, column: str, value: object, row: Mapping[str, object], place: str
    ) -> NoReturn:
        if not row:
            raise DataError(f"{place}: this row is empty; each example needs at least a question")
        column = column or next(iter(candidates(field, tuple(row))), "")
        if not column:
            if place.endswith(" 1") and are_predictions(row):  # a document is one row
                raise DataError(
                    f"{place.rpartition(', ')[0]} holds predictions ({{id: answer}}), not data; are"
                    " the two swapped? (aqa evaluate PREDICTIONS --data DATA)"
                )
            advice = what_to_do(row) or (
                f"name the right one with --field {quote(f'{field}={_inner(field, row)}')}"
                + (", or give --passages FILE" if field == "passages" else "")
            )
            names = ", ".join(map(one_line, row)) or "(none)"
            raise DataError(f"{place}: no {field} among the columns {names}; {advice}")
        if field == "question" and not isinstance(value, str | None):
            inner = candidates("question", tuple(value)) if isinstance(value, dict) else ()
            name = f"{column}.{inner[0]}" if inner else "NAME"
            raise DataError(
                f'{place}: {describe(value)} in "{column}" where text is needed; name the column'
                f" of the question with --field {quote(f'question={name}')}"
            )
        raise DataError(
            f'{place}: "{column}" is empty; each example needs a question and at least one passage'
        )

    def _of_gold(self, gold: Iterable[Listed]) -> tuple[Passage, ...]:
        texts = (item for item in gold if item.text and item.text.strip())
        return tuple(self._passage(item, rank) for rank, item in enumerate(texts, 1))

    def _passage(self, listed: Listed, rank: int) -> Passage:
        return Passage(
            self._form(listed.text or ""), self._form(listed.title), listed.id, listed.score, rank
        )

    def _form(self, text: str) -> str:
        return unicodedata.normalize("NFC", text) if self._nfc else text

    def _id(self, stored: object, question: str, passages: Iterable[Passage], place: str) -> str:
        if (key := read_id(stored, place)) is not None:
            return key
        self.generated_ids += 1
        content = "\n".join((question, *(passage.text for passage in passages)))
        return short_hash(unicodedata.normalize("NFC", content))


def _inner(field: str, row: Mapping[str, object]) -> str:
    """Return the path of a column within an object that may be the field; NAME without one."""
    objects = ((name, value) for name, value in row.items() if isinstance(value, dict))
    paths = (f"{name}.{own}" for name, value in objects for own in candidates(field, tuple(value)))
    return next(paths, "NAME")


@lru_cache(16)  # questions about one passage are adjacent
def _is_joined(text: str) -> bool:
    return JOINED.search(text) is not None


def read_id(stored: object, place: str) -> str | None:
    """Read a row's id; None if it has none; DataError if it is not a valid id.

    Ids are compared in composed Unicode.
    """
    if stored is None or stored == "":
        return None
    if isinstance(stored, str | int) and not isinstance(stored, bool):
        return composed(stored)
    if isinstance(stored, float) and stored.is_integer():
        return composed(stored)
    raise DataError(f"{place}: {describe(stored)} where an id (text or a number) is needed")


def _named_id(passage: Listed) -> str | None:
    """Return a passage's id, unless we generated it, so that no retriever knows it."""
    return None if passage.id == content_id(passage.title, passage.text) else passage.id
