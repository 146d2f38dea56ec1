"""Tables of differences: between systems, within slices, under stress, across prompts."""

from collections.abc import Iterator, Mapping, Sequence

from aqa.evaluation.abstention import Rate
from aqa.evaluation.comparison import Comparison
from aqa.evaluation.prompts import PromptReport
from aqa.evaluation.results import Report
from aqa.evaluation.stress import StressCard
from aqa.tables import (
    Cell,
    Figure,
    Row,
    Table,
    Tone,
    figures,
    shown_chance,
    shown_interval,
    texts,
)

MOST = 60  # differences within slices; beyond that, only one score is shown
DIFFERENCE = ("b - a (95 %)", "p (Holm)")


def difference_tables(report: Report) -> Iterator[Table]:
    """Yield the tables of all differences except those within slices."""
    if report.comparisons:
        yield comparison_table(report.comparisons)
    yield from map(card_table, report.stress)
    if report.between_readers:
        yield between_readers_table(report.between_readers, report.stress[0].metric)
    if report.prompts is not None:
        yield from prompt_tables(report.prompts)


def comparison_table(comparisons: Sequence[Comparison]) -> Table:
    """Make a table with a row per pair of systems and score."""
    rows = []
    for one in comparisons:
        difference = Figure(one.difference, is_signed=True)
        values = (difference, shown_interval(one.low, one.high), shown_chance(one.p_holm))
        counts = f"{one.wins}/{one.ties}/{one.losses}"
        tone: Tone = "strong" if one.is_real else ""
        rows.append(Row([one.a, one.b, one.metric, *values, counts], tone))
    heads = texts("a", "b", "score")
    heads += figures("b - a", "95 % interval", "p (Holm)", "+ / = / -")
    return Table(heads, rows, "Differences, b - a")


def slice_comparison_table(report: Report, key: str) -> Table:
    """Make a table with a row per group, pair and score, or of one score if there are many."""
    compared = report.slice_comparisons.get(key, {})
    listed = [(group, found) for group, own in compared.items() for found in own]
    if len(listed) > MOST and report.disagreement is not None:
        listed = [(group, one) for group, one in listed if one.metric == report.disagreement.score]
    rows = [beside([group, one.a, one.b, one.metric], one, 2) for group, one in listed]
    heads = [*texts("group", "a", "b", "score"), *figures(*DIFFERENCE)]
    return Table(heads, rows, f"Differences by {key}, b - a")


def prompt_tables(found: PromptReport) -> Iterator[Table]:
    """Yield a table of each reader's spread over prompts, and one of any differences."""
    rows = []
    for one in found.spreads:
        low, high = (choose(one.by_prompt, key=one.by_prompt.get) for choose in (min, max))  # type: ignore[arg-type]
        worst, best = (f"{name} {one.by_prompt[name]:.1f}" for name in (low, high))
        cells: list[Cell] = [one.reader, one.metric]
        cells += [Figure(one.mean, 1), Figure(one.standard_deviation, 1), worst, best]
        rows.append(Row(cells))
    heads = figures("mean", "deviation", "lowest", "highest")
    yield Table([*texts("reader", "score"), *heads], rows, "Readers across prompts")
    rows = [
        beside([one.a, one.b, one.metric, name], one)
        for ranked in found.ranked
        for name, one in [
            *ranked.by_prompt.items(),
            *([("(mean)", ranked.of_means)] if ranked.verdict else []),
        ]
    ]
    if rows:
        heads = [*texts("a", "b", "score", "prompt"), *figures(*DIFFERENCE)]
        yield Table(heads, rows, "Differences by prompt, b - a")


def card_table(card: StressCard) -> Table:
    """Make a table with a row per condition, and its difference from the plain evidence."""
    plain: list[Cell] = ["plain", card.n, _score_of(card.plain[card.metric]), "", ""]
    rows = [Row(plain, ends_section=True)]
    for name, own in card.conditions.items():
        lead: list[Cell] = [name, own.n, _score_of(own.scores[card.metric])]
        found = own.differences.get(card.metric)
        rows.append(Row([*lead, "", ""]) if found is None else beside(lead, found))
    heads = figures("n", f"{card.metric} (95 %)", "from plain (95 %)", "p (Holm)")
    return Table([*texts("condition"), *heads], rows, f"{card.reader} under stress")


def between_readers_table(between: Mapping[str, Sequence[Comparison]], metric: str) -> Table:
    """Make a table of the readers' differences under each condition, by one score."""
    rows = [
        beside([name, one.a, one.b], one)
        for name, found in between.items()
        for one in found
        if one.metric == metric
    ]
    heads = [*texts("condition", "a", "b"), *figures(*DIFFERENCE)]
    return Table(heads, rows, f"Differences under stress, {metric}, b - a")


def beside(
    lead: Sequence[Cell], found: Comparison, digits: int = 1, more: Sequence[Cell] = ()
) -> Row:
    """Format a difference with its interval in the same cell, where space is short."""
    difference = Figure(found.difference, digits, found.low, found.high, is_signed=True)
    cells = [*lead, difference, shown_chance(found.p_holm), *more]
    return Row(cells, "strong" if found.is_real else "")


def _score_of(rate: Rate) -> str:
    return f"{rate.value:.1f} ({rate.low:z.0f} to {rate.high:z.0f})"
