"""What a file of predictions is taken apart into."""

from dataclasses import dataclass
from typing import Any

from aqa.runs.journal import JOURNAL_KIND


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of a file, its place, and its key in an object of ids."""

    place: str
    value: Any
    key: str | None = None


def is_header(value: Any) -> bool:
    """Tell whether a line is the first of one of our journals."""
    return isinstance(value, dict) and value.get("kind") == JOURNAL_KIND
