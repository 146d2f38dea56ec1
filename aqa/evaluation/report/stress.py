"""The report's charts and panels of readers under stress."""

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from aqa.config.stress_conditions import FAMILIES, NOISE, PLACES
from aqa.evaluation.report.charts import Interval, Scale, axis, dots, fit_scale, trends
from aqa.evaluation.report.headline import score_name, shown_range, with_minus
from aqa.evaluation.report.panels import Column, Panel, Row
from aqa.evaluation.results import Report
from aqa.evaluation.stress import StressCard
from aqa.tables import shown_chance

Curve = tuple[Markup, str]  # and its caption


def stress_curves(report: Report) -> list[Curve]:
    """Draw the score over the number of hard passages, and over the answer's position."""
    found = []
    score = score_name(report.stress[0].metric)
    names = [f"noise-{number}" for number in NOISE]
    if curve := _curve(report, names, [str(number) for number in NOISE]):
        found.append((curve, f"{score} over the number of hard passages"))
    if curve := _curve(report, FAMILIES["position"], PLACES):
        found.append((curve, f"{score} over the place of the answer"))
    return found


def _curve(report: Report, conditions: Sequence[str], labels: Sequence[str]) -> Markup | None:
    """Draw a line for each reader that was asked under two or more of the conditions."""
    lines, spoken = {}, []
    for series, card in enumerate(report.stress):
        points = [
            (place, card.conditions[name].scores[card.metric].value)
            for place, name in enumerate(conditions)
            if name in card.conditions
        ]
        if len(points) > 1:
            lines[series] = points
            values = ", ".join(f"{labels[place]} {value:.1f}" for place, value in points)
            spoken.append(f"{card.reader}: {values}")
    return trends(lines, labels, "; ".join(spoken)) if lines else None


def stress_panels(report: Report) -> Iterator[Panel]:
    """Yield a panel per reader: each condition's difference from the plain evidence."""
    found = [
        one
        for card in report.stress
        for own in card.conditions.values()
        if (one := own.differences.get(card.metric)) is not None
    ]
    if not found:
        return
    scale = fit_scale([end for one in found for end in (one.low, one.high)], around=0.0)
    for series, card in enumerate(report.stress):
        yield Panel(
            card.reader, _HEADS, tuple(_rows(card, series, scale)), axis(scale, signed=True)
        )


_HEADS = tuple(map(Column, ("score", "from plain", "95 % interval", "p (Holm)")))


def _rows(card: StressCard, series: int, scale: Scale) -> Iterator[Row]:
    for name, own in card.conditions.items():
        value = f"{own.scores[card.metric].value:.1f}"
        one = own.differences.get(card.metric)
        if one is None:
            yield Row(name, (value, "", "", ""), dots([], scale, zero=0.0))
            continue
        interval = Interval(one.difference, one.low, one.high, series, not one.is_real)
        shown = with_minus(f"{one.difference:+z.1f}"), shown_range(one.low, one.high)
        figures = (*shown, shown_chance(one.p_holm))
        yield Row(name, (value, *figures), dots([interval], scale, zero=0.0))
