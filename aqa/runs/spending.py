"""What a run may have spent by now, on disk before each request: no kill hides it from a cap."""

import json
from pathlib import Path
from typing import BinaryIO

from aqa.errors import RunError
from aqa.runs.files import explained
from aqa.runs.names import SPENDING
from aqa.spent import Spent

LENGTH = 200  # bytes; overwritten in place by one write, which a killed process has made or not
OLD_NAMES = {  # of earlier versions
    "input": "input_tokens",
    "output": "output_tokens",
    "cached": "cached_input_tokens",
    "cache_writes": "cache_write_tokens",
}


class SpendingRecord:
    """The highest sum of what is spent and what is under way at its worst, in the run folder."""

    def __init__(self, folder: Path, fresh: bool) -> None:
        self._path = folder / SPENDING
        self._file: BinaryIO | None = None
        if fresh:
            self._path.unlink(missing_ok=True)

    def read(self) -> Spent:
        """What an earlier session left, nothing where none was; RunError for a changed file."""
        try:
            content = self._path.read_bytes()
            if not content:
                return Spent()  # killed before the first request
            found = {
                OLD_NAMES.get(name, name): value for name, value in json.loads(content).items()
            }
            if not found.keys() >= {"input_tokens", "output_tokens", "usd"}:
                raise ValueError
            return Spent.read(found)
        except FileNotFoundError:
            return Spent()
        except (ValueError, AttributeError, TypeError) as error:
            raise RunError(
                f"{self._path}: this file should record what was spent, but it does not; delete it"
                " to count only the cost of the answers"
            ) from error

    def write(self, spent: Spent) -> None:
        """Take the place of what was there."""
        with explained(self._path.parent):
            if self._file is None:
                self._path.touch()
                self._file = self._path.open("r+b", buffering=0)
            self._file.seek(0)
            self._file.write(json.dumps(spent.to_json()).encode().ljust(LENGTH))

    def close(self) -> None:
        """Close the file; it stays."""
        if self._file is not None:
            self._file.close()
            self._file = None
