"""Stress cards as tables: one for each reader, all side by side, and rows for programs."""

from collections.abc import Iterator, Mapping, Sequence

from aqa.evaluation.comparison import Comparison
from aqa.evaluation.stress import StressCard
from aqa.tables import Cell, Figure, Row, Table
from aqa.tables.table import figures, shown_chance, shown_interval, texts


def card_tables(
    cards: Sequence[StressCard], between: Mapping[str, Sequence[Comparison]]
) -> Iterator[Table]:
    """Give a card a reader, several side by side by the score of the first, and `between` them."""
    for card in cards:
        yield _card(card)
    if len(cards) > 1:
        yield _side_by_side(cards)
    if between:
        yield _between(between, cards[0].metric)


def _card(card: StressCard) -> Table:
    plain = card.plain[card.metric]
    first: list[Cell] = ["plain", card.n, Figure(plain.value, 1, plain.low, plain.high)]
    rows = [Row([*first, "", "", "", ""], ends_section=True)]
    for name, own in card.conditions.items():
        rate, found = own.scores[card.metric], own.differences.get(card.metric)
        cells: list[Cell] = [name, own.n, Figure(rate.value, 1, rate.low, rate.high)]
        if found is None:
            cells += ["", "", ""]
        else:
            cells += _difference(found)
        cells.append("" if own.gold_read is None else f"{own.gold_read:.0f} %")
        rows.append(Row(cells, "strong" if found is not None and found.is_real else ""))
    heads = figures("n", f"{card.metric} (95 %)", "from plain", "95 % interval", "p (Holm)", "gold")
    return Table([*texts("condition"), *heads], rows, f"{card.reader} under stress")


def _between(between: Mapping[str, Sequence[Comparison]], metric: str) -> Table:
    """A row for each two readers and condition."""
    rows = [
        Row([name, one.a, one.b, *_difference(one)], "strong" if one.is_real else "")
        for name, found in between.items()
        for one in found
        if one.metric == metric
    ]
    heads = [*texts("condition", "a", "b"), *figures("b - a", "95 % interval", "p (Holm)")]
    return Table(heads, rows, f"Differences under stress, {metric}, b - a")


def _difference(found: Comparison) -> list[Cell]:
    difference = Figure(found.difference, 1, is_signed=True)
    return [difference, shown_interval(found.low, found.high), shown_chance(found.p_holm)]


def _side_by_side(cards: Sequence[StressCard]) -> Table:
    """A column for each reader: its score, and how far it is from plain; a star beyond chance."""
    metric = cards[0].metric
    rows = [Row(["plain", *(Figure(card.plain[metric].value, 1) for card in cards)])]
    for name in dict.fromkeys(name for card in cards for name in card.conditions):
        cells: list[Cell] = [name]
        for card in cards:
            own = card.conditions.get(name)
            if own is None or metric not in own.scores:
                cells.append("")
                continue
            found = own.differences.get(metric)
            star = "*" if found is not None and found.is_real else ""
            difference = "" if found is None else f" ({found.difference:+.1f}{star})"
            cells.append(f"{own.scores[metric].value:.1f}{difference}")
        rows.append(Row(cells))
    heads = figures(*(card.reader for card in cards))
    return Table([*texts("condition"), *heads], rows, f"Readers under stress, {metric}")


def long_rows(cards: Sequence[StressCard]) -> Iterator[Row]:
    """Give rows of the long table: the key is "stress", the group a condition."""
    for card in cards:
        for name, own in card.conditions.items():
            for metric, rate in (*own.scores.items(), *own.shares.items()):
                values = [Figure(rate.value), Figure(rate.low), Figure(rate.high)]
                yield Row([card.reader, metric, *values, own.n, "", "", "stress", name, *[""] * 3])
            for metric, found in own.differences.items():
                values = [Figure(found.difference), Figure(found.low), Figure(found.high)]
                chances = [Figure(found.p), Figure(found.p_holm)]
                counts: list[Cell] = [own.n, "", "", "stress", name]
                yield Row([card.reader, metric, *values, *counts, "plain", *chances])
