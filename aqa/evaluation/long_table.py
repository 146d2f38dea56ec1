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
    rows += [_difference(difference) for difference in report.comparisons]
    for key, groups in report.slice_comparisons.items():
        for group, pairs in groups.items():
            rows += [_difference(pair, (key, group)) for pair in pairs]
    if (labelled := report.labelled) is not None:
        values = (labelled.difference, labelled.low, labelled.high)
        rows.append(_row(labelled.b, "labels", values, labelled.n, minus=(labelled.a, "", "")))
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
    cells = [None if value is None else Figure(value) for value in values]
    return Row([system, metric, *cells, count, *lost, *part, *minus])


def _scores(system: SystemScores, count: int) -> Iterator[Row]:
    """Yield the scores of all questions, of answerable and unanswerable ones, and of slices."""
    lost = (system.missing, system.failed)
    for score in system.scores.values():
        yield _row(system.name, score.name, (score.value, score.low, score.high), count, lost=lost)
    if system.groups["no_answer"]["n"] and "answerable" not in system.slices:
        for group, means in (("yes", "has_answer"), ("no", "no_answer")):
            scores = dict(system.groups[means])
            n = int(scores.pop("n"))
            for name, value in scores.items():
                yield _row(system.name, name, (value, None, None), n, ("answerable", group))
    for key, groups in system.slices.items():
        for group, by_metric in groups.items():
            for metric, part in by_metric.items():
                if metric != "n":
                    values = (part["value"], part["low"], part["high"])
                    yield _row(system.name, metric, values, by_metric["n"], (key, group))


def _calibration(system: SystemScores) -> Iterator[Row]:
    if (errors := system.calibration) is not None:
        yield _row(system.name, "ece", (errors.ece, errors.low, errors.high), errors.n)
        for group in errors.bins:
            part = ("confidence", f"{group.confidence:.1f}")
            yield _row(system.name, "right", (group.right, group.low, group.high), group.n, part)


def _difference(comparison: Comparison, part: tuple[str, str] = ("", "")) -> Row:
    count = comparison.wins + comparison.ties + comparison.losses
    minus = (comparison.a, Figure(comparison.p), Figure(comparison.p_holm))
    values = (comparison.difference, comparison.low, comparison.high)
    return _row(comparison.b, comparison.metric, values, count, part, minus)


def stress_rows(card: StressCard) -> Iterator[Row]:
    """Yield the rows of a card, with the key "stress" and the condition as group."""
    for name, condition in card.conditions.items():
        part = ("stress", name)
        for metric, rate in (*condition.scores.items(), *condition.shares.items()):
            yield _row(card.reader, metric, (rate.value, rate.low, rate.high), condition.n, part)
        for metric, comparison in condition.differences.items():
            minus = ("plain", Figure(comparison.p), Figure(comparison.p_holm))
            values = (comparison.difference, comparison.low, comparison.high)
            yield _row(card.reader, metric, values, condition.n, part, minus)
