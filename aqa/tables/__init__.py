"""Tables as values; `forms` writes them, and `display` draws them with Rich."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Figure:
    """A number, the digits to show, and its 95 % interval if it has one."""

    value: float
    digits: int = 2
    low: float | None = None
    high: float | None = None
    is_signed: bool = False

    def text(self, dash: str = " to ") -> str:
        """Format for people: `59.28 (58.2 to 60.3)`."""
        value = f"{self.value:{'+' if self.is_signed else ''}z.{self.digits}f}"
        interval = shown_interval(self.low, self.high, dash)
        return f"{value} ({interval})" if interval else value


Cell = str | int | Figure | None
Tone = Literal["", "strong", "warning", "bad", "muted"]


def shown_interval(low: float | None, high: float | None, dash: str = " to ") -> str:
    """Format an interval for people; "" if it is unknown."""
    return "" if low is None or high is None else f"{low:z.1f}{dash}{high:z.1f}"


def shown_chance(p: float) -> str:
    """Format a p value for people."""
    return f"{p:.4f}" if p >= 0.00005 else "< 0.0001"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of figures or texts; `least` is its minimum width if there is room for it.

    `fills` takes the remaining width.
    """

    name: str
    holds: Literal["text", "figures"] = "text"
    least: int = 0
    fills: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A cell for each column; `tone` is its style, `ends_section` draws a line below."""

    cells: Sequence[Cell]
    tone: Tone = ""
    ends_section: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows under a title; a `plain` one is a list of facts, without lines.

    `notes` say how it was made; they are written with exported tables.
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


def cell_text(cell: Cell, dash: str = " to ") -> str:
    """Format a cell for people."""
    if cell is None:
        return ""
    return cell.text(dash) if isinstance(cell, Figure) else str(cell)


def plain_value(cell: Cell) -> str | int | float | None:
    """Return a cell for programs, with numbers unrounded."""
    return cell.value if isinstance(cell, Figure) else cell
