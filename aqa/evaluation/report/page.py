"""Write the self-contained HTML report, streaming the filled-in template to disk."""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from aqa.evaluation import tables
from aqa.evaluation.difference_tables import prompt_tables
from aqa.evaluation.findings import describe_stress, describe_verdicts
from aqa.evaluation.mistakes import CATEGORIES
from aqa.evaluation.report import cost, curves, panels
from aqa.evaluation.report.charts import SERIES
from aqa.evaluation.report.examples import Library, facts, rows, script_json
from aqa.evaluation.report.headline import finding, shown_cell
from aqa.evaluation.results import Report
from aqa.records import Example
from aqa.runs.files import atomic
from aqa.version import __version__

_FOLDER = Path(__file__).parent
# Concatenated in this order.
_SCRIPTS = ("facts.js", "table.js", "example.js", "keys.js", "crossed.js")


def write_report(
    path: Path, report: Report, examples: Iterable[Example] | None = None, title: str = ""
) -> None:
    """Write the report; questions and passages come from the examples, if given.

    Memory holds the questions and one block of passages at a time.
    """
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (_FOLDER / "page.css").read_text("utf-8")
    parts = "\n".join((_FOLDER / name).read_text("utf-8") for name in _SCRIPTS)
    script = f'"use strict";\n{{\n{parts}}}\n'  # the block keeps names off the window object
    library = Library()
    headline, margin = finding(report)
    seconds = [
        cost.journal_seconds(Path(run.file)) if run.manifest else {} for run in report.systems
    ]
    pieces = environment.get_template("page.html").generate(
        policy=_policy(style, script),
        style=Markup(style),  # noqa: S704  (our own file)
        script=Markup(script),  # noqa: S704  (our own file)
        title=title,
        version=__version__,
        report=report,
        warnings=[_without_folders(warning, report) for warning in report.warnings],
        finding=headline,
        margin=margin,
        colours=SERIES,
        **_sections(report, cost.system_costs(report, seconds)),
        facts=script_json(facts(report)),
        # Lazy and in this order: reading the passages fills the library that the rows use.
        blocks=library.blocks(examples or (), report.ids),
        rows=rows(report, library, seconds),
    )
    with atomic(path, locked=False) as file:
        for piece in pieces:
            file.write(piece.encode("utf-8", "replace"))


def _sections(report: Report, costs: Sequence[cost.Cost]) -> dict[str, object]:
    compared = report.slice_comparisons
    return {
        "score_panels": list(panels.score_panels(report)),
        "difference_panels": list(panels.difference_panels({"": report.comparisons})),
        "slice_panels": panels.slice_panels(report),
        "slice_differences": {
            key: list(panels.difference_panels(groups, key)) for key, groups in compared.items()
        },
        "confidence_curves": curves.confidence_curves(report),
        "confidence_table": tables.confidence_table(report),
        "calibration_curves": curves.calibration_curves(report),
        "calibration_table": tables.calibration_table(report),
        "abstention_table": tables.abstention_table(report),
        "verdict_tables": list(tables.verdict_tables(report)),
        "verdict_sentences": list(describe_verdicts(report)),
        "stress_curves": list(curves.stress_curves(report)) if report.stress else [],
        "stress_panels": list(panels.stress_panels(report)),
        "stress_sentences": list(describe_stress(report.stress, report.between_readers)),
        "prompt_tables": list(prompt_tables(report.prompts)) if report.prompts else [],
        "cost_picture": cost.cost_picture(report, costs),
        "cost_table": cost.cost_table(report, costs),
        "shown": shown_cell,
        "mistake_bars": panels.mistake_bars(report),
        "mistake_kinds": panels.mistake_kinds(report),
        "meanings": CATEGORIES,
    }


def _without_folders(text: str, report: Report) -> str:
    """Name files without their folders, which are those of this machine."""
    for system in report.systems:
        text = text.replace(system.file, Path(system.file).name)
    return text


def _policy(style: str, script: str) -> str:
    """Allow only this style and script, by hash; no text can become HTML."""
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}';"
        " base-uri 'none'; form-action 'none'; require-trusted-types-for 'script';"
        " trusted-types 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()
