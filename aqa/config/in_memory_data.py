"""Data in memory, which a config may have instead of a path."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aqa.records import Example


@dataclass(frozen=True, slots=True, eq=False)
class InMemoryData:
    """Examples, or rows of named columns, that can be read any number of times.

    `items` may also be a data set of the library `datasets` or a document of rows. Messages call
    the data by `name`.
    """

    items: Iterable[Example | Mapping[str, Any]] | Mapping[str, Any]
    name: str = "the given data"

    def __str__(self) -> str:
        return self.name
