"""Record what a run may have spent before each request, so that a kill can't evade a cap."""

import json
from pathlib import Path
from typing import BinaryIO

from aqa.errors import RunError
from aqa.runs.files import explain_write_errors
from aqa.runs.names import SPENDING
from aqa.spent import Spent

LENGTH = 200  # bytes, overwritten in place by a single write, which is all or nothing
OLD_NAMES = {  # in earlier versions
    "input": "input_tokens",
    "output": "output_tokens",
    "cached": "cached_input_tokens",
    "cache_writes": "cache_write_tokens",
}


class SpendingRecord:
    """The highest sum of spending and the worst case of pending requests, in the run folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / SPENDING
        self._file: BinaryIO | None = None

    def read(self) -> Spent:
        """Return what earlier sessions recorded, if anything; RunError if the file was edited."""
        try:
            content = self._path.read_bytes()
            if not content:
                return Spent()  # killed before the first request
            stored = {
                OLD_NAMES.get(name, name): value for name, value in json.loads(content).items()
            }
            if not stored.keys() >= {"input_tokens", "output_tokens", "usd"}:
                raise ValueError
            return Spent.read(stored)
        except FileNotFoundError:
            return Spent()
        except (ValueError, AttributeError, TypeError) as error:
            raise RunError(
                f"{self._path}: this file should record what was spent, but it does not; delete it"
                " to count only the cost of the answers"
            ) from error

    def write(self, spent: Spent) -> None:
        """Replace the recorded amount."""
        with explain_write_errors(self._path.parent):
            if self._file is None:
                self._path.touch()
                self._file = self._path.open("r+b", buffering=0)
            self._file.seek(0)
            self._file.write(json.dumps(spent.to_json()).encode().ljust(LENGTH))

    def close(self) -> None:
        """Close the file, without deleting it."""
        if self._file is not None:
            self._file.close()
            self._file = None
