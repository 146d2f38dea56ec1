"""Keep any number of values in a temporary file, to be read one at a time."""

import pickle
from contextlib import suppress
from pathlib import Path
from tempfile import SpooledTemporaryFile, gettempdir
from typing import IO, Any
from weakref import finalize

from aqa.runs.files import explain_write_errors

IN_MEMORY = 1 << 20  # bytes before a file is made


class Shelf:
    """Values in a temporary file, which is deleted with this object."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  (closed with the shelf)
        finalize(self, _close, self._file)
        self._end, self._is_at_end = 0, True
        self._last: tuple[int, Any] = -1, None

    def put(self, value: object) -> int:
        """Store a value and return its offset."""
        offset = self._end
        try:
            if not self._is_at_end:
                self._file.seek(offset)
                self._is_at_end = True
            self._end += self._file.write(pickle.dumps(value, -1))
        except OSError:
            with explain_write_errors(Path(gettempdir())):
                raise
        return offset

    def get(self, offset: int) -> Any:
        """Return the value stored at an offset. Don't change it: the last one is cached."""
        last, value = self._last
        if last != offset:
            if self._is_at_end:
                with explain_write_errors(Path(gettempdir())):
                    self._file.flush()
                self._is_at_end = False
            self._file.seek(offset)
            value = pickle.load(self._file)  # noqa: S301  (our own)
            self._last = offset, value
        return value


def _close(file: IO[bytes]) -> None:
    with suppress(OSError):  # a full disk has already been reported
        file.close()
