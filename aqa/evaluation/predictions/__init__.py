"""Read predictions from files of any common format."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aqa.data.columns import MISSING, composed, look_up
from aqa.data.files import Row, complete, open_bytes
from aqa.data.json_stream import Entry
from aqa.data.literals import is_printed
from aqa.data.rows import is_saved_dataset, read_binary, read_saved_dataset
from aqa.data.shape import plain_by
from aqa.data.strict_json import one_line
from aqa.data.unusable import ZIP
from aqa.errors import DataError
from aqa.evaluation.predictions.answered_row import AnsweredRow, evidence_of
from aqa.evaluation.predictions.answers import has_answer
from aqa.evaluation.predictions.archives import read_archive
from aqa.evaluation.predictions.columns import KEY, Unjoined, read_row, unlisted
from aqa.evaluation.predictions.documents import (
    NamedPredictions,
    entries_in_memory,
    keyed_by_ids,
    read_document,
)
from aqa.evaluation.predictions.fields import AS_USUAL, Fields, without_fields
from aqa.evaluation.predictions.joining import Data, Note, join
from aqa.evaluation.predictions.lines import read_lines_of_text
from aqa.evaluation.predictions.own import HEAD_BYTES, answered_row, is_ours, read_own
from aqa.evaluation.predictions.shapes import SHAPES
from aqa.evaluation.predictions.shapes.harnesses import without_matches
from aqa.evaluation.predictions.texts import as_text
from aqa.evaluation.predictions.unsupported import OWN_SCORES
from aqa.runs.names import JOURNAL, PREDICTIONS

__all__ = [
    "OWN_SCORES", "RUN_FILES", "AnsweredRow", "Fields", "NamedPredictions", "answered_row",
    "evidence_of", "read_predictions", "without_fields",
]  # fmt: skip

RUN_FILES = (PREDICTIONS, JOURNAL)  # of a finished run, or of an unfinished one
LIKELY = {".json", ".jsonl", ".csv", ".tsv", ".txt", ".parquet", ".eval"}
TABLES = {".csv", ".tsv", ".parquet", ".arrow"}  # in which lists are often stored as text
PACKED = (".gz", ".zst")


def read_predictions(
    source: Path | NamedPredictions,
    ids: Sequence[str] | None = None,
    questions: Sequence[str] = (),
    fields: Fields = AS_USUAL,
    note: Note = lambda _: None,
) -> dict[str, AnsweredRow]:
    """Read predictions by id from a file, a run folder or memory.

    The format is detected from the content: see `shapes` for other tools', `columns` for rows in
    general. Answers without ids are matched to the data's `ids` by `questions` or by order;
    `note` receives any uncertainty.

    Raises:
        DataError: says where and why the file can't be read, and what to do.
    """
    data = None if ids is None else Data(ids, questions)
    name, path = ("", source) if isinstance(source, Path) else (source.name, source.answers)
    if not isinstance(path, Path):
        return _read_entries(Path(name), entries_in_memory(name, path), data, fields, note)
    with _under(path):
        if is_saved_dataset(path):
            rows = _of_table(read_saved_dataset(path, None))
            return _read_entries(path, rows, data, fields, note)
    file = _file_in(path) if path.is_dir() else path
    with _under(file):
        with complete(file):
            if run := read_own(file, data, fields):
                return run
            entries = _entries(file, ids)
        return _read_entries(file, entries, data, fields, note)


@contextmanager
def _under(path: Path) -> Iterator[None]:
    """Put the whole path into messages, since files of several systems may share a name."""
    try:
        yield
    except DataError as error:
        message = str(error)
        if message.startswith(str(path)) or not message.startswith(path.name):
            raise
        raise DataError(f"{path}{message.removeprefix(path.name)}") from None


def _of_table(rows: Iterable[Row]) -> list[Entry]:
    return [Entry(place, dict(row)) for place, row in rows]


def _read_entries(
    file: Path, entries: list[Entry], data: Data | None, fields: Fields, note: Note
) -> dict[str, AnsweredRow]:
    if data is not None and not fields.answers:
        entries = [*keyed_by_ids(entries, data.ids, data.questions)]
    rows = list(_named_rows(file, entries, fields))
    rows = unlisted(rows) if _suffix(file) in TABLES else rows
    _refuse_printed(rows)
    by_id = join(file, rows, data, note) if rows else {}
    if not by_id:
        raise DataError(f"{file} holds no predictions")
    return by_id


def _refuse_printed(rows: Sequence[Unjoined]) -> None:
    """Raise DataError if all answers are a client's objects instead of their texts."""
    rows = [row for row in rows if row.answered.prediction]
    if rows and all(is_printed(row.answered.prediction or "") for row in rows):
        raise DataError(
            f'{rows[0].place}: the answer "{rows[0].answered.prediction:.40}..." is an object as'
            " Python prints it; write its text, such as reply.choices[0].message.content"
        )


def check_there(file: Path) -> None:
    """Raise DataError early if there is no such file or folder."""
    if not file.exists():
        raise DataError(f"{file}: no such file or folder; check the path")


def _file_in(folder: Path) -> Path:
    for name in RUN_FILES:
        if (folder / name).is_file():
            return folder / name
    runs = sorted({path.parent.name for name in RUN_FILES for path in folder.glob(f"*/{name}")})
    files = sorted(path.name for path in folder.iterdir() if path.suffix in LIKELY)
    what, others = ("the runs in it", runs) if runs else ("its files", files)
    hint = f"; name one of {what}: {', '.join(others[:3])}" if others else ""
    raise DataError(f"{folder} is not a run folder: it holds no {' or '.join(RUN_FILES)}{hint}")


def _entries(file: Path, ids: Sequence[str] | None) -> list[Entry]:
    with open_bytes(file) as opened:
        head = opened.read(HEAD_BYTES)
    if head.startswith(ZIP):
        return read_archive(file)
    rows = read_binary(file, head)
    return _text_entries(file, head, ids) if rows is None else _of_table(rows)


def _text_entries(file: Path, head: bytes, ids: Sequence[str] | None) -> list[Entry]:
    suffix = _suffix(file)
    entries = None
    by_lines = suffix in (".jsonl", ".ndjson")
    if by_lines or suffix == ".json" or head.lstrip()[:1] in (b"{", b"["):
        entries = read_document(file, by_lines or suffix == ".json", by_lines)
    return read_lines_of_text(file, suffix, ids) if entries is None else entries


def _suffix(file: Path) -> str:
    """The suffix that shows the format, ignoring that of a compressed file."""
    suffix = file.suffix.lower()
    return Path(file.stem).suffix.lower() if suffix in PACKED else suffix


def _named_rows(file: Path, entries: Sequence[Entry], fields: Fields) -> Iterator[Unjoined]:
    values_of: dict[str, dict[str, None]] = {column: {} for column in fields.rows}
    count = 0
    for entry in without_matches(entries):
        used = fields
        if isinstance(entry.value, dict) and is_ours(entry.value, fields):
            used = AS_USUAL
        for row in _plain_rows(entry, used):
            if not isinstance(row, dict):
                text = as_text(entry.place, row)
                count += 1
                key = None if entry.key is None else composed(entry.key)
                ids = {} if key is None else {KEY: key}
                question = key or ""  # some files are keyed by question
                yield Unjoined(entry.place, AnsweredRow("", text), ids, question)
                continue
            values = {column: look_up(row, column) for column in used.rows}
            for column, value in values.items():
                if value is not MISSING:
                    fields.met.add(column)
                    values_of[column].setdefault(str(value))
            if all(str(value) == used.rows[column] for column, value in values.items()):
                count += 1
                yield read_row(entry, row, used)
    if fields.rows and entries and not count:
        hint = "; ".join(
            f"{column} is {', '.join(map(one_line, list(values)[:5])) or 'no column'}"
            for column, values in values_of.items()
        )
        raise DataError(f"{file}: no row is as --prediction-field says: {hint}")


def _plain_rows(entry: Entry, fields: Fields) -> Sequence[Any]:
    """Convert an entry to rows whose columns are recognised by name."""
    row = entry.value
    if not isinstance(row, dict) or fields.answers or has_answer(row):
        return [row]
    return plain_by(SHAPES, row, entry.place)
