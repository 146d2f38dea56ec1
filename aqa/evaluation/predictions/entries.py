"""The entries that a file of predictions is split into."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of a file, its place, and its key if it is in an object keyed by id."""

    place: str
    value: Any
    key: str | None = None
