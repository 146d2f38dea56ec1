"""Where in several journals the lines on examples are: read when needed, not held in memory."""

import json
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any


class Lines:
    """One line for each example, by its place in the data; takes 10 bytes of memory for each."""

    def __init__(self) -> None:
        self._paths: list[Path] = []
        self._numbers, self._starts = array("H"), array("Q")  # a number of 0: no line

    def add(self, path: Path) -> int:
        """Take a journal in; give its number, from 1."""
        self._paths.append(path)
        return len(self._paths)

    def put(self, index: int, number: int, start: int) -> None:
        """Take a line, by its journal and where it starts there, in the place of another one."""
        if missing := max(index + 1 - len(self._numbers), 0):
            self._numbers.extend([0] * missing)
            self._starts.extend([0] * missing)
        self._numbers[index], self._starts[index] = number, start

    def __contains__(self, index: int) -> bool:
        return index < len(self._numbers) and self._numbers[index] > 0

    def __iter__(self) -> Iterator[int]:
        """The places of the examples that have a line, in the data's order."""
        return (index for index, number in enumerate(self._numbers) if number)

    def place(self, index: int) -> tuple[int, int]:
        """The number of the journal that an example's line is in, and where it starts there."""
        return self._numbers[index], self._starts[index]

    @contextmanager
    def reading(self) -> Iterator[Callable[[int], dict[str, Any]]]:
        """Give what reads the line of an example."""
        with ExitStack() as stack:
            files = [stack.enter_context(path.open("rb")) for path in self._paths]

            def read(index: int) -> dict[str, Any]:
                number, start = self.place(index)
                files[number - 1].seek(start)
                row: dict[str, Any] = json.loads(files[number - 1].readline())
                return row

            yield read
