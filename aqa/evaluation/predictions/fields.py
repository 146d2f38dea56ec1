"""The user's choice of a file's columns: --prediction-field."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aqa.data.columns import MISSING, look_up
from aqa.errors import DataError, UsageError
from aqa.evaluation.predictions.texts import list_columns


@dataclass(frozen=True, slots=True)
class Fields:
    """Columns of ids and answers, of which a file's first is used, and which rows to read.

    `rows` maps a column to the value that it must have. A column inside an object is named by its
    path ("response.text", "messages.-1.content"). `met` collects those that files have.
    """

    ids: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    rows: Mapping[str, str] = field(default_factory=dict)
    met: set[str] = field(default_factory=set, compare=False)

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

    def take(self, place: str, row: Mapping[str, Any], paths: tuple[str, ...]) -> tuple[str, Any]:
        """Return the first of some named columns that exists, and its value."""
        for path in paths:
            if (value := look_up(row, path)) is not MISSING:
                self.met.add(path)
                return path, value
        columns = list_columns(row)
        raise DataError(f"{place}: no column {' or '.join(paths)}; the columns are {columns}")

    def check_met(self) -> None:
        """Raise DataError if the user named what no file has, so that it had no effect."""
        named = {"id": self.ids, "answer": self.answers} | {name: (name,) for name in self.rows}
        for name, paths in named.items():
            if paths and self.met.isdisjoint(paths):
                word = f"{name}={self.rows.get(name, paths[0])}"
                raise DataError(
                    f"--prediction-field {word}: no predictions have a column {' or '.join(paths)};"
                    " check its name, or leave this out"
                )


AS_USUAL = Fields()


@contextmanager
def without_fields() -> Iterator[None]:
    """Let errors advise what to do where --prediction-field can't be given."""
    try:
        yield
    except DataError as error:
        problem, _, advice = str(error).partition("; ")
        if "--prediction-field" not in advice:
            raise
        raise DataError(
            f"{problem}; give rows with only an id and a prediction, one for each question"
        ) from None
