"""The report's tables with a picture in each row, and its counts of mistakes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from markupsafe import Markup

from aqa.evaluation.comparison import Comparison, metric_label
from aqa.evaluation.difference_tables import beside, card_table
from aqa.evaluation.mistakes import CATEGORIES
from aqa.evaluation.report.charts import (
    Interval,
    Scale,
    axis,
    dots,
    fit_scale,
    score_interval,
    stacked_bar,
)
from aqa.evaluation.report.headline import example_scores
from aqa.evaluation.results import Report
from aqa.tables import Figure, Row, Table, figures, texts

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
_DIFFERENCE = ("difference (95 %)", "p (Holm)", "+ / = / \N{MINUS SIGN}", "detectable")


@dataclass(frozen=True, slots=True)
class Panel:
    """A table with a picture for each row and their axis below.

    `systems` says whether the systems are its rows, or its columns from the third on.
    """

    table: Table
    plots: Sequence[Markup]
    axis: Markup
    systems: Literal["rows", "columns", ""] = ""


def score_panels(report: Report) -> Iterator[Panel]:
    """Yield a panel per score, with all systems on one scale."""
    groups = report.by_answer
    heads = [*texts("system"), *figures("score (95 %)", *groups.values())]
    for name in report.systems[0].scores:
        rows, intervals = [], []
        for series, system in enumerate(report.systems):
            score = system.scores[name]
            parts = (system.groups[group].get(name) for group in groups)
            means = [None if part is None else Figure(part) for part in parts]
            rows.append(Row([system.name, Figure(score.value, 2, score.low, score.high), *means]))
            intervals.append([score_interval(score, series)])
        yield _of_values(Table(heads, rows, metric_label(name)), intervals, "rows")


def difference_panels(
    groups: Mapping[str, Sequence[Comparison]], rows_are: str = "pair"
) -> Iterator[Panel]:
    """Yield a panel per score, with each pair's difference in each group relative to zero.

    Without groups, what fewer than four in five such comparisons would detect is shaded.
    """
    # In groups there is no room for what is detectable.
    is_overall = rows_are == "pair" and not any(
        pair.is_monitored for pairs in groups.values() for pair in pairs
    )
    columns = _DIFFERENCE if is_overall else _DIFFERENCE[:-1]
    heads = [*texts(rows_are.replace("_", " ")), *figures(*columns)]
    grouped = [(group, pair) for group, pairs in groups.items() for pair in pairs]
    for name in dict.fromkeys(pair.metric for _, pair in grouped):
        of_metric = [(group, pair) for group, pair in grouped if pair.metric == name]
        rows = [_difference(group, pair, len(heads)) for group, pair in of_metric]
        pairs = [pair if is_overall else replace(pair, detectable=None) for _, pair in of_metric]
        table = Table(heads, rows, metric_label(name))
        yield _of_differences(table, pairs, _around_zero(pairs))


def slice_panels(report: Report) -> dict[str, list[Panel]]:
    """Return panels by key, one per score, with a row per group and a dot per system."""
    names = example_scores(report)
    return {
        key: [_slice_panel(report, key, name) for name in names] for key in report.systems[0].slices
    }


def stress_panels(report: Report) -> Iterator[Panel]:
    """Yield a panel per reader: each condition's difference from the plain evidence."""
    by_card = [
        [None, *(condition.differences.get(card.metric) for condition in card.conditions.values())]
        for card in report.stress
    ]
    scale = _around_zero(row for rows in by_card for row in rows if row is not None)
    for series, (card, rows) in enumerate(zip(report.stress, by_card, strict=True)):
        yield _of_differences(card_table(card), rows, scale, series)


def mistake_bars(report: Report) -> list[Markup]:
    """Draw the share of each kind among each system's answers."""
    return [
        stacked_bar(
            {name: system.errors[name] for name in SHORT_CATEGORIES if name in system.errors},
            CATEGORIES,
        )
        for system in report.systems
    ]


def mistake_kinds(report: Report) -> dict[str, list[int]]:
    """Count each system's answers of each kind that occurs."""
    errors = [system.errors for system in report.systems]
    counts = {name: [row.get(name, 0) for row in errors] for name in SHORT_CATEGORIES}
    return {name: row for name, row in counts.items() if any(row)}


def _difference(group: str, comparison: Comparison, columns: int) -> Row:
    label = f"{group}: {comparison.b} \N{MINUS SIGN} {comparison.a}".removeprefix(": ")
    counts = f"{comparison.wins:,} / {comparison.ties:,} / {comparison.losses:,}"
    detectable = "none" if comparison.detectable is None else f"{comparison.detectable:.1f}"
    row = beside([label], comparison, 2, [counts, detectable])
    return replace(row, cells=row.cells[:columns])


def _of_differences(
    table: Table, comparisons: Sequence[Comparison | None], scale: Scale, series: int | None = None
) -> Panel:
    """Draw the difference of each row, if it has one, in the colour of a system if any."""
    intervals = [
        [Interval(row.difference, row.low, row.high, series, not row.is_real, _shaded(row))]
        if row is not None
        else []
        for row in comparisons
    ]
    plots = [dots(row, scale, zero=0.0) for row in intervals]
    return Panel(table, plots, axis(scale, signed=True))


def _shaded(comparison: Comparison) -> float | None:
    return None if comparison.is_monitored else comparison.detectable


def _around_zero(comparisons: Iterable[Comparison]) -> Scale:
    ends = [end for row in comparisons for end in (row.low, row.high, _shaded(row) or 0.0)]
    return fit_scale(ends or [0.0], around=0.0)


def _of_values(
    table: Table, intervals: Sequence[Sequence[Interval]], systems: Literal["rows", "columns"]
) -> Panel:
    """Draw the values of each row."""
    ends = [end for row in intervals for dot in row for end in (dot.low, dot.value, dot.high)]
    scale = fit_scale(ends)
    return Panel(table, [dots(row, scale) for row in intervals], axis(scale), systems)


def _slice_panel(report: Report, key: str, name: str) -> Panel:
    """Draw all systems' groups; these may differ, since they can depend on what a system read."""
    slices = [system.slices[key] for system in report.systems]
    rows, intervals = [], []
    for group in dict.fromkeys(group for groups in slices for group in groups):
        counts = [f"{groups[group]['n']:,}" if group in groups else "0" for groups in slices]
        scores = [groups[group][name] if group in groups else None for groups in slices]
        count = counts[0] if len(set(counts)) == 1 else " / ".join(counts)
        rows.append(Row([group, count, *(score and Figure(score["value"], 1) for score in scores)]))
        intervals.append([Interval(**score, series=at) for at, score in enumerate(scores) if score])
    heads = figures("n", *(system.name for system in report.systems))
    table = Table([*texts(key.replace("_", " ")), *heads], rows, metric_label(name))
    return _of_values(table, intervals, "columns")
