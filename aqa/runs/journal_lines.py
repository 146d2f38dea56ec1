"""Index the examples' lines in several journals, so that they need not be held in memory."""

import json
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from aqa.runs.journal import whole_lines


class Lines:
    """One line per example, by its index in the data, in 10 bytes of memory each."""

    def __init__(self) -> None:
        self._paths: list[Path] = []
        self._numbers, self._starts = array("H"), array("Q")  # number 0 means no line

    def take(self, path: Path, wants: Callable[[dict[str, Any]], bool]) -> int:
        """Take over the wanted rows of a journal, replacing earlier ones; return its number."""
        self._paths.append(path)
        number = len(self._paths)
        for line in whole_lines(path):
            if wants(line.row):
                index = line.row["index"]
                if missing := max(index + 1 - len(self._numbers), 0):
                    self._numbers.extend([0] * missing)
                    self._starts.extend([0] * missing)
                self._numbers[index], self._starts[index] = number, line.start
        return number

    def __contains__(self, index: int) -> bool:
        return index < len(self._numbers) and self._numbers[index] > 0

    def __iter__(self) -> Iterator[int]:
        """Iterate over the indices of the examples that have a line, in the data's order."""
        return (index for index, number in enumerate(self._numbers) if number)

    def position(self, index: int) -> tuple[int, int]:
        """Return the number of an example's journal, and where its line starts."""
        return self._numbers[index], self._starts[index]

    @contextmanager
    def reading(self) -> Iterator[Callable[[int], dict[str, Any]]]:
        """Yield a function that reads an example's line."""
        with ExitStack() as stack:
            files = [stack.enter_context(path.open("rb")) for path in self._paths]

            def read(index: int) -> dict[str, Any]:
                number, start = self.position(index)
                files[number - 1].seek(start)
                row: dict[str, Any] = json.loads(files[number - 1].readline())
                return row

            yield read
