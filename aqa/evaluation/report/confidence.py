"""What the report shows of a reader's doubt: silence, and errors left at each confidence."""

from markupsafe import Markup

from aqa.evaluation.report.charts import curves
from aqa.evaluation.results import Report


def confidence_curves(report: Report) -> Markup | None:
    """Draw the share of wrong answers over the share of answers kept; None without confidences."""
    lines = {
        series: system.risk_coverage.curve
        for series, system in enumerate(report.systems)
        if system.risk_coverage is not None
    }
    if not lines:
        return None
    spoken = "; ".join(
        f"{report.systems[series].name}: {_at(points, 50):.1f} % wrong of the surer half,"
        f" {points[-1][1]:.1f} % of all"
        for series, points in lines.items()
    )
    return curves(lines, spoken)


def calibration_curves(report: Report) -> Markup | None:
    """Draw the share of right answers over confidence; None where none is a probability."""
    lines = {
        series: [(one.confidence, one.right) for one in system.calibration.bins]
        for series, system in enumerate(report.systems)
        if system.calibration is not None
    }
    if not lines:
        return None
    spoken = "; ".join(
        f"{report.systems[series].name}: "
        + ", ".join(f"{right:.0f} % right at {sure:.0f} %" for sure, right in points)
        for series, points in lines.items()
    )
    return curves(lines, spoken, diagonal=True)


def _at(points: tuple[tuple[float, float], ...], share: float) -> float:
    """Give the risk where at least this share of the examples is kept."""
    return next(risk for coverage, risk in points if coverage >= share - 1e-9)
