"""Tables with a column a system."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from aqa.evaluation.results import Report, SystemScores

ABREAST = 5  # systems that have a column each in 80 columns


def side_by_side(report: "Report") -> "Iterator[Sequence[SystemScores]]":
    """Give as many systems at a time as can stand side by side."""
    for start in range(0, len(report.systems), ABREAST):
        yield report.systems[start : start + ABREAST]


def system_columns(title: str, rows: str, systems: "Sequence[SystemScores]") -> Table:
    """Begin a table with a column a system; `rows` says what stands before them."""
    table = Table(title=title)
    table.add_column(rows, overflow="fold", min_width=24)
    for system in systems:
        table.add_column(system.name, justify="right", overflow="fold")
    return table
