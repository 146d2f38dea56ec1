"""Find and read the references of a row."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from aqa.data.columns import (
    AMBIGUOUS,
    COLUMNS,
    Columns,
    columns_called,
    composed,
    first_called,
    fold,
)
from aqa.data.json_stream import describe
from aqa.data.literals import flag, read_flag, read_literal
from aqa.errors import DataError

TEXTS = ("text", "answer", "value", "answertext")
SURE = tuple(name for name in COLUMNS["answers"] if name not in AMBIGUOUS)
ALIASES = ("aliases", "answeraliases", "altans", "answersadditional")
CORRECT = ("correct", "iscorrect")  # marks of answers, some of which may be wrong
UNANSWERABLE = (
    "isimpossible", "unanswerable", "isunanswerable", "notanswerable", "isnotanswerable",
    "nonanswerable", "impossible", "noanswer",
)  # fmt: skip
ANSWERABLE = ("answerable", "isanswerable")
# Unlisted names that look like references, next to a system's answers.
LIKE_REFERENCES = re.compile(
    r"(?:gold|golden|gt|groundtruth)(?:answer|response|output|text)?s?|truth"
    r"|(?:true|actual|real|human|correct|ref)(?:answer|response)s?"
)
# References of MS MARCO and QuAC that say there is no answer.
NO_ANSWER = {"no answer present", "cannotanswer"}
# Separators of answers in some tables; an "&" may begin an HTML entity, which ends with ";".
BAR = re.compile(
    r"[^|\s]\s*\|+\s*[^|\s]|\s//+\s|\[SEP\]|<sep>|^[^&;]*[^&;\s]\s*;\s*[^&;\s]|^\[[^][]+,[^][]+\]$",
    re.IGNORECASE,
)
# Texts that may mean no answer, or yes and no.
IN_WORDS = {
    "none", "n/a", "no answer", "unanswerable", "not answerable", "true", "false", "없음",
    "답 없음", "답없음", "정답 없음", "해당 없음",
}  # fmt: skip
RARE = 100  # at most one in so many references
NOTES = {
    "phrases": "Examples whose references say that there is no answer: {}; they count as"
    " unanswerable, unless they have others.",
    "barred": 'Examples with "|" or the like in a reference: {}; it counts as one answer: write'
    ' several as a list, ["...", "..."].',
    "missing": 'Examples whose only reference is "nan", "null" or another mark for nothing: {};'
    " they have none.",
    "in words": 'Examples with a reference such as "None" or "True": {}; it is compared as'
    " text: write [] where there is no answer, and yes or no where these are meant.",
    "marked": 'Examples with a mark, such as "has_answer", that contradicts their references: {};'
    " the references count.",
}
MISSING = {"nan", "<na>", "#n/a", "null", r"\n"}  # missing values of pandas, Excel and SQL


@dataclass(frozen=True, slots=True)
class References:
    """A row's references: None without any, () if it is unanswerable.

    `target` is the text to train on, if the row names it. `columns` are those used.
    """

    texts: tuple[str, ...] | None = None
    target: str | None = None
    columns: tuple[str, ...] = ()


class ReferenceReader:
    """Reads references, and counts the cases for NOTES."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._counts: Counter[str] = Counter()

    def read(self, row: Mapping[str, object], place: str) -> References:
        """Return the references of a row.

        Raises:
            DataError: they can't be read, or two columns have different ones.
        """
        column, value = self._find(row, place)
        if not column:
            return References(() if _is_impossible(row, place) else None)
        texts = self._texts(value, column, place)
        if texts and fold(column) in ("answers", "answer"):
            aliases = first_called(row, ALIASES)
            if aliases is not None:
                more = self._texts(aliases, "aliases", place)
                texts = tuple(dict.fromkeys((*texts, *(more or ()))))
        if _is_impossible(row, place):
            return References((), None, (column,))
        self._counts["read"] += 1
        self._counts["marked"] += texts is not None and _is_marked(row, not texts)
        if "answers" not in self._columns.fields:
            self._check_other(row, column, texts, place)
        target = self._target(row, column) if texts else None
        used = columns_called(("target",), tuple(row)) if target else ()
        return References(texts, target, (column, *used))

    def _find(self, row: Mapping[str, object], place: str) -> tuple[str, object]:
        names = tuple(row)
        sure = columns_called(SURE, names)
        if sure and "answers" not in self._columns.fields:
            return next(((name, row[name]) for name in sure if row[name] is not None), ("", None))
        return self._columns.find("answers", row, place)

    def notes(self) -> Iterator[str]:
        """Yield notes for the user on what may have been misread."""
        for what, sentence in NOTES.items():
            count = self._counts[what]  # rare cases are probably intended
            if count and (what != "in words" or count * RARE >= self._counts["read"]):
                yield sentence.format(count)

    def _check_other(
        self, row: Mapping[str, object], column: str, texts: tuple[str, ...] | None, place: str
    ) -> None:
        """Check that no other column that may be the reference differs."""
        # FiD's target, next to all right answers, need not be one of them.
        beside = ("answer",) if fold(column) == "answers" else ("target", "answertext")
        others = columns_called(beside, tuple(row))
        if fold(column) in AMBIGUOUS:
            others += _like_references(tuple(row))
        for other in others:
            value = row[other]
            if (
                not isinstance(value, str)
                or not value.strip()
                or fold(value) in map(fold, texts or ())
            ):
                continue
            written = read_literal(value, other, place)
            if isinstance(written, str) and not self._is_none(written):
                raise DataError(
                    f'{place}: "{column}" and "{other}" hold different answers; name the column of'
                    " the references with --field answers=NAME"
                )

    def _target(self, row: Mapping[str, object], column: str) -> str | None:
        """Return FiD's target: the answer to train on, next to all right ones."""
        if fold(column) == "target" or "answers" in self._columns.fields:
            return None
        value = first_called(row, ("target",))
        return value if isinstance(value, str) and value.strip() else None

    def _texts(self, value: object, column: str, place: str) -> tuple[str, ...] | None:
        """Return a value's texts; None if there are none but a table's missing values."""
        was_text = isinstance(value, str)
        value = read_literal(value, f'"{column}"', place)
        if value is None or _is_nan(value):
            return None
        if isinstance(value, dict) and isinstance(listed := first_called(value, TEXTS), list):
            value = [*listed, *_aliases(value)]
        items = [
            item for item in (value if isinstance(value, list) else [value]) if _is_right(item)
        ]
        items = [form for item in items for form in (item, *_aliases(item))]
        if was_text:
            items = [item for item in items if item is not None]
        texts = [text for item in items if (text := self._text(item, place)) is not None]
        self._counts["barred"] += was_text and any(map(BAR.search, texts))
        self._counts["in words"] += any(_words(text) in IN_WORDS for text in texts)
        answers = [text for text in texts if not self._is_none(text)]
        self._counts["phrases"] += len(answers) < len(texts)
        if items and not texts:
            self._counts["missing"] += 1
            return None
        return tuple(dict.fromkeys(text for text in answers if text.strip()))

    def _text(self, item: object, place: str) -> str | None:
        """Return one reference; None for a table's missing value."""
        text = first_called(item, TEXTS) if isinstance(item, dict) else item
        if _is_nan(text) or (isinstance(text, str) and text.strip().casefold() in MISSING):
            return None
        if text is None and isinstance(item, dict) and "provenance" in item:
            return None  # KILT lists the supporting pages like references
        if isinstance(text, int | float) and not isinstance(text, bool) and math.isfinite(text):
            return composed(text)
        if isinstance(text, list):
            raise DataError(
                f"{place}: a list within the list of gold answers; if all of them are needed"
                ' (QAMPARI), write each complete answer as one text, ["Ann, Bo"]; if they are forms'
                ' of the same answer, write a single list, ["Ann", "A."]'
            )
        if not isinstance(text, str):
            raise DataError(
                f"{place}: {describe(item)} among the gold answers where a text is needed; write a "
                'text, a list of texts, or {"text": [...]}'
            )
        return text

    def _is_none(self, text: str) -> bool:
        return _words(text) in NO_ANSWER


def _is_right(answer: object) -> bool:
    """Whether an answer is not marked as wrong."""
    return not isinstance(answer, dict) or flag(first_called(answer, CORRECT)) is not False


def _aliases(answer: object) -> list[object]:
    """Return the other forms of an answer that an object lists."""
    aliases = first_called(answer, ALIASES) if isinstance(answer, dict) else None
    return aliases if isinstance(aliases, list) else []


def _words(text: str) -> str:
    return text.strip().rstrip(".").casefold()


@lru_cache(1024)  # all rows of a file have the same names
def _like_references(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if LIKE_REFERENCES.fullmatch(fold(name)))


def _is_impossible(row: Mapping[str, object], place: str) -> bool:
    names = tuple(row)
    against = [read_flag(row[name], name, place) for name in columns_called(UNANSWERABLE, names)]
    marks = [read_flag(row[name], name, place) for name in columns_called(ANSWERABLE, names)]
    return True in against or False in marks


def _is_marked(row: Mapping[str, object], as_answerable: bool) -> bool:
    """Whether a row is marked as having an answer or, as a result, none."""
    marks = [flag(row[name]) for name in columns_called((*ANSWERABLE, "hasanswer"), tuple(row))]
    against = [flag(row[name]) for name in columns_called(UNANSWERABLE, tuple(row))]
    return as_answerable in marks or (not as_answerable) in against


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
