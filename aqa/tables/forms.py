"""Export tables as HTML, LaTeX, Markdown or CSV."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any

from aqa.tables import Column, Row, Table, cell_text, plain_value

_OF_MARKDOWN = re.compile(r"([\\`*_\[\]<>|#~&])")
_FORMULA = re.compile(r"[=@\t\r]|[+-](?![\d.,]+\Z)")
_OF_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    # At the beginning of a row, these would be an argument of the preceding line break.
    **{character: f"{{{character}}}" for character in "[]*"},
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}

_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")
_FOR_HANGUL = r"Hangul needs \usepackage{kotex}, and XeLaTeX or LuaLaTeX"


def to_html(table: Table) -> str:
    """Write an HTML table, escaping all texts."""
    caption = f"<caption>{escape(table.title)}</caption>\n" if table.title else ""
    heads = "".join(f"<th{_style(column)}>{escape(column.name)}</th>" for column in table.columns)
    head = f"<thead><tr>{heads}</tr></thead>\n" if table.has_heads else ""
    rows = "".join(f"<tr>{_cells(table.columns, row)}</tr>\n" for row in table.rows)
    return f"<table>\n{caption}{head}<tbody>\n{rows}</tbody>\n</table>\n"


def sentences_to_html(sentences: Iterable[str]) -> str:
    """Write each sentence as an HTML paragraph, escaping all texts."""
    return "".join(f"<p>{escape(sentence)}</p>\n" for sentence in sentences)


def _cells(columns: Sequence[Column], row: Row) -> str:
    texts = [escape(cell_text(cell)) for cell in row.cells]
    if row.tone in ("strong", "bad"):
        texts = [f"<strong>{text}</strong>" for text in texts]
    return "".join(
        f"<td{_style(column)}>{text}</td>" for column, text in zip(columns, texts, strict=True)
    )


def _style(column: Column) -> str:
    side = "right" if column.holds == "figures" else "left"
    return f' style="text-align: {side}; white-space: pre-wrap"'


def to_latex(table: Table) -> str:
    """Write a LaTeX tabular for the package booktabs, with the notes as comments below."""
    sides = "".join("r" if column.holds == "figures" else "l" for column in table.columns)
    head = " & ".join(latex_escape(column.name) for column in table.columns)
    rows = (" & ".join(_written(row, latex_escape, "--")) for row in table.rows)
    lines = [rf"\begin{{tabular}}{{{sides}}}", r"\toprule", rf"{head} \\", r"\midrule"]
    lines += [rf"{row} \\" for row in rows]
    lines += [r"\bottomrule", r"\end{tabular}"]
    notes = [*table.notes, *([_FOR_HANGUL] if _HANGUL.search("\n".join(lines)) else [])]
    return "\n".join([*lines, *(f"% {' '.join(note.split())}" for note in notes), ""])


def latex_escape(text: str) -> str:
    """Escape a text for LaTeX."""
    return "".join(_OF_LATEX.get(character, character) for character in text)


def to_markdown(table: Table) -> str:
    """Write a Markdown table, with the notes as a list; texts are escaped and on one line."""
    heads = [_without_marks(column.name) for column in table.columns]
    marks = ["---:" if column.holds == "figures" else "---" for column in table.columns]
    lines = [heads, marks, *(_written(row, _without_marks, "–") for row in table.rows)]
    notes = "".join(f"- {_without_marks(note)}\n" for note in table.notes)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + (notes and f"\n{notes}")


def _without_marks(text: str) -> str:
    return _OF_MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def _written(row: Row, escaped: Callable[[str], str], dash: str) -> list[str]:
    return [
        escaped(" ".join(cell.split())) if isinstance(cell, str) else cell_text(cell, dash)
        for cell in row.cells
    ]


def to_csv(table: Table) -> str:
    """Write CSV with unrounded numbers."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in table.columns])
    writer.writerows([in_a_sheet(plain_value(cell)) for cell in row.cells] for row in table.rows)
    return text.getvalue()


def in_a_sheet(value: object) -> object:
    """Quote a text that a spreadsheet would run as a formula."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def out_of_a_sheet(value: Any) -> Any:
    """Return a value as it was before `in_a_sheet`."""
    is_quoted = isinstance(value, str) and value[:1] == "'" and _FORMULA.match(value, 1)
    return value[1:] if is_quoted else value
