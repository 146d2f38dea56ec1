"""Keep any number of values in a temporary file, to be read one at a time."""

import os
import pickle
from pathlib import Path
from tempfile import TemporaryFile, gettempdir
from typing import Any
from weakref import finalize

from aqa.runs.files import explain_write_errors

WRITTEN, READ = 1 << 20, 1 << 12  # bytes at a time; few values exceed what is read
LENGTH = 4  # bytes that say how long a value is


class Shelf:
    """Values in a temporary file, which is deleted with this object."""

    def __init__(self) -> None:
        self._file = -1
        self._end = 0  # of the file, in bytes
        self._rest = bytearray()  # not yet written
        self._last: tuple[int, Any] = -1, None

    def put(self, value: object) -> int:
        """Store a value and return its place."""
        place, stored = self._end + len(self._rest), pickle.dumps(value, -1)
        self._rest += len(stored).to_bytes(LENGTH) + stored
        if len(self._rest) > WRITTEN:
            self._write()
        return place

    def get(self, place: int) -> Any:
        """Return the value stored at a place. Don't change it: the last one is cached."""
        known, value = self._last
        if known != place:
            stored = self._bytes(place, READ)
            end = LENGTH + int.from_bytes(stored[:LENGTH])
            stored = stored if end <= READ else self._bytes(place, end)
            value = pickle.loads(stored[LENGTH:end])  # noqa: S301  (our own)
            self._last = place, value
        return value

    def _bytes(self, place: int, size: int) -> bytes:
        if place < self._end:
            return os.pread(self._file, size, place)
        start = place - self._end
        return bytes(self._rest[start : start + size])

    def _write(self) -> None:
        with explain_write_errors(Path(gettempdir())):
            if self._file < 0:
                file = TemporaryFile(buffering=0)  # noqa: SIM115  (closed with the shelf)
                finalize(self, file.close)
                self._file = file.fileno()
            while self._rest:  # a nearly full disk may take only part of it
                written = os.write(self._file, self._rest)
                self._end += written
                del self._rest[:written]
