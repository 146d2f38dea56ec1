"""What the report shows of a reader's doubt: silence, and errors left at each confidence."""

from dataclasses import dataclass

from markupsafe import Markup

from aqa.evaluation.abstention import Rate
from aqa.evaluation.report.charts import curves
from aqa.evaluation.report.finding import shown_range
from aqa.evaluation.results import Report


@dataclass(frozen=True, slots=True)
class SystemRow:
    """One system's figures, as they are shown; `series` is its number."""

    label: str
    series: int
    figures: tuple[str, ...]


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


def calibration_rows(report: Report) -> list[SystemRow]:
    """Give how far confidences of a system are from its share of right answers."""
    return [
        SystemRow(
            system.name,
            series,
            (
                found.kind.replace("_", " "),
                f"{found.error:.1f} ({shown_range(found.low, found.high)})",
                f"{found.plain:.1f}",
                f"{found.over:+.1f}",
            ),
        )
        for series, system in enumerate(report.systems)
        if (found := system.calibration) is not None
    ]


def confidence_rows(report: Report) -> list[SystemRow]:
    """Give what a system gets wrong at three shares of its surest answers, and the areas."""
    return [
        SystemRow(
            system.name,
            series,
            (
                *(f"{_at(found.curve, share):.1f} %" for share in (25, 50, 100)),
                f"{found.area:.1f}",
                f"{found.best:.1f}",
            ),
        )
        for series, system in enumerate(report.systems)
        if (found := system.risk_coverage) is not None
    ]


def abstention_rows(report: Report) -> list[SystemRow]:
    """Give how often systems left a question open, and how often rightly."""
    return [
        SystemRow(
            system.name,
            series,
            (
                f"{found.abstained:,}",
                f"{found.rightly:,}",
                _rate(found.precision),
                _rate(found.recall),
            ),
        )
        for series, system in enumerate(report.systems)
        if (found := system.abstention) is not None
    ]


def _at(points: tuple[tuple[float, float], ...], share: float) -> float:
    """Give the risk where at least this share of the examples is kept."""
    return next(risk for coverage, risk in points if coverage >= share - 1e-9)


def _rate(rate: Rate | None) -> str:
    return "" if rate is None else f"{rate.value:.1f} % ({shown_range(rate.low, rate.high)})"
