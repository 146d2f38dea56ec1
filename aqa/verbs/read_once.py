"""Read data once, although examples are asked for repeatedly by index."""

from array import array
from collections.abc import Iterable, Iterator
from itertools import islice

from aqa.records import Example
from aqa.runs.shelf import Shelf


class ReadOnce:
    """Examples by index; those read on the way to one are kept on disk."""

    def __init__(self, examples: Iterable[tuple[int, Example]]) -> None:
        self._examples, self._shelf, self._places = iter(examples), Shelf(), array("Q")

    def examples_at(self, places: Iterable[int]) -> Iterator[tuple[int, Example]]:
        """Yield the examples at these indices, which may be in any order."""
        for place in places:
            for _, example in islice(self._examples, max(0, place + 1 - len(self._places))):
                self._places.append(self._shelf.put(example))
            yield place, self._shelf.get(self._places[place])
