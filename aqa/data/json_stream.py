"""JSON Lines, and large JSON documents read item by item; broken JSON is named by its position."""

import json
import re
from collections import deque
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar

from aqa.data.files import Row, not_utf8, open_bytes
from aqa.errors import DataError

Value = TypeVar("Value")

SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
FIRST_LINE_BYTES = 1 << 20
KEYS_LOOKED_AT = 100  # of an object that may be a row or hold rows by their ids
CONTINUATION_BYTES = bytes(range(0x80, 0xC0))


def read_lines(path: Path) -> Iterator[Row]:
    """Read JSON Lines; blank lines are passed over."""
    name = path.name
    with open_bytes(path) as file:
        for number, line in enumerate(file, 1):
            if line.isspace():
                continue
            try:
                row = json.loads(line.decode())
                if SURROGATE_ESCAPE.search(line):
                    json.dumps(row, ensure_ascii=False).encode()
            except UnicodeDecodeError:
                raise not_utf8(path) from None
            except UnicodeEncodeError:
                raise DataError(
                    f"{name}, line {number}: a \\u escape is half of a surrogate pair, which is no "
                    "character; remove it"
                ) from None
            except (ValueError, RecursionError) as error:
                column = getattr(error, "colno", 1)
                reason = getattr(error, "msg", str(error))
                raise DataError(
                    f"{name}, line {number}, column {column}: not valid JSON ({reason}); each "
                    "line must hold one whole object"
                ) from None
            yield f"{name}, line {number}", as_row(row, f"{name}, line {number}")


def as_row(value: object, place: str) -> dict[str, object]:
    """Give `value` where it is an object with columns; DataError otherwise."""
    if not isinstance(value, dict):
        raise DataError(f"{place}: {describe(value)} where an object with columns is needed")
    return value


def describe(value: object) -> str:
    """Name a value's type in the words of JSON, for messages."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return names.get(type(value), "null" if value is None else f"the value {value!r:.40}")


def read_items(path: Path, prefix: str) -> Iterator[object]:
    """Read the values at an ijson prefix ("item", "data.item") one after the other."""
    import ijson

    return _parsed(path, lambda file: ijson.items(file, prefix, use_float=True))


def read_members(path: Path) -> Iterator[tuple[str, object]]:
    """Read the keys and values of one large JSON object one after the other."""
    import ijson

    return _parsed(path, lambda file: ijson.kvitems(file, "", use_float=True))


def document_shape(path: Path) -> tuple[Literal["lines", "rows", "articles"], str]:
    """Tell from its first record what a JSON file is, and the ijson prefix of its records.

    A list, or an object whose "data" is a list, is one document; it is SQuAD-shaped where the
    first record has "paragraphs". Any other object is the first line of JSON Lines.
    """
    import ijson

    with open_bytes(path) as file:
        try:
            first = json.loads(file.readline(FIRST_LINE_BYTES))
        except RecursionError:
            return "lines", ""
        except ValueError:
            first = None  # longer than a line of JSON Lines should be, or broken
    if isinstance(first, dict) and not isinstance(first.get("data"), list):
        return "lines", ""
    prefix = ""
    for path_to, event, _ in _parsed(path, lambda file: ijson.parse(file, multiple_values=True)):
        if event == "start_array" and path_to in ("", "data") and not prefix:
            prefix = f"{path_to}.item".lstrip(".")
        elif event == "start_array" and prefix and path_to == f"{prefix}.paragraphs":
            return "articles", prefix
        elif path_to == prefix and event not in ("start_map", "map_key"):
            break
    return ("rows", prefix) if prefix else ("lines", "")


def is_keyed(path: Path, columns: Collection[str]) -> bool:
    """Tell whether a JSON file is one object that holds records by their ids.

    Its first keys are then no columns of a row, and each has a list or an object.
    """
    import ijson

    count, at_value = 0, False
    events = _parsed(path, lambda file: ijson.parse(file, multiple_values=True))
    for path_to, event, value in events:
        if at_value and event not in ("start_map", "start_array"):
            return False
        at_value = path_to == "" and event == "map_key"
        if at_value and (value in columns or count == KEYS_LOOKED_AT):
            return value not in columns
        count += at_value
        if path_to == "" and event in ("end_map", "start_array"):
            break
    return count > 0


class _Metered:
    """A file for a parser that counts what was read, byte by byte from `fine_from` on."""

    def __init__(self, file: BinaryIO, fine_from: float) -> None:
        self._file = file
        self._fine_from = fine_from
        self.offset = self.chunk_start = 0
        self.line, self.column = 1, 0

    def read(self, size: int) -> bytes:
        self.chunk_start = self.offset
        ahead = self._fine_from - self.offset
        chunk = self._file.read(int(min(size, ahead)) if ahead > 0 else min(size, 1))
        self.offset += len(chunk)
        before, newline, after = chunk.rpartition(b"\n")
        if newline:
            self.line += before.count(b"\n") + 1
            self.column = 0
        self.column += len(after.translate(None, CONTINUATION_BYTES))
        return chunk


def _parsed(path: Path, parse: Callable[[BinaryIO], Iterator[Value]]) -> Iterator[Value]:
    import ijson

    with open_bytes(path) as file:
        try:
            yield from parse(file)
        except ijson.JSONError:
            raise _located(path, parse) from None


def _located(path: Path, parse: Callable[[BinaryIO], Iterator[Value]]) -> DataError:
    """Read a broken document again: which chunk stops the parser, and then which byte of it."""
    import ijson

    fine_from, reason = float("inf"), ""
    for _ in range(2):
        with open_bytes(path) as file:
            metered = _Metered(file, fine_from)
            try:
                deque(parse(metered), maxlen=0)  # type: ignore[arg-type]
            except ijson.JSONError as error:
                reason = re.sub("^(parse|lexical) error: ", "", str(error).splitlines()[0])
        fine_from = metered.chunk_start
    if "UTF8" in reason:
        return not_utf8(path)
    if not metered.offset > metered.chunk_start:
        reason = "the file ends too early"
    return DataError(
        f"{path.name}, line {metered.line}, column {metered.column}: not valid JSON "
        f"({reason.rstrip('.')}); mend it"
    )
