"""The user's choice of a file's columns: --prediction-field."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aqa.data.columns import MISSING, look_up
from aqa.errors import DataError, UsageError
from aqa.evaluation.predictions.texts import list_columns


@dataclass(frozen=True, slots=True)
class Fields:
    """Columns of ids and answers, of which a file's first is used, and which rows to read.

    `rows` maps a column to the value that it must have. A column inside an object is named by its
    path ("response.text", "messages.-1.content").
    """

    ids: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    rows: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, words: Iterable[str]) -> "Fields":
        """Parse `answer=COLUMN`, `id=COLUMN` and `COLUMN=VALUE`; UsageError for anything else."""
        columns: dict[str, list[str]] = {"id": [], "answer": []}
        rows: dict[str, str] = {}
        for word in words:
            name, equals, value = word.partition("=")
            if not (name and equals and value):
                raise UsageError(
                    f"--prediction-field {word}: write answer=COLUMN, id=COLUMN, or COLUMN=VALUE to"
                    " take only the rows with that value"
                )
            if name in columns:
                columns[name].append(value)
            else:
                rows[name] = value
        return cls(tuple(columns["id"]), tuple(columns["answer"]), rows)


AS_USUAL = Fields()


def take_named(place: str, row: Mapping[str, Any], paths: tuple[str, ...]) -> tuple[str, Any]:
    """Return the first existing column that the user named, and its value."""
    for path in paths:
        if (value := look_up(row, path)) is not MISSING:
            return path, value
    raise DataError(f"{place}: no column {' or '.join(paths)}; the columns are {list_columns(row)}")
