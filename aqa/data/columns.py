"""Recognise which column of a row holds which field, by name."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from aqa.errors import DataError

# Korean names of a question's id; and of a text, be it a row's, a passage's or an article's.
KOREAN_IDS = (
    "질문id", "질문아이디", "질문번호", "질의번호", "문항번호", "문제번호", "아이디", "번호",
    "순번",
)  # fmt: skip
KOREAN_TEXTS = (
    "문맥", "지문", "문서", "본문", "문단", "단락", "본문내용", "지문내용", "문서내용", "문서본문",
    "내용",
)  # fmt: skip
# Names as folded by `fold`; of a field's columns, the first with a value is used.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": (
        "id", "qid", "guid", "queryid", "questionid", "exampleid", "qaid", "sampleid",
        "interactionid", *KOREAN_IDS,
    ),
    "question": (
        "question", "query", "userinput", "questiontext", "querytext", "질문", "질의", "문제",
        "질문내용", "질문문", "질의문", "input", "problem",
    ),
    "passages": (
        "ctxs", "passages", "contexts", "documents", "paragraphs", "retrievedcontexts",
        "retrievedcontents", "retpsg", "context", "sourcedocuments", "retrievedcontext", "passage",
        "paragraph", "referencecontexts", "referencecontext", "참고문서", "참조문서", "관련문서",
        "검색문서", "검색결과", "근거문서", "근거문단", "근거지문", *KOREAN_TEXTS, "docs",
        "support", "supports", "knowledge", "retrievalcontext",
    ),
    "answers": (
        "goldenanswers", "goldenanswer", "goldanswers", "goldanswer", "groundtruths", "groundtruth",
        "groundtruthanswers", "groundtruthanswer", "referenceanswers", "referenceanswer",
        "reference", "expectedanswers", "expectedanswer", "expectedoutput", "correctanswers",
        "correctanswer", "possibleanswers", "generationgt", "gtanswer", "targetanswer", "정답",
        "정답목록", "모범답안", "모범답변", "참조답변", "기준답변", "기대답변", "answers", "answer",
        "answertext", "답변", "답", "target", "targets",
        "expected", "ideal", "goldtext", "references", "shortanswers", "shortanswer", "rightanswer",
        "output",
    ),
    "title": ("title", "제목", "doctitle", "documenttitle", "문서제목", "문서명", "기사제목"),
}  # fmt: skip
# Where a row with a question and answers may have its passages, if only one of these has text.
MAY_HOLD_PASSAGES = ("document", "article", "evidence", "text", "story", "plot")
# Names of references that systems' answers may have, too; the others are unambiguous.
AMBIGUOUS = COLUMNS["answers"][COLUMNS["answers"].index("answers") :]
DOCUMENT_ID = "document_id"
MISSING = object()
PLACE = re.compile("-?[0-9]{1,9}")  # an index in a list; -1 is the last
EMPTY: tuple[object, ...] = ("", [], {})


@lru_cache(4096)  # all rows of a file have the same names
def fold(name: object) -> str:
    """Fold a column's name: no case, spaces or marks; "Predicted-Answer" is "predictedanswer"."""
    composed = unicodedata.normalize("NFC", str(name))
    return "".join(filter(str.isalnum, composed.casefold()))


def canonical_fields(fields: Mapping[str, str]) -> dict[str, str]:
    """Convert the keys of `fields` to our names, accepting the usual column names as keys.

    Raises:
        DataError: there is no such field, or one is given twice.
    """
    named: dict[str, str] = {}
    for key, column in fields.items():
        name = next((name for name in COLUMNS if fold(key) in (name, *COLUMNS[name])), None)
        if name is None:
            raise DataError(f'there is no field "{key}"; the fields are {", ".join(COLUMNS)}')
        if named.setdefault(name, column) != column:
            raise DataError(
                f"two columns are named for the field {name}, {named[name]} and {column}; name one"
            )
    return named


class Columns:
    """Finds the fields of rows; `fields` names columns to use instead of the usual ones."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = canonical_fields(fields)

    def find(self, field: str, row: Mapping[str, object], place: str) -> tuple[str, object]:
        """Return a field's column and value, or "" and None if the row has none.

        Raises:
            DataError: the column named for the field does not exist.
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
        filled = [column for column in columns if row[column] is not None]
        if field == "passages":  # prefer columns that are not empty
            filled.sort(key=lambda column: row[column] in EMPTY)
        return (filled[0], row[filled[0]]) if filled else ("", None)


@lru_cache(4096)
def candidates(field: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of a row's columns that may be a field, the likeliest first."""
    return columns_called(COLUMNS[field], names)


@lru_cache(4096)
def columns_called(wanted: tuple[str, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns with these folded names, in the order of `wanted`."""
    folded: dict[str, list[str]] = {}
    for name in names:
        # Of "id" and "_id", the one equal to its folded name comes first.
        folded.setdefault(fold(name), []).insert(0 if name == fold(name) else len(names), name)
    return tuple(name for key in wanted for name in folded.get(key, ()))


def look_up(row: Mapping[str, Any], path: str) -> Any:
    """Return the value of a column, or of a path of columns and indices; MISSING if none."""
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
    """Return the value of the first column, by folded name, that has one; None without."""
    for column in columns_called(tuple(wanted), tuple(row)):
        if row[column] is not None:
            return row[column]
    return None


def value_called(row: Mapping[str, Any], name: str) -> Any:
    """Return the value of the column with this name, in any Unicode form; None without one."""
    if name in row:
        return row[name]
    return next((row[column] for column in row if composed(column) == composed(name)), None)


def as_label(value: object) -> str | None:
    """Return a value as the text of a group; None if it is missing or no plain value."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value != value:
        return None
    return composed(value).strip() or None


def composed(name: object) -> str:
    """Return a name or id in composed Unicode, for comparison.

    Integers in a table with gaps, which become 1.0, are converted back.
    """
    if isinstance(name, float) and name.is_integer():
        name = int(name)
    return unicodedata.normalize("NFC", str(name))
