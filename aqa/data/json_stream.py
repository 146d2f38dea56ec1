"""Read rows from JSON Lines, or from one large document of any structure that has rows."""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from aqa.data.columns import COLUMNS, fold
from aqa.data.files import Row, open_bytes
from aqa.data.json_scanner import Scanner, scanning
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

# Rows as lines or other concatenated values, in a list, as a table, or keyed by id.
Shape = Literal["objects", "list", "table", "keyed"]


def read_json(path: Path) -> Iterator[Row]:
    """Read the rows of a JSON file of any structure."""
    shape, key = document_shape(path)
    if shape == "objects":
        return ((place, as_row(value, place)) for place, value in read_values(path))
    if shape == "table":
        return _read_table(path)
    if shape == "keyed":
        return _read_keyed(path)
    return (
        (place, as_row(item, place))
        for number, item in enumerate(_read_list(path, key), 1)
        for place in (f"{path.name}, row {number}",)
    )


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


def read_members(path: Path) -> Iterator[tuple[str, object]]:
    """Yield the keys and values of one large JSON object."""
    with scanning(path) as document:
        for key, _ in document.members():
            yield key, document.value()
        document.end()


def document_shape(path: Path) -> tuple[Shape, str]:
    """Return a JSON file's structure, and the key of its list of rows, if any."""
    with open_bytes(path) as file:
        try:
            first = json.loads(file.readline(FIRST_LINE_BYTES))
        except (ValueError, RecursionError):
            first = None  # broken, or too long for a line of JSON Lines
        if isinstance(first, dict) and any(not line.isspace() for line in file):
            return "objects", ""
    with scanning(path) as document:
        opening = document.next()
        if opening not in ("{", "["):
            raise DataError(
                f'{path.name} begins with "{one_line(document.line())}", where JSON has a row or'
                " a list of rows; is it the right file?"
            )
        if opening == "[":
            return "list", ""
        shape = _object_shape(document)
    return ("keyed", "") if shape[0] == "objects" and is_keyed(path, (), "{") else shape


def _object_shape(document: Scanner) -> tuple[Shape, str]:
    columns = False
    for key, opening in document.members():
        if fold(key) in LISTS and document.takes("["):
            opening = document.next()
            if opening == "[" and columns:
                return "table", ""
            if opening in "{]" or (opening == "[" and key == "data"):
                return "list", key
            while not document.takes("]"):  # a list of something else
                document.value()
                document.takes(",")
            continue
        value = document.value()
        columns = columns or key == "columns"
        if fold(key) in QUESTIONS:  # later lists are columns of this row
            is_column = isinstance(value, dict | list) and "text" not in value
            return ("table" if is_column else "objects"), ""
    return "objects", ""


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


def _read_keyed(path: Path) -> Iterator[Row]:
    for key, value in read_members(path):
        place = f'{path.name}, "{key}"'
        yield place, {"id": key, **as_row(value, place)}


def _read_table(path: Path) -> Iterator[Row]:
    with scanning(path) as document:
        document.load()
        table = as_row(document.value(), path.name)
        document.end()
    columns = {name: value for name, value in table.items() if isinstance(value, list | dict)}
    if (rows := table_rows(columns)) is None:
        raise DataError(f"{path}: its columns don't have the same rows; write a list of rows")
    yield from ((f"{path.name}, row {number}", row) for number, row in enumerate(rows, 1))


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
