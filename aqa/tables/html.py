"""A table as HTML, for notebooks."""

from collections.abc import Iterable, Sequence
from html import escape

from aqa.tables import Column, Row, Table, shown


def to_html(table: Table) -> str:
    """Write a table element; all texts are escaped."""
    caption = f"<caption>{escape(table.title)}</caption>\n" if table.title else ""
    heads = "".join(f"<th{_style(column)}>{escape(column.name)}</th>" for column in table.columns)
    head = f"<thead><tr>{heads}</tr></thead>\n" if table.has_heads else ""
    rows = "".join(f"<tr>{_cells(table.columns, row)}</tr>\n" for row in table.rows)
    return f"<table>\n{caption}{head}<tbody>\n{rows}</tbody>\n</table>\n"


def sentences_to_html(sentences: Iterable[str]) -> str:
    """Write a paragraph for each sentence; all texts are escaped."""
    return "".join(f"<p>{escape(sentence)}</p>\n" for sentence in sentences)


def _cells(columns: Sequence[Column], row: Row) -> str:
    texts = [escape(shown(cell)) for cell in row.cells]
    if row.tone in ("strong", "bad"):
        texts = [f"<strong>{text}</strong>" for text in texts]
    return "".join(
        f"<td{_style(column)}>{text}</td>" for column, text in zip(columns, texts, strict=True)
    )


def _style(column: Column) -> str:
    side = "right" if column.holds == "figures" else "left"
    return f' style="text-align: {side}; white-space: pre-wrap"'
