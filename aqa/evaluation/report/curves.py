"""The report's curves: confidence, calibration, and scores under stress."""

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from aqa.config.stress_conditions import FAMILIES, NOISE, PLACES
from aqa.evaluation.comparison import metric_label
from aqa.evaluation.report.charts import curves, trends
from aqa.evaluation.results import Report


def confidence_curves(report: Report) -> Markup | None:
    """Draw the share of wrong answers over the share kept; None without confidences."""
    lines, spoken = {}, []
    for series, system in enumerate(report.systems):
        if (curve := system.risk_coverage) is not None:
            lines[series] = list(zip(curve.coverage, curve.risk, strict=True))
            half, full = curve.risk_at(50), curve.risk_at(100)
            spoken.append(
                f"{system.name}: {half:.1f} % wrong of the surer half, {full:.1f} % of all"
            )
    return curves(lines, "; ".join(spoken)) if lines else None


def calibration_curves(report: Report) -> Markup | None:
    """Draw the share of right answers over confidence; None if none is a probability."""
    lines, spoken = {}, []
    for series, system in enumerate(report.systems):
        if (calibration := system.calibration) is not None:
            lines[series] = points = [(group.confidence, group.right) for group in calibration.bins]
            shares = (f"{right:.0f} % right at {sure:.0f} %" for sure, right in points)
            spoken.append(f"{system.name}: {', '.join(shares)}")
    return curves(lines, "; ".join(spoken), diagonal=True) if lines else None


def stress_curves(report: Report) -> Iterator[tuple[Markup, str]]:
    """Draw the score over the number of hard passages, and over the answer's position.

    Yields each picture with its caption.
    """
    for names, labels, over in (
        ([f"noise-{number}" for number in NOISE], list(map(str, NOISE)), "number of hard passages"),
        (FAMILIES["position"], PLACES, "place of the answer"),
    ):
        if picture := _trends(report, names, labels):
            yield picture, f"{metric_label(report.stress[0].metric)} over the {over}"


def _trends(report: Report, conditions: Sequence[str], labels: Sequence[str]) -> Markup | None:
    """Draw a line for each reader; None if none was asked under two or more of the conditions."""
    lines, spoken = {}, []
    for series, card in enumerate(report.stress):
        points = [
            (step, card.conditions[name].scores[card.metric].value)
            for step, name in enumerate(conditions)
            if name in card.conditions
        ]
        if points:
            lines[series] = points
            values = ", ".join(f"{labels[step]} {value:.1f}" for step, value in points)
            spoken.append(f"{card.reader}: {values}")
    is_trend = any(len(points) > 1 for points in lines.values())
    return trends(lines, labels, "; ".join(spoken)) if is_trend else None
