"""Show the results of evaluations and trainings on standard output."""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from aqa.cli.tables import draw, output, print_json, say
from aqa.display.console import errors, say_warning
from aqa.display.terminal import safe_text
from aqa.errors import RunError
from aqa.tables import Row, Table, Tone, texts
from aqa.tables.forms import to_csv, to_latex, to_markdown

if TYPE_CHECKING:
    from aqa.evaluation.results import Report
    from aqa.verbs.ensemble_training import EnsembleResult
    from aqa.verbs.train import TrainResult
    from aqa.verbs.verify import Verification

FORMS = {"csv": to_csv, "markdown": to_markdown, "latex": to_latex}
TONES: Mapping[str, Tone] = {"changed": "bad", "missing": "bad", "unchecked": "muted"}


def show_report(report: "Report", forms: Collection[str] = ()) -> None:
    """Print the scores in each form ("json", "csv", "markdown", "latex"), or else for people."""
    from aqa.evaluation.findings import describe_findings
    from aqa.evaluation.long_table import long_table
    from aqa.evaluation.tables import tables_for_people, wide_table

    for warning in report.warnings:
        say_warning(warning)
    if not forms:
        for table in tables_for_people(report):
            draw(table)
        for sentence in describe_findings(report):
            say(sentence)
        for signature in report.signatures:
            say(signature, "dim")
    for number, form in enumerate(forms):
        if form == "json":
            print_json(report.to_json())
            continue
        write, make = FORMS[form], long_table if form == "csv" else wide_table
        print("\n" * bool(number) + safe_text(write(make(report))), end="")  # noqa: T201  (data)


def show_written(written: Mapping[str, Path], is_for_people: bool) -> None:
    """List the files written, on standard output only if that is for people."""
    console = output() if is_for_people else errors()
    for what, path in written.items():
        console.print(f"{what}: {path}", soft_wrap=True)


def show_verifications(verifications: "Sequence[Verification]", as_json: bool) -> None:
    """Show which files of runs are unchanged; RunError if one is changed or missing."""
    if as_json:
        print_json({"version": 1, "runs": [file.to_json() for file in verifications]})
    for verification in [] if as_json else verifications:
        title = f"{verification.folder} ({verification.run_status})"
        rows = [
            Row([file.what, file.status, file.name], TONES.get(file.status, ""))
            for file in verification.checked
        ]
        draw(Table(texts("what", "status", "file"), rows, title))
    faults = [
        f"{verification.folder}: {file.what} {file.status}"
        for verification in verifications
        for file in verification.wrong
    ]
    if faults:
        raise RunError("; ".join(faults))


def show_training(result: "TrainResult", as_json: bool) -> None:
    """Show the scores before and after, and what to run next."""
    if as_json:
        print_json(_facts(result))
        return
    from aqa.verbs.train_progress import training_table

    if result.report is not None:
        title = f"Validation scores, {len(result.report.ids)} questions"
        scores = result.report.systems[0].scores
        draw(training_table(result.before, scores, title))
    say(f"{result.weights.name}: {result.weights}")
    if result.merged is not None:
        say(
            f"merged model: {result.merged.folder}; of {result.merged.compared} greedy answers"
            f" {result.merged.different} differ from the adapter's"
        )
    if result.exported is not None:
        comparison = (
            f"of {result.exported.compared} greedy answers {result.exported.different} differ"
        )
        if not result.exported.compared:
            comparison = "pip install llama-cpp-python to compare its answers"
        say(f"for llama.cpp: {result.exported.folder}; {comparison}")
    say(
        f"next: aqa predict {result.backend} --model {quote(str(result.folder))}"
        " --data YOUR_QUESTIONS.json"
    )
    shared = result.weights if result.merged is None else result.merged.folder
    # The hub allows no other characters.
    name = re.sub(r"[^A-Za-z0-9_.]+", "-", result.folder.resolve().name).strip("-.")
    say(f"to share it: hf upload YOUR_NAME/{name or 'YOUR_MODEL'} {quote(str(shared))}")


def _facts(result: "TrainResult") -> dict[str, object]:
    merged, exported = result.merged, result.exported
    return {
        "backend": result.backend,
        "folder": str(result.folder),
        "weights": str(result.weights),
        "before": dict(result.before),
        "after": result.report.to_json() if result.report else None,
        "merged": str(merged.folder) if merged else None,
        "merged_differs": merged.different if merged else None,
        "exported": str(exported.folder) if exported else None,
        "exported_differs": exported.different if exported else None,
    }


def show_ensemble(result: "EnsembleResult", as_json: bool) -> None:
    """Show the scores of members and rules, the chosen rule, and what to run next."""
    if as_json:
        print_json(result.to_json())
        return
    draw(result.table)
    for sentence in result.findings:
        say(sentence)
    say(f"{result.weights.name}: {result.weights}")
    say(
        f"next: aqa predict ensemble --model {quote(str(result.folder))} --data YOUR_QUESTIONS.json"
    )
