"""A table as a value, and the `forms` it is written in; Rich draws it in `display`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Figure:
    """A number, with the digits to show of it, and of its 95 % interval where it has one."""

    value: float
    digits: int = 2
    low: float | None = None
    high: float | None = None
    is_signed: bool = False

    def shown(self, dash: str = " to ") -> str:
        """The number as people read it: `59.28 (58.2 to 60.3)`."""
        value = f"{self.value:{'+' if self.is_signed else ''}z.{self.digits}f}"
        interval = shown_interval(self.low, self.high, dash)
        return f"{value} ({interval})" if interval else value


Cell = str | int | Figure | None
Tone = Literal["", "strong", "warning", "bad", "muted"]


def shown_interval(low: float | None, high: float | None, dash: str = " to ") -> str:
    """An interval as people read it; "" where it is not known."""
    return "" if low is None or high is None else f"{low:z.1f}{dash}{high:z.1f}"


def shown_chance(p: float) -> str:
    """A p value as people read it."""
    return f"{p:.4f}" if p >= 0.00005 else "< 0.0001"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of figures or of texts; `least` is the least width, `fills` takes what is left."""

    name: str
    holds: Literal["text", "figures"] = "text"
    least: int | None = None
    fills: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A cell for each column; `tone` says how to take them, `ends_section` that a line follows."""

    cells: Sequence[Cell]
    tone: Tone = ""
    ends_section: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows under a title; a `plain` one is a list of facts, without lines.

    `notes` go with a table that leaves this place: what it was made with.
    """

    columns: Sequence[Column]
    rows: Sequence[Row]
    title: str = ""
    plain: bool = False
    has_heads: bool = True
    notes: Sequence[str] = ()


def texts(*names: str) -> list[Column]:
    """Make columns of texts."""
    return [Column(name) for name in names]


def figures(*names: str) -> list[Column]:
    """Make columns of figures."""
    return [Column(name, "figures") for name in names]


def shown(cell: Cell, dash: str = " to ") -> str:
    """A cell as people read it."""
    if cell is None:
        return ""
    return cell.shown(dash) if isinstance(cell, Figure) else str(cell)


def plain_value(cell: Cell) -> str | int | float | None:
    """A cell as programs read it: a number unrounded."""
    return cell.value if isinstance(cell, Figure) else cell
