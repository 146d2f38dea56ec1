"""Find where a JSON document, in a file or in memory, has its rows."""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Protocol

from aqa.data.columns import COLUMNS, MAY_HOLD_PASSAGES, fold
from aqa.data.shape import are_objects, column_rows, table_rows
from aqa.errors import DataError
from aqa.records import Example

KEYS_LOOKED_AT = 100  # of an object that may be a row, or rows keyed by id
# Keys under which a document has its rows; of a text, "questions" are those about it.
LISTS = (
    "data", "rows", "examples", "goldens", "results", "items", "dataset", "records", "samples",
    "questions",
)  # fmt: skip
QUESTIONS = COLUMNS["question"][:3]
TEXTS = {*COLUMNS["passages"], *MAY_HOLD_PASSAGES}
PREDICTED = "predictions"  # a key of answers next to the data
OF_AN_ARTICLE = ("paragraphs", "qas")  # lists of one article's parts


class Walked(Protocol):
    """An object whose members are read one after the other, each once."""

    def members(self) -> Iterator[tuple[str, str]]:
        """Yield each key, with the first character of its value in JSON."""

    def value(self) -> Any:
        """Read the value of the current key."""

    def items(self) -> Iterator[Any]:
        """Read the list at the current key, item by item."""


class Held:
    """An object in memory, walked as a file's is."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._value: Any = None

    def members(self) -> Iterator[tuple[str, str]]:
        """Yield the keys, as `Walked` says."""
        openings = (("{", Mapping), ("[", list | tuple), ('"', str))
        for key, value in self._document.items():
            self._value = value
            marks = (mark for mark, kind in openings if isinstance(value, kind))
            yield str(key), next(marks, "n")  # a number, null or the like

    def value(self) -> Any:
        """Return the value of the current key."""
        return self._value

    def items(self) -> Iterator[Any]:
        """Iterate over the list at the current key."""
        return iter(self._value)


def list_key(document: Walked) -> str | None:
    """Return the key of a document's list of rows, whatever its name; None without one.

    The columns of a row, and the questions about a text, are no such lists.
    """
    keys: list[str] = []
    is_text = is_row = False
    for key, first in document.members():
        name = fold(key)
        if name in QUESTIONS:
            return None  # later lists are columns of this row
        is_text = is_text or (first == '"' and name in TEXTS)
        is_question = first in ('"', "{") and name in COLUMNS["question"]
        is_row = is_row or is_question or name in OF_AN_ARTICLE
        if first != "[":
            document.value()
            continue
        items = document.items()
        item: Any = next(items, {} if name in LISTS else None)
        if name in LISTS[:-1] and isinstance(item, dict | Example):
            return key
        may_ask = isinstance(item, dict) and name != PREDICTED
        if may_ask and (name == LISTS[-1] or _is_entry(item)):
            keys.append(key)
        deque(items, maxlen=0)
    named = [key for key in keys if fold(key) in LISTS]
    lists = named if named or is_row else keys
    return None if is_text or len(lists) != 1 else lists[0]


def _is_entry(item: Mapping[str, Any]) -> bool:
    """Whether an item of a list is a question or an article, rather than a part of one."""
    return bool(_asks(item) or item.keys() & OF_AN_ARTICLE)


def _asks(row: Mapping[str, Any]) -> bool:
    """Whether a row has a question, or passages of a question by its id."""
    names = {*map(fold, row)}
    is_found = names & {*COLUMNS["id"]} and names & {*COLUMNS["passages"]}
    return bool(is_found or names & {*COLUMNS["question"]})


def are_keyed(
    document: Walked, columns: Collection[str], opening: str, alike: bool = False
) -> bool:
    """Whether an object's first keys are ids: no `columns`, with values that begin so.

    If rows must be `alike`, objects without a common column are the parts of a single row.
    """
    count = 0
    common: set[str] | None = None
    for key, first in islice(document.members(), KEYS_LOOKED_AT):
        if fold(key) in columns or first not in opening:
            return False
        value = document.value()
        if isinstance(value, Mapping) and value:
            common = {*value} if common is None else common & value.keys()
        count += 1
    return count > 0 and not (alike and common == set())


def refuse_another(name: object, key: str, other: str, value: Any) -> None:
    """Raise DataError for a second list of questions, of which one would be lost."""
    if not are_objects(value) or fold(other) == PREDICTED:
        return
    if all(_asks(each) if fold(other) in LISTS else _is_entry(each) for each in value):
        raise DataError(
            f'{name} has questions under "{key}" and under "{other}"; write those to be read into'
            " their own file"
        )


def table_of(document: Mapping[str, Any], name: object) -> list[dict[str, Any]] | None:
    """Return the rows of a table: columns of the same length, or "columns" and "data".

    Returns None for a row.

    Raises:
        DataError: the question is a column, but others are longer or shorter.
    """
    questions = [value for key, value in document.items() if fold(key) in QUESTIONS]
    are_columns = any(isinstance(value, list | dict) and "text" not in value for value in questions)
    if questions and not are_columns:
        return None  # even if it is about a table
    if len(document) > 1 and (rows := table_rows(document)) is not None:
        return rows
    if not are_columns and not {"columns", "data"} <= document.keys():
        return None
    columns = {key: value for key, value in document.items() if isinstance(value, list | dict)}
    rows = column_rows(columns) if are_columns else table_rows(columns)
    if rows is None:
        raise DataError(f"{name}: its columns don't have the same rows; write a list of rows")
    return rows


def rows_in(document: Mapping[str, Any], name: object) -> Iterable[object]:
    """Return the rows of a document in memory, found as in a file."""
    if (key := list_key(Held(document))) is not None:
        for other, value in document.items():
            if other != key:
                refuse_another(name, key, other, value)
        rows: Iterable[object] = document[key]
        return rows
    first = islice(document.values(), KEYS_LOOKED_AT)
    if are_keyed(Held(document), QUESTIONS, "{", alike=True) and all(map(_asks, first)):
        keyed = document.items()
        return [{"id": key, **row} if isinstance(row, Mapping) else row for key, row in keyed]
    table = table_of(document, name)
    return [document] if table is None else table
