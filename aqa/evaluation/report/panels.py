"""The report's panels above the examples: scores, differences, slices, mistakes, confidence."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from aqa.evaluation.comparison import Comparison
from aqa.evaluation.mistakes import CATEGORIES
from aqa.evaluation.report import charts
from aqa.evaluation.report.charts import Interval, Scale
from aqa.evaluation.report.headline import example_scores, score_name, shown_range, with_minus
from aqa.evaluation.results import Report
from aqa.tables import shown_chance

# In the order of the bars: from right to no answer at all.
SHORT_CATEGORIES = {
    "exact": "exact",
    "extra_words": "extra words",
    "partial": "partial",
    "wrong_with_evidence": "wrong, although in the evidence",
    "wrong_without_evidence": "wrong, not in the evidence",
    "wrong": "wrong",
    "answered_unanswerable": "answered the unanswerable",
    "abstained_wrongly": "abstained wrongly",
    "empty": "empty",
    "missing": "no prediction",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a panel: its label, a figure per column, and its picture.

    `series` is the system that it belongs to, if any.
    """

    label: str
    figures: tuple[str, ...]
    plot: Markup
    series: int | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """The head of a column of figures; `series` is the system that it belongs to, if any."""

    label: str
    series: int | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """A table of figures with a picture in each row and their axis below."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    axis: Markup


_DIFFERENCE = tuple(
    map(Column, ("difference", "95 % interval", "p (Holm)", "+ / = / \N{MINUS SIGN}", "detectable"))
)


def score_panels(report: Report) -> Iterator[Panel]:
    """Yield a panel per score, with all systems on one scale."""
    groups = report.by_answer
    for name in report.systems[0].scores:
        scores = [system.scores[name] for system in report.systems]
        intervals = [charts.score_interval(score, place) for place, score in enumerate(scores)]
        scale = _scale(intervals)
        rows = []
        for system, interval in zip(report.systems, intervals, strict=True):
            is_known = system.scores[name].low is not None
            range_text = shown_range(interval.low, interval.high) if is_known else ""
            figures = [f"{interval.value:.2f}", range_text]
            for group in groups:
                value = system.groups[group].get(name)
                figures.append("" if value is None else f"{value:.2f}")
            rows.append(
                Row(system.name, tuple(figures), charts.dots([interval], scale), interval.series)
            )
        columns = tuple(map(Column, ("score", "95 % interval", *groups.values())))
        yield Panel(score_name(name), columns, tuple(rows), charts.axis(scale))


def difference_panels(report: Report) -> Iterator[Panel]:
    """Yield a panel per score, with each pair's difference relative to zero.

    The shaded range is what fewer than four in five such comparisons would detect.
    """
    yield from _differences({"": report.comparisons}, is_shaded=True)


def slice_panels(report: Report) -> dict[str, list[Panel]]:
    """Return panels by key, one per score, with a row per group and a dot per system."""
    names = example_scores(report)
    return {
        key: [_slice_panel(report, key, name) for name in names] for key in report.systems[0].slices
    }


def slice_difference_panels(report: Report) -> dict[str, list[Panel]]:
    """Return panels by key, one per score, with each pair's difference in each group."""
    compared = report.slice_comparisons
    return {key: list(_differences(groups, is_shaded=False)) for key, groups in compared.items()}


def mistake_bars(report: Report) -> list[Markup]:
    """Draw the share of each kind among each system's answers."""
    return [
        charts.stacked_bar(
            {name: system.errors[name] for name in SHORT_CATEGORIES if name in system.errors},
            CATEGORIES,
        )
        for system in report.systems
    ]


def mistake_kinds(report: Report) -> dict[str, list[int]]:
    """Count each system's answers of each kind that occurs."""
    errors = [system.errors for system in report.systems]
    counts = {name: [own.get(name, 0) for own in errors] for name in SHORT_CATEGORIES}
    return {name: own for name, own in counts.items() if any(own)}


def confidence_curves(report: Report) -> Markup | None:
    """Draw the share of wrong answers over the share kept; None without confidences."""
    lines = {
        series: system.risk_coverage.curve
        for series, system in enumerate(report.systems)
        if system.risk_coverage is not None
    }
    spoken = "; ".join(
        f"{report.systems[series].name}: {_at(points, 50):.1f} % wrong of the surer half,"
        f" {points[-1][1]:.1f} % of all"
        for series, points in lines.items()
    )
    return charts.curves(lines, spoken) if lines else None


def calibration_curves(report: Report) -> Markup | None:
    """Draw the share of right answers over confidence; None if none is a probability."""
    lines = {
        series: [(one.confidence, one.right) for one in system.calibration.bins]
        for series, system in enumerate(report.systems)
        if system.calibration is not None
    }
    spoken = "; ".join(
        f"{report.systems[series].name}: "
        + ", ".join(f"{right:.0f} % right at {sure:.0f} %" for sure, right in points)
        for series, points in lines.items()
    )
    return charts.curves(lines, spoken, diagonal=True) if lines else None


def _scale(intervals: list[Interval]) -> Scale:
    return charts.fit_scale(end for one in intervals for end in (one.low, one.value, one.high))


def _differences(groups: Mapping[str, Sequence[Comparison]], is_shaded: bool) -> Iterator[Panel]:
    for name in dict.fromkeys(one.metric for found in groups.values() for one in found):
        met = [(key, one) for key, found in groups.items() for one in found if one.metric == name]
        if not is_shaded:
            met = [(group, replace(one, detectable=None)) for group, one in met]
        ends = [end for _, one in met for end in (one.low, one.high, one.detectable or 0.0)]
        scale = charts.fit_scale(ends, around=0.0)
        columns = _DIFFERENCE if is_shaded else _DIFFERENCE[:-1]
        rows = tuple(_difference(group, one, scale, len(columns)) for group, one in met)
        yield Panel(score_name(name), columns, rows, charts.axis(scale, signed=True))


def _difference(group: str, found: Comparison, scale: Scale, columns: int) -> Row:
    interval = Interval(found.difference, found.low, found.high, is_hollow=not found.is_real)
    figures = (
        with_minus(f"{found.difference:+z.2f}"),
        shown_range(found.low, found.high),
        shown_chance(found.p_holm),
        f"{found.wins:,} / {found.ties:,} / {found.losses:,}",
        "none" if found.detectable is None else f"{found.detectable:.1f}",
    )
    seen = found.detectable or 0.0
    plot = charts.dots([interval], scale, zero=0.0, band=(-seen, seen))
    label = f"{group}: {found.b} \N{MINUS SIGN} {found.a}".removeprefix(": ")
    return Row(label, figures[:columns], plot)


def _slice_panel(report: Report, key: str, name: str) -> Panel:
    """Draw all systems' groups; these may differ, since they can depend on what a system read."""
    found = [system.slices[key] for system in report.systems]
    groups = {
        group: [
            Interval(**own[group][name], series=place)
            for place, own in enumerate(found)
            if group in own
        ]
        for group in dict.fromkeys(group for own in found for group in own)
    }
    scale = _scale([interval for intervals in groups.values() for interval in intervals])
    rows = []
    for group, intervals in groups.items():
        counts = [f"{own[group]['n']:,}" if group in own else "0" for own in found]
        values = {interval.series: f"{interval.value:.1f}" for interval in intervals}
        figures = [values.get(place, "") for place in range(len(found))]
        range_text = counts[0] if len(set(counts)) == 1 else " / ".join(counts)
        rows.append(Row(group, (range_text, *figures), charts.dots(intervals, scale)))
    systems = (Column(system.name, place) for place, system in enumerate(report.systems))
    return Panel(score_name(name), (Column("n"), *systems), tuple(rows), charts.axis(scale))


def _at(points: tuple[tuple[float, float], ...], share: float) -> float:
    """Return the risk when at least this share of the examples is kept."""
    return next(risk for coverage, risk in points if coverage >= share - 1e-9)
