"""What a shape of a data set or tool is: rows known by their columns, which become plain ones."""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from aqa.data.columns import candidates

Row = Mapping[str, Any]


class UnreadableError(Exception):
    """A row is known and can't be read; the text says what it is and what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Rows of one data set or tool, which have `all_of` some columns, and `any_of` others.

    `knows` looks at a row that has them. `plain` gives rows (one of data; of predictions one for
    each variant) with columns of the usual names, or raises UnreadableError. Rows with a `text`
    can only be named.
    """

    all_of: tuple[str, ...]
    any_of: tuple[str, ...]
    knows: Callable[[Row], bool]
    plain: Callable[[Row], Iterable[Row]]
    text: str = ""

    def may_be(self, names: AbstractSet[str]) -> bool:
        """Tell whether rows with these columns may have the shape."""
        return names >= {*self.all_of} and (not self.any_of or bool(names & {*self.any_of}))


def shape(
    *all_of: str, any_of: tuple[str, ...] = (), knows: Callable[[Row], bool] = bool
) -> Callable[[Callable[[Row], Iterable[Row]]], Shape]:
    """Make a shape of its `plain`."""
    return lambda plain: Shape(all_of, any_of, knows, plain)


def unreadable(
    text: str, *all_of: str, any_of: tuple[str, ...] = (), knows: Callable[[Row], bool] = bool
) -> Shape:
    """Make a shape of what can only be named; the text says what it is, or what to do."""
    return Shape(all_of, any_of, knows, lambda _: (), text)


def text_of(shapes: Iterable[Shape], row: Row) -> str:
    """What is said of a row by the first of the shapes that knows it; "" where none does."""
    names = row.keys()
    return next((each.text for each in shapes if each.may_be(names) and each.knows(row)), "")


@lru_cache(4096)  # each row of a file has the same names
def _possible(shapes: tuple[Shape, ...], names: tuple[str, ...]) -> tuple[Shape, ...]:
    return tuple(each for each in shapes if each.may_be({*names}))


def plain_by(shapes: tuple[Shape, ...], row: Row) -> list[Row]:
    """Give the plain rows of a row, by the first shape that knows it; the row itself without one.

    Raises:
        UnreadableError: it is known, and can't be read.
    """
    try:
        possible = _possible(shapes, tuple(row))
        shape = next((shape for shape in possible if shape.knows(row)), None)
        if shape is not None and shape.text:
            raise UnreadableError(shape.text)
        return [row] if shape is None else list(shape.plain(row))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UnreadableError(
            f"like a row of a known data set or tool, but not as it writes them ({error!r:.100});"
            " rename its columns if it is not one, or give the file as published"
        ) from None


def as_object(value: Any) -> Row:
    """The value where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_objects(value: Any) -> list[Row]:
    """The objects of a list, or of an object of lists, as data sets on the hub have it."""
    if isinstance(value, dict):
        columns = {name: cells for name, cells in value.items() if isinstance(cells, list)}
        rows = zip(*columns.values(), strict=False)
        return [dict(zip(columns, cells, strict=False)) for cells in rows]
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def are_objects(value: Any, *columns: str) -> bool:
    """Tell whether it is a list of objects, not empty; with columns, each has one of them."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(each, dict) for each in value)
        and (not columns or all(any(name in each for name in columns) for each in value))
    )


def column_of(row: Row, field: str) -> str:
    """The first of the usual columns of a field that has a value, "" without one."""
    return next((name for name in candidates(field, tuple(row)) if row[name] is not None), "")


def lacks(row: Row, field: str) -> bool:
    """Tell whether none of the usual columns of a field has a value."""
    return not column_of(row, field)


def completed(row: Row, **fields: Any) -> dict[str, Any]:
    """The row with those of the fields that are known and that it lacks."""
    new = {field: value for field, value in fields.items() if lacks(row, field)}
    return {**row, **{field: value for field, value in new.items() if value is not None}}


def joined(parts: Iterable[Any]) -> str:
    """One answer of several parts, all of which belong to it."""
    return ", ".join(map(str, parts))


def without(row: Row, *names: str) -> dict[str, Any]:
    """The row without these columns."""
    return {name: value for name, value in row.items() if name not in names}
