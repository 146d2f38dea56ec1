"""Read predictions of our own runs a row at a time, as they may have millions."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from aqa.data.columns import MISSING, look_up
from aqa.data.files import Row, open_bytes
from aqa.data.json_stream import Entry, read_members
from aqa.data.shape import as_object, without
from aqa.errors import DataError
from aqa.evaluation.predictions.answered_row import AnsweredRow
from aqa.evaluation.predictions.columns import read_row
from aqa.evaluation.predictions.documents import read_lines
from aqa.evaluation.predictions.fields import AS_USUAL, Fields
from aqa.evaluation.predictions.joining import Data
from aqa.runs.journal import JOURNAL_KIND
from aqa.runs.names import PREDICTIONS
from aqa.runs.shelf import Shelf

JOURNAL_HEAD = f'{{"kind": "{JOURNAL_KIND}"'.encode()
HEAD_BYTES = 4096
OUR_ANSWER = "predicted_answer"


def read_own(file: Path, data: Data | None, fields: Fields) -> dict[str, AnsweredRow]:
    """Read the predictions of a run by id.

    Empty if the file is another tool's, or if none of its ids is in the data.

    Raises:
        DataError: a row's question is not that of its id in the data, or a row has no id.
    """
    is_finished, shelf, by_id = file.name == PREDICTIONS, Shelf(), dict[str, AnsweredRow]()
    for place, row in _rows(file):
        if is_finished and (row["id"] in by_id or not is_ours(row, fields)):
            return {}
        answered = answered_row(row, place)
        by_id[answered.id] = answered.on(shelf)  # of two tries in a journal, the later one
        if is_finished and data is not None:
            data.check_question(place, answered.id, str(row.get("question") or ""))
    is_joined = is_finished and data is not None and by_id.keys().isdisjoint(data.ids)
    return {} if is_joined else by_id


def _rows(file: Path) -> Iterator[Row]:
    """Yield the rows of a run's predictions or journal; nothing for any other file."""
    with open_bytes(file) as opened:
        head = opened.read(HEAD_BYTES)
    if head.startswith(JOURNAL_HEAD):
        yield from ((line.place, line.value) for line in read_lines(file))
    elif file.name == PREDICTIONS and head.lstrip().startswith(b"{"):
        yield from (
            (entry.place, {**as_object(entry.value), "id": entry.key})
            for entry in read_members(file, "id ")
        )


def is_ours(row: Mapping[str, Any], fields: Fields) -> bool:
    """Whether a row is from our own run and has no column that --prediction-field names."""
    named = (*fields.ids, *fields.answers, *fields.rows)
    return OUR_ANSWER in row and all(look_up(row, path) is MISSING for path in named)


def answered_row(row: Mapping[str, Any], place: str = "") -> AnsweredRow:
    """Convert a journal line to a prediction row."""
    parsed = read_row(Entry(place, row), row, AS_USUAL)
    if "id" not in parsed.ids:
        raise DataError(f"{place}: no id, which each line of a journal has")
    answered = parsed.answered
    return replace(answered, id=parsed.ids["id"], metadata=without(answered.metadata, "id"))
