"""The columns of a row that are on disk: an evaluation looks at few of them."""

from collections.abc import Iterator, Mapping
from typing import Any

from aqa.runs.shelf import Shelf


class Shelved(Mapping[str, Any]):
    """The columns of one row, read when they are asked for; a copy holds them itself."""

    __slots__ = ("_place", "_shelf")

    def __init__(self, shelf: Shelf, columns: Mapping[str, Any]) -> None:
        self._shelf, self._place = shelf, shelf.put(columns)

    def __getitem__(self, name: str) -> Any:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def get(self, name: str, default: Any = None) -> Any:
        """Give a column that there may be."""
        return self._all().get(name, default)

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (self._all(),)

    def _all(self) -> dict[str, Any]:
        found: dict[str, Any] = self._shelf.get(self._place)
        return found
