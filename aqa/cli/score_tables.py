"""What an evaluation found, on standard output."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from aqa.cli.judge_texts import tell_judge
from aqa.cli.tables import output, print_json
from aqa.display.console import errors, say_warning
from aqa.display.tables import drawn
from aqa.display.terminal import safe_text
from aqa.errors import RunError, UsageError
from aqa.tables import Row, Table
from aqa.tables.latex import to_latex
from aqa.tables.markdown import to_markdown
from aqa.tables.sheet import to_csv
from aqa.tables.table import Tone, texts

if TYPE_CHECKING:
    from aqa.evaluation.results import Report
    from aqa.verbs.verify import Verification

TONES: Mapping[str, Tone] = {"changed": "bad", "missing": "bad", "unchecked": "muted"}
VERDICTS = 12  # differences that are all told in words; of more, those by one score


def choose_form(asked: Mapping[str, bool]) -> str:
    """Give the one form that was asked for, or "table"."""
    chosen = [name for name, is_asked in asked.items() if is_asked]
    if len(chosen) > 1:
        raise UsageError(f"--{chosen[0]} and --{chosen[1]} can't be used together; choose one")
    return chosen[0] if chosen else "table"


def show_report(report: "Report", form: str = "table") -> None:
    """The scores as tables for people, "json", "csv", "markdown" or "latex"; warnings before."""
    from aqa.evaluation import tables

    for warning in report.warnings:
        say_warning(warning)
    if form == "json":
        print_json(report.to_json())
    elif form == "csv":
        print(safe_text(to_csv(tables.long_table(report))), end="")  # noqa: T201  (data)
    elif form != "table":
        write = {"markdown": to_markdown, "latex": to_latex}[form]
        print(safe_text(write(tables.wide_table(report))), end="")  # noqa: T201  (data)
    else:
        _show_tables(output(), report)


def _show_tables(console: Console, report: "Report") -> None:
    from aqa.evaluation.stress_words import sentences
    from aqa.evaluation.tables import tables_for_people

    for table in tables_for_people(report):
        console.print(drawn(table))
    tell_judge(console, report)
    _tell_comparisons(console, report)
    if report.labelled is not None:
        console.print(str(report.labelled), markup=False, soft_wrap=True)
    for need in report.needs:
        console.print(str(need), markup=False, soft_wrap=True)
    shown = [line for card in report.stress for line in sentences(card)]
    shown += map(str, report.prompts.ranked if report.prompts is not None else ())
    for line in shown:
        console.print(line, markup=False, soft_wrap=True)
    for kept in report.silence:
        console.print(str(kept), markup=False, soft_wrap=True)
    for score in report.systems[0].scores.values():
        console.print(score.signature, style="dim", soft_wrap=True)


def show_written(written: Mapping[str, Path], form: str) -> None:
    """Tell which files were written, below the table; standard output is for data otherwise."""
    console = output() if form == "table" else errors()
    for what, path in written.items():
        console.print(f"{what}: {path}", markup=False, soft_wrap=True)


def _tell_comparisons(console: Console, report: "Report") -> None:
    """Say in words what each difference means."""
    from aqa.evaluation.comparison import verdict

    shown = report.comparisons
    if len(shown) > VERDICTS and report.disagreement is not None:
        score = report.disagreement.score
        shown = tuple(found for found in shown if found.metric == score)
    for found in shown:
        console.print(verdict(found, report.sample))
    if len(shown) < len(report.comparisons):
        console.print("the other scores are in the table; --baseline compares with one system")


def show_verifications(found: "Sequence[Verification]", as_json: bool) -> None:
    """Which files of runs are what they were.

    Raises:
        RunError: something changed, or is missing.
    """
    if as_json:
        print_json({"version": 1, "runs": [each.to_json() for each in found]})
    for verification in [] if as_json else found:
        title = f"{verification.folder} ({verification.run_status})"
        rows = [
            Row([each.what, each.status, each.name], TONES.get(each.status, ""))
            for each in verification.checked
        ]
        output().print(drawn(Table(texts("what", "status", "file"), rows, title)))
    shown = [
        f"{verification.folder}: {each.what} {each.status}"
        for verification in found
        for each in verification.checked
        if each.status in ("changed", "missing")
    ]
    if shown:
        raise RunError("; ".join(shown))
