"""Shapes: rows of other data sets or tools, recognised by their columns and made plain."""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

from aqa.data.columns import candidates
from aqa.errors import DataError

Row = Mapping[str, Any]


class UnreadableError(DataError):
    """A row is recognised but can't be read; the text says what it is and what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Rows of one data set or tool, which have `all_of` some columns, and `any_of` others.

    `knows` checks a row that has them. `plain` returns rows with the usual column names (one for
    data; for predictions one per variant), or raises UnreadableError. Shapes with a `text` can
    only be named.
    """

    all_of: tuple[str, ...]
    any_of: tuple[str, ...]
    knows: Callable[[Row], bool]
    plain: Callable[[Row], Iterable[Row]]
    text: str = ""

    def may_be(self, names: AbstractSet[str]) -> bool:
        """Whether rows with these columns may have the shape."""
        return names >= {*self.all_of} and (not self.any_of or bool(names & {*self.any_of}))


def shape(
    *all_of: str, any_of: tuple[str, ...] = (), knows: Callable[[Row], bool] = bool
) -> Callable[[Callable[[Row], Iterable[Row]]], Shape]:
    """Decorate the `plain` function of a shape."""
    return lambda plain: Shape(all_of, any_of, knows, plain)


def unreadable(
    text: str, *all_of: str, any_of: tuple[str, ...] = (), knows: Callable[[Row], bool] = bool
) -> Shape:
    """Make a shape that can only be named; the text says what it is or what to do."""
    return Shape(all_of, any_of, knows, lambda _: (), text)


def shapes_in(*modules: ModuleType) -> tuple[Shape, ...]:
    """Return the shapes that modules define, in their order."""
    return tuple(
        value for module in modules for value in vars(module).values() if isinstance(value, Shape)
    )


def text_of(shapes: Iterable[Shape], row: Row) -> str:
    """Return the text of the first shape that recognises a row, or ""."""
    names = row.keys()
    return next((kind.text for kind in shapes if kind.may_be(names) and kind.knows(row)), "")


@lru_cache(4096)  # all rows of a file have the same names
def _possible(shapes: tuple[Shape, ...], names: tuple[str, ...]) -> tuple[Shape, ...]:
    return tuple(kind for kind in shapes if kind.may_be({*names}))


def plain_by(shapes: tuple[Shape, ...], row: Row, place: str) -> list[Row]:
    """Make a row plain with the first shape that recognises it; return it unchanged without one.

    Raises:
        UnreadableError: it is recognised but can't be read.
    """
    try:
        possible = _possible(shapes, tuple(row))
        shape = next((shape for shape in possible if shape.knows(row)), None)
        if shape is not None and shape.text:
            raise UnreadableError(shape.text)
        return [row] if shape is None else list(shape.plain(row))
    except UnreadableError as error:
        raise UnreadableError(f"{place}: this is {error}") from None
    except DataError as error:
        raise DataError(f"{place}: {error}") from None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UnreadableError(
            f"{place}: this is like a row of a known data set or tool, but not quite in its format"
            f" ({error!r:.100}); rename its columns if it is not one, or give the file as published"
        ) from None


def as_object(value: Any) -> Row:
    """Return the value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_objects(value: Any) -> list[Row]:
    """Return the objects in a list, or in an object of lists as in hub data sets."""
    if isinstance(value, dict):
        columns = {name: cells for name, cells in value.items() if isinstance(cells, list)}
        rows = zip(*columns.values(), strict=False)
        return [dict(zip(columns, cells, strict=False)) for cells in rows]
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def table_rows(document: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the rows of a table as pandas, MLflow and W&B write it; None if it is none.

    It has lists next to the columns' names ("split"), or columns with the same places or keys.
    """
    names, data = document.get("columns"), document.get("data")
    if not (isinstance(names, list) and isinstance(data, list)):
        return column_rows(document)
    if not are_objects(data) and any(
        isinstance(value, list) and key not in ("columns", "data", "index")
        for key, value in document.items()
    ):
        rows = column_rows(document)  # with columns of these names
        if rows is not None:
            return rows
    are_rows = all(isinstance(row, list) and len(row) == len(names) for row in data)
    if not are_rows or not all(isinstance(name, str) for name in names):
        return None  # such as rows that are objects, next to the names of their columns
    return [dict(zip(names, row, strict=True)) for row in data]


def column_rows(document: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return the rows of columns with the same indices or keys; None if they differ."""
    kind: Any = type(next(iter(document.values()), None))
    columns = document.values()
    if kind not in (list, dict) or not all(isinstance(column, kind) for column in columns):
        return None
    keys = [range(len(column)) if kind is list else column.keys() for column in columns]
    if any(others != keys[0] for others in keys):
        return None
    return [{name: column[key] for name, column in document.items()} for key in keys[0]]


def are_objects(value: Any, *columns: str) -> bool:
    """Whether it is a non-empty list of objects, each with one of the columns if given."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, dict) for item in value)
        and (not columns or all(any(name in item for name in columns) for item in value))
    )


def column_of(row: Row, field: str) -> str:
    """Return the first usual column of a field that has a value, or ""."""
    return next((name for name in candidates(field, tuple(row)) if row[name] is not None), "")


def lacks(row: Row, field: str) -> bool:
    """Whether none of a field's usual columns has a value."""
    return not column_of(row, field)


def completed(row: Row, **fields: Any) -> dict[str, Any]:
    """Add those fields that are not None and that the row lacks."""
    new = {field: value for field, value in fields.items() if lacks(row, field)}
    return {**row, **{field: value for field, value in new.items() if value is not None}}


def joined(parts: Iterable[Any]) -> str:
    """Join the parts of one answer."""
    return ", ".join(map(str, parts))


def without(row: Row, *names: str) -> dict[str, Any]:
    """Return the row without these columns."""
    return {name: value for name, value in row.items() if name not in names}
