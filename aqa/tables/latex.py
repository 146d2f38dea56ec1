"""A table as LaTeX, for papers."""

from aqa.tables.table import Cell, Table, shown

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


def to_latex(table: Table) -> str:
    """Write a tabular for the package booktabs."""
    sides = "".join("r" if column.holds == "figures" else "l" for column in table.columns)
    head = " & ".join(latex_escape(column.name) for column in table.columns)
    rows = (" & ".join(map(_field, row.cells)) for row in table.rows)
    lines = [rf"\begin{{tabular}}{{{sides}}}", r"\toprule", rf"{head} \\", r"\midrule"]
    lines += [rf"{row} \\" for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def latex_escape(text: str) -> str:
    """Make a text safe between LaTeX's commands."""
    return "".join(_SPECIAL.get(character, character) for character in text)


def _field(cell: Cell) -> str:
    return latex_escape(" ".join(cell.split())) if isinstance(cell, str) else shown(cell, "--")
