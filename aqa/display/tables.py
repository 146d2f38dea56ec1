"""Tables on a terminal, as Rich draws them."""

from collections.abc import Mapping

from rich.table import Table as RichTable
from rich.text import Text

from aqa.tables import Table
from aqa.tables.table import shown

STYLES: Mapping[str, str] = {
    "strong": "bold",
    "warning": "yellow",
    "bad": "bold red",
    "muted": "dim",
}


def drawn(table: Table) -> RichTable:
    """Make what a console prints; texts are folded where they are too long."""
    found = RichTable(
        title=table.title or None,
        show_header=table.has_heads,
        pad_edge=not (table.plain and table.has_heads),
        expand=any(column.fills for column in table.columns),
    )
    if table.plain:
        found.box = None
    for column in table.columns:
        found.add_column(
            column.name,
            justify="right" if column.holds == "figures" else "left",
            min_width=column.least,
            overflow="ellipsis" if column.fills else "fold",
            no_wrap=column.fills,
            ratio=1 if column.fills else None,
        )
    for row in table.rows:
        cells = [Text(shown(cell)) for cell in row.cells]
        found.add_row(*cells, style=STYLES.get(row.tone), end_section=row.ends_section)
    return found
