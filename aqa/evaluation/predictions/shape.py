"""What a shape of another tool is: rows that are known by their columns and become plain ones."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


class NotAnswersError(Exception):
    """A row is known and holds no answer; the text says what it is and what to do."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Rows of one tool.

    `knows` looks at a row's columns, `plain` gives its predictions (one, or one for each variant)
    with columns that `aqa.evaluation.predictions.columns` knows, or raises NotAnswersError.
    """

    knows: Callable[[Row], bool]
    plain: Callable[[Row], Iterable[Row]]


def as_object(value: Any) -> Row:
    """The value where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}
