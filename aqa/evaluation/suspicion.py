"""Answers that may be something else: the references, or the answers of another file."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from aqa.data.columns import fold
from aqa.errors import DataError
from aqa.evaluation.predictions.answered_row import AnsweredRow
from aqa.evaluation.predictions.columns import NO_ANSWERS

MANY = 10  # answers that are hardly those of something else by chance
NEARLY = 0.95  # of the answers

Rows = Mapping[str, AnsweredRow]


def same_rows(systems: Mapping[str, Rows]) -> Iterator[str]:
    """Tell of files that hold the same."""
    for (name, rows), (other, others) in combinations(systems.items(), 2):
        if len(rows) >= MANY and rows == others:
            yield f"{name} and {other} hold the same predictions; was one file given for the other?"


def references_as_answers(
    name: str, rows: Rows, expected: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """Tell of answers that are what a reader is compared with, unless they are sure to be its own.

    Raises:
        DataError: nearly all are, and the row has another column that may hold the answers.
    """
    asked = [(row, expected[key][0]) for key, row in rows.items() if expected.get(key)]
    alike = sum(row.prediction == first for row, first in asked)
    several = len({(row.prediction, first) for row, first in asked}) >= MANY
    if not several or alike < NEARLY * len(asked) or any(row.column is None for row, _ in asked):
        return
    column = asked[0][0].column
    if column and (others := _other_texts([row for row, _ in asked])):
        raise DataError(
            f"{name}: {column} equals the first reference in {alike} of {len(asked)} rows, so the"
            f" answers may be in {' or '.join(others)}; name the right column with"
            " --prediction-field answer=COLUMN"
        )
    if alike == len(asked):
        yield (
            f"{name}: all {alike} of its answers equal the first reference; if the references were"
            " read as answers, name the column of the answers with --prediction-field"
            " answer=COLUMN"
        )


def _other_texts(rows: Sequence[AnsweredRow]) -> list[str]:
    """The columns of many texts that are no part of a question."""
    found = []
    for column in rows[0].metadata:
        texts = {row.metadata.get(column) for row in rows if _has_letters(row.metadata.get(column))}
        if len(texts) >= MANY and fold(column) not in NO_ANSWERS:
            found.append(column)
    return found


def _has_letters(value: object) -> bool:
    return isinstance(value, str) and any(map(str.isalpha, value))
