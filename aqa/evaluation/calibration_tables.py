"""How far each system's confidences are probabilities, as a table and as rows of a sheet."""

from collections.abc import Iterator

from aqa.evaluation.results import Report
from aqa.tables import Cell, Figure, Row, Table
from aqa.tables.table import figures, shown_interval, texts


def calibration_table(report: Report) -> Table:
    """A row for each system whose confidences are probabilities."""
    rows = []
    for system in report.systems:
        if (found := system.calibration) is not None:
            interval = shown_interval(found.low, found.high)
            values: list[Cell] = [Figure(found.ece, 1), interval]
            more = [Figure(found.plain_ece, 1), Figure(found.overconfidence, 1, is_signed=True)]
            rows.append(Row([system.name, found.kind, found.n, *values, *more]))
    heads = figures("n", "ECE", "95 % interval", "plain ECE", "too sure by")
    title = "Calibration: how far confidence is the share of right (exact) answers"
    return Table([*texts("system", "confidence"), *heads], rows, title)


def calibration_rows(report: Report) -> Iterator[Row]:
    """Rows of the long table: the error, and the right answers of each bin of confidence."""
    for system in report.systems:
        if (found := system.calibration) is None:
            continue
        error = [Figure(value) for value in (found.ece, found.low, found.high)]
        yield Row([system.name, "ece", *error, found.n, *[""] * 7])
        for one in found.bins:
            right = [Figure(value) for value in (one.right, one.low, one.high)]
            group = f"{one.confidence:.1f}"
            cells = ["", "", "confidence", group, *[""] * 3]
            yield Row([system.name, "right", *right, one.n, *cells])
