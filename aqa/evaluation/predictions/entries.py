"""The entries that a file of predictions is split into."""

from dataclasses import dataclass
from typing import Any

from aqa.runs.journal import JOURNAL_KIND


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of a file, its place, and its key if it is in an object keyed by id."""

    place: str
    value: Any
    key: str | None = None


def is_header(value: Any) -> bool:
    """Whether a value is the header of one of our journals."""
    return isinstance(value, dict) and value.get("kind") == JOURNAL_KIND
