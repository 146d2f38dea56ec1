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
    for pair in comparisons:
        difference = Figure(pair.difference, is_signed=True)
        values = (difference, shown_interval(pair.low, pair.high), shown_chance(pair.p_holm))
        counts = f"{pair.wins}/{pair.ties}/{pair.losses}"
        tone: Tone = "strong" if pair.is_real else ""
        rows.append(Row([pair.a, pair.b, pair.metric, *values, counts], tone))
    heads = texts("a", "b", "score")
    heads += figures("b - a", "95 % interval", "p (Holm)", "+ / = / -")
    return Table(heads, rows, "Differences, b - a")


def slice_comparison_table(report: Report, key: str) -> Table:
    """Make a table with a row per group, pair and score, or of one score if there are many."""
    compared = report.slice_comparisons.get(key, {})
    listed = [(group, pair) for group, pairs in compared.items() for pair in pairs]
    if len(listed) > MOST and (disputed := report.disagreement) is not None:
        listed = [(group, pair) for group, pair in listed if pair.metric == disputed.score]
    rows = [beside([group, pair.a, pair.b, pair.metric], pair, 2) for group, pair in listed]
    heads = [*texts("group", "a", "b", "score"), *figures(*DIFFERENCE)]
    return Table(heads, rows, f"Differences by {key}, b - a")


def prompt_tables(report: PromptReport) -> Iterator[Table]:
    """Yield a table of each reader's spread over prompts, and one of any differences."""
    rows = []
    for spread in report.spreads:
        scores = spread.by_prompt
        low, high = (choose(scores, key=scores.get) for choose in (min, max))  # type: ignore[arg-type]
        worst, best = (f"{name} {scores[name]:.1f}" for name in (low, high))
        cells: list[Cell] = [spread.reader, spread.metric]
        cells += [Figure(spread.mean, 1), Figure(spread.standard_deviation, 1), worst, best]
        rows.append(Row(cells))
    heads = figures("mean", "deviation", "lowest", "highest")
    yield Table([*texts("reader", "score"), *heads], rows, "Readers across prompts")
    rows = [
        beside([pair.a, pair.b, pair.metric, name], pair)
        for ranked in report.ranked
        for name, pair in [
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
    for name, condition in card.conditions.items():
        lead: list[Cell] = [name, condition.n, _score_of(condition.scores[card.metric])]
        difference = condition.differences.get(card.metric)
        rows.append(Row([*lead, "", ""]) if difference is None else beside(lead, difference))
    heads = figures("n", f"{card.metric} (95 %)", "from plain (95 %)", "p (Holm)")
    return Table([*texts("condition"), *heads], rows, f"{card.reader} under stress")


def between_readers_table(between: Mapping[str, Sequence[Comparison]], metric: str) -> Table:
    """Make a table of the readers' differences under each condition, by one score."""
    rows = [
        beside([name, pair.a, pair.b], pair)
        for name, pairs in between.items()
        for pair in pairs
        if pair.metric == metric
    ]
    heads = [*texts("condition", "a", "b"), *figures(*DIFFERENCE)]
    return Table(heads, rows, f"Differences under stress, {metric}, b - a")


def beside(
    lead: Sequence[Cell], pair: Comparison, digits: int = 1, more: Sequence[Cell] = ()
) -> Row:
    """Format a difference with its interval in the same cell, where space is short."""
    difference = Figure(pair.difference, digits, pair.low, pair.high, is_signed=True)
    cells = [*lead, difference, shown_chance(pair.p_holm), *more]
    return Row(cells, "strong" if pair.is_real else "")


def _score_of(rate: Rate) -> str:
    return f"{rate.value:.1f} ({rate.low:z.0f} to {rate.high:z.0f})"
