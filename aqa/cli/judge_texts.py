"""What a judge, or a panel of judges, came to beside its verdicts, in words."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console

from aqa.tables.table import shown_interval

if TYPE_CHECKING:
    from aqa.evaluation.results import Report


def tell_judge(console: Console, report: "Report") -> None:
    """Say what the judge cost, and how far judges and people agree with it."""
    if report.judge is None:
        return
    for system in report.systems:
        if system.verdicts is not None:
            _show_system(console, system.name, system.verdicts.to_json())
    spent = report.judge["spent"]
    cost = f"${spent['usd']:.4f}" if "usd" in spent else "price not known"
    tokens = f"{spent['input_tokens'] + spent['output_tokens']:,} tokens"
    asked = report.judge["asked"]
    line = f"{asked} verdict{'s' * (asked != 1)} asked for now; all in {report.judge['folder']}"
    console.print(f"{line}: {tokens}, {cost}", markup=False, soft_wrap=True)
    if panel := report.judge.get("panel"):
        _show_panel(console, panel)
    if labels := report.judge.get("human_labels"):
        answers = f"{labels['n']} labelled answer{'s' * (labels['n'] != 1)}"
        line = f"people agree on {labels['agreement']:.1f} % of {answers}"
        console.print(f"{line}; Cohen's kappa {_figure(labels, 'kappa')}", markup=False)


def _show_system(console: Console, name: str, found: Mapping[str, Any]) -> None:
    if repeats := found.get("repeats"):
        scores = ", ".join(f"{score:.2f}" for score in repeats["scores"])
        line = f"{name}: repeats {scores}; variance {repeats['variance']:.2f}"
        console.print(line, soft_wrap=True)
    if own := found.get("corrected"):
        interval = shown_interval(own["low"], own["high"])
        line = f"{name}: by people {own['value']:.2f} (95 %: {interval}), as {own['n']} labels tell"
        console.print(line, markup=False, soft_wrap=True)


def _show_panel(console: Console, panel: Mapping[str, float]) -> None:
    answers = f"{panel['n']} answer{'s' * (panel['n'] != 1)}"
    console.print(
        f"the judges agree on {_figure(panel, 'agreement', 1)} % of {answers};"
        f" Fleiss' kappa {_figure(panel, 'fleiss_kappa')},"
        f" Krippendorff's alpha {_figure(panel, 'krippendorff_alpha')}",
        markup=False,
    )


def _figure(found: Mapping[str, float], name: str, digits: int = 2) -> str:
    return f"{found[name]:.{digits}f}" if name in found else "not defined"
