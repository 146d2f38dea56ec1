"""All figures of an evaluation as one long table for programs."""

from collections.abc import Iterator, Sequence

from aqa.evaluation.comparison import Comparison
from aqa.evaluation.results import Report, SystemScores
from aqa.evaluation.stress import StressCard
from aqa.tables import Cell, Figure, Row, Table, figures, texts

NOTHING = ("", "", "")


def long_table(report: Report) -> Table:
    """Make a table with a row per system and score, overall and for each group of a slice.

    In a row with a system under `minus`, the value is the difference to that system's score.
    """
    rows = [row for system in report.systems for row in _scores(system, len(report.ids))]
    rows += [row for system in report.systems for row in _calibration(system)]
    rows += [_difference(found) for found in report.comparisons]
    for key, groups in report.slice_comparisons.items():
        rows += [_difference(one, (key, group)) for group, own in groups.items() for one in own]
    if (found := report.labelled) is not None:
        values = (found.difference, found.low, found.high)
        rows.append(_row(found.b, "labels", values, found.n, minus=(found.a, "", "")))
    rows += [row for card in report.stress for row in stress_rows(card)]
    counted = figures("value", "low", "high", "n", "missing", "failed")
    heads = [*texts("system", "metric"), *counted, *texts("slice", "group", "minus")]
    return Table([*heads, *figures("p", "p_holm")], rows)


def _row(
    system: str,
    metric: str,
    values: Sequence[float | None],
    count: int,
    part: tuple[str, str] = ("", ""),
    minus: Sequence[Cell] = NOTHING,
    lost: Sequence[Cell] = ("", ""),
) -> Row:
    """Format a value with its interval; `minus`: a system, both p; `lost`: missing and failed."""
    shown = [None if value is None else Figure(value) for value in values]
    return Row([system, metric, *shown, count, *lost, *part, *minus])


def _scores(system: SystemScores, count: int) -> Iterator[Row]:
    """Yield the scores of all questions, of answerable and unanswerable ones, and of slices."""
    lost = (system.missing, system.failed)
    for score in system.scores.values():
        yield _row(system.name, score.name, (score.value, score.low, score.high), count, lost=lost)
    if system.groups["no_answer"]["n"] and "answerable" not in system.slices:
        for group, means in (("yes", "has_answer"), ("no", "no_answer")):
            own = dict(system.groups[means])
            n = int(own.pop("n"))
            for name, value in own.items():
                yield _row(system.name, name, (value, None, None), n, ("answerable", group))
    for key, groups in system.slices.items():
        for group, found in groups.items():
            for metric, part in found.items():
                if metric != "n":
                    values = (part["value"], part["low"], part["high"])
                    yield _row(system.name, metric, values, found["n"], (key, group))


def _calibration(system: SystemScores) -> Iterator[Row]:
    if (found := system.calibration) is not None:
        yield _row(system.name, "ece", (found.ece, found.low, found.high), found.n)
        for one in found.bins:
            part = ("confidence", f"{one.confidence:.1f}")
            yield _row(system.name, "right", (one.right, one.low, one.high), one.n, part)


def _difference(found: Comparison, part: tuple[str, str] = ("", "")) -> Row:
    count = found.wins + found.ties + found.losses
    minus = (found.a, Figure(found.p), Figure(found.p_holm))
    values = (found.difference, found.low, found.high)
    return _row(found.b, found.metric, values, count, part, minus)


def stress_rows(card: StressCard) -> Iterator[Row]:
    """Yield the rows of a card, with the key "stress" and the condition as group."""
    for name, own in card.conditions.items():
        part = ("stress", name)
        for metric, rate in (*own.scores.items(), *own.shares.items()):
            yield _row(card.reader, metric, (rate.value, rate.low, rate.high), own.n, part)
        for metric, found in own.differences.items():
            minus = ("plain", Figure(found.p), Figure(found.p_holm))
            values = (found.difference, found.low, found.high)
            yield _row(card.reader, metric, values, own.n, part, minus)
