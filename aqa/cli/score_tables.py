"""What an evaluation found, on standard output: scores, comparisons, slices, mistakes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from aqa.cli.judge_tables import show_judge
from aqa.cli.side_by_side import side_by_side, system_columns
from aqa.cli.tables import output, print_json, show_interval
from aqa.display.console import errors, say_warning
from aqa.display.terminal import safe_text
from aqa.errors import RunError, UsageError
from aqa.evaluation.exports import csv_table, latex_table, markdown_table

if TYPE_CHECKING:
    from aqa.evaluation.results import Report
    from aqa.verbs.verify import Verification

DISPUTED = 3  # examples that the table shows
LONGEST = 200  # characters of an answer in it
VERDICTS = 12  # differences that are all told in words; of more, those by one score
ON_ONE_LINE = 2  # scores whose intervals stand beside them in 80 columns
KEPT = (25, 50, 75, 100)  # shares of the answers at which the table tells the risk


def choose_form(asked: Mapping[str, bool]) -> str:
    """Give the one form that was asked for, or "table"."""
    chosen = [name for name, is_asked in asked.items() if is_asked]
    if len(chosen) > 1:
        raise UsageError(f"--{chosen[0]} and --{chosen[1]} exclude each other; take one of them")
    return chosen[0] if chosen else "table"


def show_report(report: "Report", form: str = "table") -> None:  # long: its parts in order
    """The scores as a table for people, "json", "csv", "markdown" or "latex"; warnings before."""
    for warning in report.warnings:
        say_warning(warning)
    if form == "json":
        print_json(report.to_json())
        return
    if form != "table":
        write = {"csv": csv_table, "markdown": markdown_table, "latex": latex_table}[form]
        print(safe_text(write(report)), end="")  # noqa: T201  (data, not a message)
        return
    console = output()
    count = len(report.ids)
    table = Table(title=f"{count} example{'s' * (count != 1)}, profile {report.profile}")
    table.add_column("system", overflow="fold")
    table.add_column("score")
    for name in ("value", "95 % interval", "HasAns", "NoAns"):
        if name not in ("HasAns", "NoAns") or _has_unanswerable(report):
            table.add_column(name, justify="right")
    for system in report.systems:
        label = system.name
        for name, score in system.scores.items():
            row = [label, name, f"{score.value:.2f}", show_interval(score.low, score.high)]
            if _has_unanswerable(report):
                row += [
                    f"{system.groups[group][name]:.2f}" if name in system.groups[group] else ""
                    for group in ("has_answer", "no_answer")
                ]
            table.add_row(*row)
            label = ""
        if system.missing or system.failed:
            told = f"missing {system.missing}, failed {system.failed}"
            table.add_row("", Text(told, style="yellow"))
    console.print(table)
    show_judge(console, report)
    _show_slices(console, report)
    _show_errors(console, report)
    _show_abstention(console, report)
    _show_confidence(console, report)
    _show_disagreement(console, report)
    _show_comparisons(console, report)
    for system in report.systems[:1]:
        for score in system.scores.values():
            console.print(score.signature, style="dim", soft_wrap=True)


def show_written(written: Mapping[str, Path], form: str) -> None:
    """Tell which files were written, below the table; standard output is for data otherwise."""
    console = output() if form == "table" else errors()
    for what, path in written.items():
        console.print(f"{what}: {path}", markup=False, soft_wrap=True)


def _has_unanswerable(report: "Report") -> bool:
    return any(system.groups.get("no_answer", {}).get("n") for system in report.systems)


def _show_slices(console: Console, report: "Report") -> None:
    """One table for each key: a row a group, a column a system and score."""
    for key in report.systems[0].slices:
        for system in report.systems:
            table = Table(title=f"{system.name} by {key}, with 95 % intervals")
            table.add_column("group", overflow="fold")
            table.add_column("n", justify="right")
            names = [name for name, score in system.scores.items() if score.per_example]
            for name in names:
                table.add_column(name, justify="right")
            for group, found in system.slices[key].items():
                cells = [_with_interval(found[name], len(names)) for name in names]
                table.add_row(group, str(found["n"]), *cells)
            console.print(table)


def _with_interval(found: Mapping[str, float], scores: int) -> str:
    """A value with its interval beside it; below it, where there are many scores."""
    value, interval = f"{found['value']:.1f}", show_interval(found["low"], found["high"])
    return f"{value} ({interval})" if scores <= ON_ONE_LINE else f"{value}\n{interval}"


def _show_errors(console: Console, report: "Report") -> None:
    """How many answers of each system are right, and what is wrong with the others."""
    from aqa.evaluation.mistakes import CATEGORIES

    for systems in side_by_side(report):
        table = system_columns("Answers", "kind", systems)
        for name, meaning in CATEGORIES.items():
            counts = [system.errors.get(name, 0) for system in systems]
            if any(counts):
                table.add_row(meaning, *map(str, counts))
        console.print(table)


def _show_abstention(console: Console, report: "Report") -> None:
    """Whether each system kept silent where there is no answer, and there alone."""
    table = Table(title="Abstention")
    table.add_column("system", overflow="fold")
    for name in ("precision (95 %)", "recall (95 %)"):
        table.add_column(name, justify="right")
    for system in report.systems:
        if (found := system.abstention) is not None:
            shares = ((found.precision, found.abstained), (found.recall, found.unanswerable))
            cells = [
                f"{rate.value:.1f} of {of} ({show_interval(rate.low, rate.high)})"
                if rate
                else "of 0"
                for rate, of in shares
            ]
            table.add_row(system.name, *cells)
    if table.row_count:
        console.print(table)


def _show_confidence(console: Console, report: "Report") -> None:
    """How far each system's confidence tells right answers from wrong ones."""
    table = Table(title="Wrong (not exact) among the most confident answers")
    table.add_column("system", overflow="fold")
    for name in (*(f"{share} %" for share in KEPT), "AURC", "at best"):
        table.add_column(name, justify="right")
    for system in report.systems:
        if (found := system.risk_coverage) is not None:
            risks = [
                next(risk for coverage, risk in found.curve if coverage >= share) for share in KEPT
            ]
            cells = [f"{value:.1f}" for value in (*risks, found.area, found.best)]
            table.add_row(system.name, *cells)
    if table.row_count:
        console.print(table)


def _show_disagreement(console: Console, report: "Report") -> None:
    """The examples on which the systems' scores are farthest apart, answer by answer."""
    found = report.disagreement
    if found is None or not found.order:
        return
    count = len(found.order)
    table = Table(title=f"Disagreement: {count} example{'s' * (count != 1)}, the widest")
    for name in ("id", "system", found.score, "answer"):
        table.add_column(name, overflow="fold", justify="right" if name == found.score else "left")
    for place in found.order[:DISPUTED]:
        expected = " | ".join(dict.fromkeys(report.references[place])) or "(no answer)"
        table.add_row(Text(report.ids[place]), "(gold)", "", Text(_shortened(expected)))
        for system in report.systems:
            value = system.scores[found.score].per_example[place]
            answer = system.predictions[place]
            shown = "(missing)" if answer is None else _shortened(answer)
            table.add_row("", Text(system.name), f"{value:.1f}", Text(shown))
        table.add_section()
    console.print(table)


def _shortened(text: str) -> str:
    """Cut a long text where one sees it; show one of nothing but white space in quotes."""
    if not text.strip():
        return json.dumps(text)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _show_comparisons(console: Console, report: "Report") -> None:
    """The table of differences, and what each means in words."""
    if not report.comparisons:
        return
    from aqa.evaluation.comparison import verdict

    table = Table(title="Differences, b - a")
    for name in ("a", "b"):
        table.add_column(name, overflow="fold")
    table.add_column("score")
    for name in ("b - a", "95 % interval", "p (Holm)", "+ / = / -"):
        table.add_column(name, justify="right")
    for found in report.comparisons:
        table.add_row(
            found.a,
            found.b,
            found.metric,
            f"{found.difference:+.2f}",
            show_interval(found.low, found.high),
            f"{found.p_holm:.4f}" if found.p_holm >= 0.00005 else "< 0.0001",
            f"{found.wins}/{found.ties}/{found.losses}",
            style="bold" if found.is_real else None,
        )
    console.print(table)
    told = report.comparisons
    if len(told) > VERDICTS and report.disagreement is not None:
        score = report.disagreement.score
        told = tuple(found for found in told if found.metric == score)
    for found in told:
        console.print(verdict(found, report.sample))
    if len(told) < len(report.comparisons):
        console.print("the other scores stand in the table; --baseline compares with one system")


def show_verifications(found: "Sequence[Verification]", as_json: bool) -> None:
    """Which files of runs are what they were.

    Raises:
        RunError: something changed, or is missing.
    """
    if as_json:
        print_json({"version": 1, "runs": [each.to_json() for each in found]})
    for verification in [] if as_json else found:
        title = f"{verification.folder} ({verification.run_status})"
        table = Table(title=title)
        for column in ("what", "status", "file"):
            table.add_column(column, overflow="fold")
        styles = {"changed": "bold red", "missing": "red", "unchecked": "dim"}
        for each in verification.checked:
            style = styles.get(each.status)
            table.add_row(each.what, each.status, each.name, style=style)
        output().print(table)
    told = [
        f"{verification.folder}: {each.what} {each.status}"
        for verification in found
        for each in verification.checked
        if each.status in ("changed", "missing")
    ]
    if told:
        raise RunError("; ".join(told))
