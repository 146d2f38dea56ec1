"""Parse a JSON document value by value, holding at most one value in memory."""

import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aqa.data.files import open_text
from aqa.data.strict_json import DECODER, HALF_A_PAIR, half_a_pair
from aqa.errors import DataError
from aqa.syntax import HINTS, json_fault

CHUNK = 1 << 18  # characters read at a time
CUT_TOKEN = 16  # characters of a word, number or escape that a chunk's end may split
SPACE = re.compile(r"[ \t\n\r\x1e]*")  # the last as in JSON text sequences (RFC 7464)


class Scanner:
    """Reads a document's text; invalid JSON raises a DataError with its place."""

    def __init__(self, name: str, text: io.TextIOBase) -> None:
        self._name = name
        self._text = text
        self._buffer = ""
        self._position = 0
        self._start = 0  # up to which lines have been counted
        self._line, self._column = 1, 1  # at the start

    def next(self) -> str:
        """Peek at the next character that is not white space; "" at the end."""
        while True:
            blank = SPACE.match(self._buffer, self._position)
            self._position = blank.end() if blank else self._position
            if self._position < len(self._buffer) or not self._more():
                return self._buffer[self._position : self._position + 1]

    def takes(self, character: str) -> bool:
        """Skip a character if it is the next one; return whether it was."""
        is_next = self.next() == character
        self._position += is_next
        return is_next

    def value(self) -> Any:
        """Parse the next value."""
        self.next()
        while True:
            try:
                value, end = DECODER.raw_decode(self._buffer, self._position)
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated") or (
                    error.pos >= len(self._buffer) - CUT_TOKEN
                )
                if is_cut and self._more():
                    continue
                raise self._refused(json_fault(error), error.pos) from None
            except (ValueError, RecursionError) as error:
                raise self._refused(json_fault(error), self._position) from None
            may_go_on = isinstance(value, int | float) and end >= len(self._buffer) - CUT_TOKEN
            if may_go_on and self._more():
                continue
            if (at := half_a_pair(self._buffer, value, self._position, end)) is not None:
                raise DataError(f"{self._place(at)}: {HALF_A_PAIR}")
            self._position = end
            return value

    def items(self) -> Iterator[Any]:
        """Yield the values of a list."""
        for _ in self._parts("[", "]"):
            yield self.value()

    def members(self) -> Iterator[tuple[str, str]]:
        """Yield an object's keys, each with the first character of its value, to be read next."""
        for _ in self._parts("{", "}"):
            if self.next() != '"':
                reason = HINTS.get(self.next(), "a key in double quotes is needed")
                raise self._refused(reason, self._position)
            key = self.value()
            self._expect(":")
            yield key, self.next()

    def _parts(self, opening: str, closing: str) -> Iterator[None]:
        """Yield at each part of a list or object; callers read the parts."""
        self._expect(opening)
        if self.takes(closing):
            return
        while True:
            yield
            if self.takes(closing):
                return
            self._expect(",")

    def place(self) -> str:
        """Return where the next value begins: its line."""
        self.next()
        self._count()
        return f"{self._name}, line {self._line}"

    def line(self) -> str:
        """Return the rest of the line that has been read so far."""
        return self._buffer[self._position :].partition("\n")[0]

    def end(self) -> None:
        """Check that nothing follows."""
        if self.next():
            raise self._refused("the document ended before this", self._position)

    def _expect(self, character: str) -> None:
        if not self.takes(character):
            raise self._refused(f"{character} is needed", self._position)

    def _more(self) -> bool:
        """Read more, dropping what was parsed; of a long value, several times as much."""
        rest = self._buffer[self._position :]
        read = self._text.read(max(CHUNK, 3 * len(rest)))
        if not read:
            return False
        self._count()
        self._buffer, self._position, self._start = rest + read, 0, 0
        return True

    def _count(self) -> None:
        self._line, self._column = self._where(self._position)
        self._start = self._position

    def _where(self, position: int) -> tuple[int, int]:
        lines = self._buffer.count("\n", self._start, position)
        if not lines:
            return self._line, self._column + position - self._start
        return self._line + lines, position - self._buffer.rindex("\n", self._start, position)

    def _place(self, position: int) -> str:
        line, column = self._where(position)
        return f"{self._name}, line {line}, column {column}"

    def _refused(self, reason: str, position: int) -> DataError:
        if position >= len(self._buffer.rstrip()):
            position, reason = len(self._buffer), "it ends too early"
        return DataError(f"{self._place(position)}: not valid JSON ({reason}); fix it there")


@contextmanager
def scanning(path: Path) -> Iterator[Scanner]:
    """Open a document; DataError names its first line that is not UTF-8."""
    with open_text(path) as text:
        yield Scanner(path.name, text)
