"""Read rows from JSON Lines, or from one large document of any structure that has rows."""

import json
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from aqa.data.columns import COLUMNS, fold
from aqa.data.files import Row, open_bytes
from aqa.data.json_scanner import scanning
from aqa.data.shape import are_objects
from aqa.data.strict_json import one_line
from aqa.errors import DataError

FIRST_LINE_BYTES = 1 << 20
SPACES_BEFORE = 1 << 12  # bytes at most before a document
KEYS_LOOKED_AT = 100  # of an object that may be a row, or rows keyed by id
# Keys under which a document has its rows.
LISTS = (
    "data", "rows", "examples", "questions", "goldens", "results", "items", "dataset", "records",
    "samples",
)  # fmt: skip
QUESTIONS = COLUMNS["question"][:3]


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of a file, its place, and its key if it is in an object keyed by id."""

    place: str
    value: Any
    key: str | None = None


def read_json(path: Path) -> Iterator[Row]:
    """Read the rows of a JSON file of any structure.

    Rows are lines or other concatenated values, in a list, keyed by id, or in a table of columns.
    Only such a table is held in memory, as its rows are complete only at its end.
    """
    if _are_lines(path):
        return ((place, as_row(value, place)) for place, value in read_values(path))
    key = _list_key(path)
    if key is not None:
        return _numbered(path, _read_list(path, key))
    if is_keyed(path, QUESTIONS, "{"):
        return (
            (entry.place, {"id": entry.key, **as_row(entry.value, entry.place)})
            for entry in read_members(path)
        )
    return _read_document(path)


def read_values(path: Path, at_once: bool = False) -> Iterator[tuple[str, object]]:
    """Read JSON Lines or other concatenated values, each with the line where it begins.

    There may be commas between them, or nothing, as from jq or concatenated files.
    """
    with scanning(path) as document:
        if at_once:
            document.load()
        while document.next():
            yield document.place(), document.value()
            document.takes(",")


def as_row(value: object, place: str) -> dict[str, object]:
    """Return `value` if it is an object with columns; DataError otherwise."""
    if not isinstance(value, dict):
        raise DataError(f"{place}: {describe(value)} where an object with columns is needed")
    return value


def describe(value: object) -> str:
    """Return a value's type in JSON's terms, for messages."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return names.get(type(value), "null" if value is None else f"the value {value!r:.40}")


def read_members(path: Path) -> Iterator[Entry]:
    """Yield the members of one large JSON object."""
    with scanning(path) as document:
        for key, _ in document.members():
            yield Entry(f'{path.name}, id "{one_line(key)}"', document.value(), key)
        document.end()


def _are_lines(path: Path) -> bool:
    """Whether the first line is an object, and others follow."""
    with open_bytes(path) as file:
        try:
            first = json.loads(file.readline(FIRST_LINE_BYTES))
        except (ValueError, RecursionError):
            return False  # broken, or too long for a line of JSON Lines
        return isinstance(first, dict) and any(not line.isspace() for line in file)


def _list_key(path: Path) -> str | None:
    """Return the key of a document's list of rows, "" if it is that list, None without one."""
    with scanning(path) as document:
        opening = document.next()
        if opening not in ("{", "["):
            raise DataError(
                f'{path.name} begins with "{one_line(document.line())}", where JSON has a row or'
                " a list of rows; is it the right file?"
            )
        if opening == "[":
            return ""
        for key, first in document.members():
            if fold(key) in QUESTIONS:
                return None  # later lists are columns of this row
            if fold(key) not in LISTS or first != "[":
                document.value()
                continue
            items = document.items()
            if isinstance(next(items, {}), dict):
                return key
            deque(items, maxlen=0)
    return None


def is_keyed(path: Path, columns: Collection[str], opening: str = "{[") -> bool:
    """Whether a JSON file is one object of records keyed by id.

    That is, its first keys are not columns of a row, and each has a list or an object.
    """
    count = 0
    with open_bytes(path) as file:
        if file.read(SPACES_BEFORE).lstrip()[:1] != b"{":
            return False
    with scanning(path) as document:
        for key, first in document.members():
            if fold(key) in columns or first not in opening:
                return False
            document.value()
            count += 1
            if count == KEYS_LOOKED_AT:
                break
    return count > 0


def _read_list(path: Path, key: str) -> Iterator[object]:
    """Yield the values of a list that is the document or is under a key in it."""
    with scanning(path) as document:
        if not key:
            yield from document.items()
            document.end()
            return
        for name, _ in document.members():
            if name == key:
                yield from document.items()
            else:
                document.value()
        document.end()


def _read_document(path: Path) -> Iterator[Row]:
    """Read concatenated values, of which the first may be a table."""
    values = read_values(path)
    place, first = next(values)
    rows = rows_of(as_row(first, place), str(path))
    if rows[0] is first:
        values = chain([(place, first)], values)
        return ((place, as_row(value, place)) for place, value in values)
    return _numbered(path, rows)


def _numbered(path: Path, rows: Iterable[object]) -> Iterator[Row]:
    for number, row in enumerate(rows, 1):
        place = f"{path.name}, row {number}"
        yield place, as_row(row, place)


def rows_of(document: Mapping[str, Any], name: str) -> list[Any]:
    """Return the rows of a table, or in a list; otherwise the document as the only row.

    Raises:
        DataError: its question is a column, but others are longer or shorter.
    """
    asked = [value for key, value in document.items() if fold(key) in QUESTIONS]
    are_columns = any(isinstance(each, list | dict) and "text" not in each for each in asked)
    if are_columns or {"columns", "data"} <= document.keys():
        columns = {key: value for key, value in document.items() if isinstance(value, list | dict)}
        if (rows := table_rows(columns)) is not None:
            return rows
    if are_columns:
        raise DataError(f"{name}: its columns don't have the same rows; write a list of rows")
    lists = [value for key, value in document.items() if fold(key) in LISTS and not asked]
    found = (each for each in lists if each == [] or are_objects(each))
    return next(found, [document])


def table_rows(document: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the rows of a table as pandas, MLflow and W&B write it; None if it is none.

    It has lists next to the columns' names ("split"), or columns with the same places or keys.
    """
    names, data = document.get("columns"), document.get("data")
    if isinstance(names, list) and isinstance(data, list):
        are_rows = all(isinstance(row, list) and len(row) == len(names) for row in data)
        if not are_rows or not all(isinstance(name, str) for name in names):
            return None  # such as rows that are objects, next to the names of their columns
        return [dict(zip(names, row, strict=True)) for row in data]
    kind: Any = type(next(iter(document.values()), None))
    if kind not in (list, dict) or not all(isinstance(each, kind) for each in document.values()):
        return None
    places = [range(len(each)) if kind is list else each.keys() for each in document.values()]
    if any(own != places[0] for own in places):
        return None
    return [{name: column[at] for name, column in document.items()} for at in places[0]]
