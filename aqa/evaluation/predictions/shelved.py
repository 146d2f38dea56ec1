"""Keep the columns of prediction rows on disk, since an evaluation reads few of them."""

from collections.abc import Iterator, Mapping
from typing import Any

from aqa.runs.shelf import Shelf


class Shelved(Mapping[str, Any]):
    """The columns of one row, read from a shelf on access; a copy holds them in memory."""

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
        """Return a column, or the default."""
        return self._all().get(name, default)

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (self._all(),)

    def _all(self) -> dict[str, Any]:
        found: dict[str, Any] = self._shelf.get(self._place)
        return found
