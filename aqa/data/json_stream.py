"""Read rows from JSON Lines, or from one large document of any structure that has rows."""

import json
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from aqa.data.documents import QUESTIONS, are_keyed, list_key, refuse_another, table_of
from aqa.data.files import Row, open_bytes
from aqa.data.json_scanner import scanning
from aqa.data.strict_json import one_line
from aqa.errors import DataError

FIRST_LINE_BYTES = 1 << 20
SPACES_BEFORE = 1 << 12  # bytes at most before a document


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of a file, its place, and its key if it is in an object keyed by id."""

    place: str
    value: Any
    key: str | None = None


def read_json(path: Path) -> Iterator[Row]:
    """Read the rows of a JSON file of any structure.

    Rows are lines or other concatenated values, in a list, keyed by id, or in a table of columns.
    Only such a table is held in memory, as its rows are complete only at its end; those of pandas'
    split layout are not.
    """
    if _are_lines(path):
        return _rows(read_values(path))
    key = _list_key(path)
    if key is not None:
        return _rows(_numbered(path, _read_list(path, key)))
    if is_keyed(path, QUESTIONS, "{", alike=True):
        return _rows(read_members(path))
    if (names := _split_names(path)) is not None:
        return _rows(_numbered(path, _split_rows(path, names)))
    return _read_document(path)


def _rows(entries: Iterable[Entry]) -> Iterator[Row]:
    for entry in entries:
        row = as_row(entry.value, entry.place)
        yield entry.place, row if entry.key is None else {"id": entry.key, **row}


def read_values(path: Path) -> Iterator[Entry]:
    """Read JSON Lines or other concatenated values, each with the line where it begins.

    There may be commas between them, or nothing, as from jq or concatenated files.
    """
    with scanning(path) as document:
        while document.next():
            yield Entry(document.place(), document.value())
            document.takes(",")


def as_row(value: object, place: str) -> dict[str, object]:
    """Return `value` if it is an object with columns; DataError otherwise."""
    if not isinstance(value, dict):
        raise DataError(f"{place}: {describe(value)} where an object with columns is needed")
    return value


def describe(value: object) -> str:
    """Return a value's type in JSON's terms, for messages."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return names.get(
        type(value), "null" if value is None else f"the value {one_line(repr(value)):.40}"
    )


def read_members(path: Path, kind: str = "") -> Iterator[Entry]:
    """Yield the members of one large JSON object; `kind` says what keys are, in messages."""
    with scanning(path) as document:
        for key, _ in document.members():
            yield Entry(f'{path.name}, {kind}"{one_line(key)}"', document.value(), key)
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
        return "" if opening == "[" else list_key(document)


def _split_rows(path: Path, names: list[str]) -> Iterator[object]:
    return (dict(zip(names, row, strict=True)) for row in _read_list(path, "data"))


def _split_names(path: Path) -> list[str] | None:
    """Return the columns' names of a table in pandas' split layout; None for anything else.

    Its rows can be read one by one if the names come before them.
    """
    names: Any = None
    are_rows = False
    with scanning(path) as document:
        for key, first in document.members():
            if key == "columns" and names is None:
                names = document.value()
                if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
                    return None
            elif key == "data" and first == "[" and names and not are_rows:
                rows = document.items()
                are_rows = all(isinstance(row, list) and len(row) == len(names) for row in rows)
                deque(rows, maxlen=0)
            elif key == "index" and first == "[":
                deque(document.items(), maxlen=0)
            else:
                return None
        is_split = are_rows and not document.next()
    return [*names] if is_split else None


def is_keyed(
    path: Path, columns: Collection[str], opening: str = "{[", alike: bool = False
) -> bool:
    """Whether a JSON file is one object of records keyed by id.

    That is, its first keys are not columns of a row, and each has a list or an object; if they must
    be `alike`, these have a column in common.
    """
    with open_bytes(path) as file:
        if file.read(SPACES_BEFORE).lstrip()[:1] != b"{":
            return False
    with scanning(path) as document:
        return are_keyed(document, columns, opening, alike)


def _read_list(path: Path, key: str) -> Iterator[Any]:
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
                refuse_another(path.name, key, name, document.value())
        document.end()


def _read_document(path: Path) -> Iterator[Row]:
    """Read concatenated values, or a table alone."""
    entries = read_values(path)
    first = next(entries)
    rows = table_of(as_row(first.value, first.place), path)
    if rows is None:
        return _rows(chain([first], entries))
    if (more := next(entries, None)) is not None:
        raise DataError(
            f"{more.place}: another value after a table of columns; write a list of rows"
        )
    return _rows(_numbered(path, rows))


def _numbered(path: Path, rows: Iterable[object]) -> Iterator[Entry]:
    return (Entry(f"{path.name}, row {number}", row) for number, row in enumerate(rows, 1))
