"""A table as a value, for whatever draws it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal

Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Table:
    """Columns by name, and rows of a cell for each: a text, a number or nothing.

    `figures` are the columns of numbers, with the digits to show of them.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    title: str = ""
    figures: dict[str, int] = field(default_factory=dict)

    def shown(self, column: str, cell: Cell) -> str:
        """A cell as people read it."""
        if cell is None:
            return ""
        return f"{cell:,.{self.figures.get(column, 2)}f}" if isinstance(cell, float) else str(cell)

    def side(self, column: str) -> Literal["left", "right"]:
        """The side at which a column's cells stand."""
        return "right" if column in self.figures else "left"


def to_html(table: Table) -> str:
    """A table element; all texts are escaped."""
    heads = "".join(
        f'<th style="text-align: {table.side(name)}">{escape(name)}</th>' for name in table.columns
    )
    rows = "".join(f"<tr>{_html_cells(table, row)}</tr>\n" for row in table.rows)
    caption = f"<caption>{escape(table.title)}</caption>\n" if table.title else ""
    return f"<table>\n{caption}<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>"


def _html_cells(table: Table, row: Sequence[Cell]) -> str:
    return "".join(
        f'<td style="text-align: {table.side(name)}; white-space: pre-wrap">'
        f"{escape(table.shown(name, cell))}</td>"
        for name, cell in zip(table.columns, row, strict=True)
    )
