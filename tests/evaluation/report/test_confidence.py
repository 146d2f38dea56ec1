from collections.abc import Callable

from aqa.evaluation.report.confidence import abstention_rows, confidence_curves, confidence_rows
from aqa.evaluation.results import Report
from aqa.records import Example

EXAMPLES = [Example(f"q{n}", "?", (), ("right",) if n else ()) for n in range(4)]


def test_figures_of_doubt(score: Callable[..., Report]) -> None:
    told = {"q0": ("", 0.9), "q1": ("right", 0.8), "q2": ("wrong", 0.2), "q3": ("", 0.1)}
    rows = {
        key: {"predicted_answer": text, "confidence": confidence}
        for key, (text, confidence) in told.items()
    }
    report = score({"sure": rows, "mute": dict.fromkeys(rows, "right")}, EXAMPLES)
    (sure,) = confidence_rows(report)  # the other tells no confidence
    assert (sure.label, sure.series) == ("sure", 0)
    # wrong among the first 1, 2, 4 of right, right, wrong, wrong; the order could not be better
    assert sure.figures[:3] == ("0.0 %", "0.0 %", "50.0 %")
    assert sure.figures[3] == sure.figures[4] == f"{(0 + 0 + 100 / 3 + 50) / 4:.1f}"
    drawn = confidence_curves(report)
    assert drawn is not None
    assert "sure: 0.0 % wrong of the surer half, 50.0 % of all" in drawn
    assert [(row.label, row.figures[:3]) for row in abstention_rows(report)] == [
        ("sure", ("2", "1", "50.0 % (9.5 to 90.5)")),
        ("mute", ("0", "0", "")),
    ]
    assert abstention_rows(report)[0].figures[3].startswith("100.0 %")


def test_without_confidences_there_is_no_curve(score: Callable[..., Report]) -> None:
    report = score({"a": {"q1": "right"}}, EXAMPLES[1:])
    assert confidence_curves(report) is None
    assert confidence_rows(report) == []
