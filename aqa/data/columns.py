"""Which column of a row is which field, by its name."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from aqa.errors import DataError

# Names as `fold` gives them; of a field's columns the first that has a value wins.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "qid", "guid", "queryid", "questionid", "exampleid", "qaid", "번호"),
    "question": (
        "question", "query", "userinput", "questiontext", "querytext", "질문", "질의", "input",
        "problem",
    ),
    "passages": (
        "ctxs", "passages", "contexts", "documents", "paragraphs", "retrievedcontexts",
        "retrievedcontents", "retpsg", "context", "sourcedocuments", "retrievedcontext", "passage",
        "paragraph", "referencecontexts", "referencecontext", "문맥", "지문", "문서", "본문",
        "문단", "docs", "support", "supports", "knowledge",
    ),
    "answers": (
        "goldenanswers", "goldenanswer", "goldanswers", "goldanswer", "groundtruths", "groundtruth",
        "groundtruthanswers", "groundtruthanswer", "referenceanswers", "referenceanswer",
        "reference", "expectedanswers", "expectedanswer", "expectedoutput", "correctanswers",
        "correctanswer", "possibleanswers", "generationgt", "gtanswer", "targetanswer", "정답",
        "answers", "answer", "answertext", "답변", "답", "target", "expected", "ideal",
        "goldtext", "shortanswers", "shortanswer", "rightanswer", "output",
    ),
    "title": ("title", "제목", "doctitle", "documenttitle"),
}  # fmt: skip
# Where a row that has a question and answers may hold its passages, if only one of these does.
MAY_HOLD_PASSAGES = ("document", "article", "evidence", "text", "story")
# References by names that systems' answers have, too; all the others can mean nothing else.
AMBIGUOUS = COLUMNS["answers"][COLUMNS["answers"].index("answers") :]
DOCUMENT_ID = "document_id"
MISSING = object()
PLACE = re.compile("-?[0-9]{1,9}")  # in a list; -1 is the last
EMPTY: tuple[object, ...] = ("", [], {})


@lru_cache(4096)  # each row of a file has the same names
def fold(name: object) -> str:
    """A column's name without case, spaces and marks: "Predicted-Answer" is "predictedanswer"."""
    composed = unicodedata.normalize("NFC", str(name))
    return "".join(filter(str.isalnum, composed.casefold()))


def canonical_fields(fields: Mapping[str, str]) -> dict[str, str]:
    """Give named columns by our fields' names, where a field may be called as its columns are.

    Raises:
        DataError: there is no such field, or one is named twice.
    """
    found: dict[str, str] = {}
    for given, column in fields.items():
        name = next((name for name in COLUMNS if fold(given) in (name, *COLUMNS[name])), None)
        if name is None:
            raise DataError(
                f'there is no field "{given}" to name a column for; '
                f"the fields are {', '.join(COLUMNS)}"
            )
        if found.setdefault(name, column) != column:
            raise DataError(
                f"two columns are named for the field {name}, {found[name]} and {column}; name one"
            )
    return found


class Columns:
    """Finds the fields of rows; `fields` names the columns to take instead of the usual ones."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = canonical_fields(fields)

    def find(self, field: str, row: Mapping[str, object], place: str) -> tuple[str, object]:
        """Give a field's column and value, "" and None where the row has none.

        Raises:
            DataError: the column that is named for the field is not there.
        """
        named = self.fields.get(field)
        if named is None:
            columns = candidates(field, tuple(row))
        elif named in row:
            columns = (named,)
        else:
            columns = tuple(name for name in row if composed(name) == composed(named))
            if not columns and (value := look_up(row, named)) is not MISSING:
                return named, value
            if not columns:
                raise DataError(
                    f'{place}: no column "{named}" for the field {field}; '
                    f"the columns are {', '.join(map(str, row))}"
                )
        found = [column for column in columns if row[column] is not None]
        if field == "passages":  # an empty list says nothing where another column has some
            found.sort(key=lambda column: row[column] in EMPTY)
        return (found[0], row[found[0]]) if found else ("", None)


@lru_cache(4096)
def candidates(field: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of a row's columns that may be a field, the likeliest first."""
    return columns_called(COLUMNS[field], names)


@lru_cache(4096)
def columns_called(wanted: tuple[str, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    """The columns of which these are the folded names, in the order of what is wanted."""
    folded: dict[str, list[str]] = {}
    for name in names:
        # Of "id" and "_id" the one that is written like its folded name comes first.
        folded.setdefault(fold(name), []).insert(0 if name == fold(name) else len(names), name)
    return tuple(name for each in wanted for name in folded.get(each, ()))


def look_up(row: Mapping[str, Any], path: str) -> Any:
    """The value of a column, or of a path of columns and places; MISSING where there is none."""
    if path in row:
        return row[path]
    value: Any = row
    for part in path.split("."):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and PLACE.fullmatch(part) and int(part) < len(value):
            value = value[int(part)] if -int(part) <= len(value) else MISSING
        else:
            return MISSING
    return value


def first_called(row: Mapping[str, object], wanted: Iterable[str]) -> object:
    """The value of the first of the columns, by folded name, that has one; None without."""
    for column in columns_called(tuple(wanted), tuple(row)):
        if row[column] is not None:
            return row[column]
    return None


def value_called(row: Mapping[str, Any], name: str) -> Any:
    """The value of the column of this name, compared as it looks; None without one."""
    if name in row:
        return row[name]
    return next((row[own] for own in row if composed(own) == composed(name)), None)


def as_label(value: object) -> str | None:
    """A value that puts rows into groups, as a text; None where it is nothing, or no value."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value != value:
        return None
    return composed(value).strip() or None


def composed(name: object) -> str:
    """A name or id as it is compared: in the composed form of Unicode.

    A table with gaps holds whole numbers as 1.0.
    """
    if isinstance(name, float) and name.is_integer():
        name = int(name)
    return unicodedata.normalize("NFC", str(name))
