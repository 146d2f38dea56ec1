"""A table as Markdown, for READMEs and issues."""

import re

from aqa.tables import Cell, Table, shown

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~&])")


def to_markdown(table: Table) -> str:
    """Write a line for each row, and the notes as a list; texts are escaped, on one line."""
    heads = [_escape(column.name) for column in table.columns]
    marks = ["---:" if column.holds == "figures" else "---" for column in table.columns]
    lines = [heads, marks, *([_field(cell) for cell in row.cells] for row in table.rows)]
    notes = "".join(f"- {_escape(note)}\n" for note in table.notes)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + (notes and f"\n{notes}")


def _field(cell: Cell) -> str:
    return _escape(cell) if isinstance(cell, str) else shown(cell, "–")


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
