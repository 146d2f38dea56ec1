"""A table as CSV, for spreadsheets and programs."""

import csv
import io

from aqa.tables import Cell, Table, plain_value

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_csv(table: Table) -> str:
    """Write a line for each row, with numbers unrounded."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in table.columns])
    writer.writerows([_field(cell) for cell in row.cells] for row in table.rows)
    return text.getvalue()


def _field(cell: Cell) -> str | int | float | None:
    """A spreadsheet would run a text that begins like a formula."""
    value = plain_value(cell)
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
