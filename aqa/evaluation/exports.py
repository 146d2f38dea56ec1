"""The scores of an evaluation as CSV, Markdown and LaTeX, for papers and spreadsheets."""

import csv
import io
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aqa.evaluation.results import Report

_LATEX = {
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
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|#~&])")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_table(report: "Report") -> str:
    """One line for each system and score, unrounded, and one for each group of a slice."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    figures = ["value", "low", "high", "n", "missing", "failed"]
    writer.writerow(["system", "metric", *figures, "slice", "group"])
    for system in report.systems:
        name = _no_formula(system.name)
        for score in system.scores.values():
            counts = [len(report.ids), system.missing, system.failed]
            writer.writerow([name, score.name, score.value, score.low, score.high, *counts, "", ""])
        for key, groups in system.slices.items():
            for group, found in groups.items():
                for metric, part in found.items():
                    if metric != "n":
                        part_of = [_no_formula(key), _no_formula(group)]
                        values = [part["value"], part["low"], part["high"], found["n"], "", ""]
                        writer.writerow([name, metric, *values, *part_of])
    return text.getvalue()


def _no_formula(text: str) -> str:
    """A spreadsheet would run a text that begins like a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def markdown_table(report: "Report") -> str:
    """One line for each system, one column for each score, with 95 % intervals."""
    names = list(map(_markdown_escape, _names(report)))
    lines = [["system", *names], ["---", *["---:"] * len(names)]]
    lines += [[_markdown_escape(_one_line(name)), *cells] for name, cells in _cells(report, "–")]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def latex_table(report: "Report") -> str:
    """A tabular for the package booktabs."""
    columns = "l" + "r" * len(_names(report))
    rows = [
        " & ".join([latex_escape(_one_line(name)), *cells]) + r" \\"
        for name, cells in _cells(report, "--")
    ]
    head = " & ".join(["System", *map(latex_escape, _names(report))]) + r" \\"
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def latex_escape(text: str) -> str:
    """Make a text safe between LaTeX's commands."""
    return "".join(_LATEX.get(character, character) for character in text)


def _markdown_escape(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)


def _names(report: "Report") -> "Sequence[str]":
    return list(report.systems[0].scores)


def _cells(report: "Report", dash: str) -> "list[tuple[str, list[str]]]":
    """Give each system's name and its scores, rounded: `59.28 (58.2-60.3)`."""
    return [
        (
            system.name,
            [
                f"{score.value:.2f}"
                + ("" if score.low is None else f" ({score.low:.1f}{dash}{score.high:.1f})")
                for score in system.scores.values()
            ],
        )
        for system in report.systems
    ]


def _one_line(text: str) -> str:
    return " ".join(text.split())
