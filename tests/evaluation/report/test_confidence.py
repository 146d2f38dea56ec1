from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

from aqa.evaluation.planning import Need
from aqa.evaluation.report import write_report
from aqa.evaluation.report.curves import confidence_curves
from aqa.evaluation.results import LabelledDifference, Report
from aqa.evaluation.risk_control import ContractResult
from aqa.evaluation.tables import abstention_table, confidence_table
from aqa.records import Example
from aqa.tables import cell_text

EXAMPLES = [Example(f"q{n}", "?", (), ("right",) if n else ()) for n in range(4)]


def test_figures_of_doubt(score: Callable[..., Report]) -> None:
    told = {"q0": ("", 0.9), "q1": ("right", 0.8), "q2": ("wrong", 0.2), "q3": ("", 0.1)}
    rows = {
        key: {"predicted_answer": text, "confidence": confidence}
        for key, (text, confidence) in told.items()
    }
    report = score({"sure": rows, "mute": dict.fromkeys(rows, "right")}, EXAMPLES)
    (sure,) = confidence_table(report).rows  # the other has no confidences
    # Wrong among the first 1, 2, 3, 4 of right, right, wrong, wrong; no order could be better.
    area = f"{(0 + 0 + 100 / 3 + 50) / 4:.1f}"
    assert list(map(cell_text, sure.cells)) == [
        "sure",
        "4",
        "0.0",
        "0.0",
        "33.3",
        "50.0",
        area,
        area,
    ]
    drawn = confidence_curves(report)
    assert drawn is not None
    assert "sure: 0.0 % wrong of the surer half, 50.0 % of all" in drawn
    assert [list(map(cell_text, row.cells)) for row in abstention_table(report).rows] == [
        ["sure", "50.0 of 2 (9.5 to 90.5)", "100.0 of 1 (20.7 to 100.0)"],
        ["mute", "of 0", "0.0 of 1 (0.0 to 79.3)"],
    ]


def test_without_confidences_there_is_no_curve(score: Callable[..., Report]) -> None:
    report = score({"a": {"q1": "right"}}, EXAMPLES[1:])
    assert confidence_curves(report) is None
    assert confidence_table(report).rows == []


def test_how_many_answers_have_a_confidence(score: Callable[..., Report]) -> None:
    rows = {
        f"q{n}": {"predicted_answer": "right", "confidence": 0.5 if n else None} for n in (1, 0)
    }
    (row,) = confidence_table(score({"a": rows}, EXAMPLES)).rows
    assert list(map(cell_text, row.cells))[:2] == ["a", "1"]


def test_plans_labels_and_contracts_are_told(score: Callable[..., Report], tmp_path: Path) -> None:
    answers = {"a": {"q1": "right"}, "b": {"q1": "wrong"}}
    found: list[Any] = [
        Need("a", "b", "f1", 2.0, 400, 400),
        LabelledDifference("a", "b", 20, 3.0, 1.0, 5.0),
        ContractResult("a", 5.0, 3, 0.0, 0.0, 56.1),
    ]
    report = replace(
        score(answers, EXAMPLES[1:]), needs=(found[0],), labelled=found[1], silence=(found[2],)
    )
    write_report(tmp_path / "report.html", report)
    page = unescape((tmp_path / "report.html").read_text("utf-8"))
    assert [f"<li>{one}</li>" in page for one in found] == [True] * 3
    assert '<a href="#confidence">' in page
