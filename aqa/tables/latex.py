"""A table as LaTeX, for papers."""

import re

from aqa.tables import Cell, Table, shown

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    # At the beginning of a row these would be an option of the line break before it.
    **{character: f"{{{character}}}" for character in "[]*"},
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}

_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")
_FOR_HANGUL = r"Hangul needs \usepackage{kotex}, and XeLaTeX or LuaLaTeX"


def to_latex(table: Table) -> str:
    """Write a tabular for the package booktabs; the notes are comments below it."""
    sides = "".join("r" if column.holds == "figures" else "l" for column in table.columns)
    head = " & ".join(latex_escape(column.name) for column in table.columns)
    rows = (" & ".join(map(_field, row.cells)) for row in table.rows)
    lines = [rf"\begin{{tabular}}{{{sides}}}", r"\toprule", rf"{head} \\", r"\midrule"]
    lines += [rf"{row} \\" for row in rows]
    lines += [r"\bottomrule", r"\end{tabular}"]
    notes = [*table.notes, *([_FOR_HANGUL] if _HANGUL.search("\n".join(lines)) else [])]
    return "\n".join([*lines, *(f"% {' '.join(note.split())}" for note in notes), ""])


def latex_escape(text: str) -> str:
    """Make a text safe between LaTeX's commands."""
    return "".join(_SPECIAL.get(character, character) for character in text)


def _field(cell: Cell) -> str:
    return latex_escape(" ".join(cell.split())) if isinstance(cell, str) else shown(cell, "--")
