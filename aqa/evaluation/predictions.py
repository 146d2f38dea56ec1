"""Files of predictions in every shape that is in use, read as they are."""

import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from aqa.data.files import decompressed
from aqa.errors import DataError
from aqa.runs.journal import JOURNAL_KIND
from aqa.runs.names import JOURNAL, PREDICTIONS

OWN_SCORES = {"version", "profile", "systems"}  # keys that a metrics.json of ours is known by
RUN_FILES = (PREDICTIONS, JOURNAL)  # of a finished run, or of one under way
ID_KEYS = ("id", "guid", "qid")
PREDICTION_KEYS = ("predicted_answer", "prediction_text", "prediction")
PACKED = (".gz", ".zst")
TABLES = (".csv", ".tsv", ".parquet", ".xlsx")
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")
_ESCAPED_PAIR = re.compile(r"\\u[dD][89a-fA-F]")  # both halves, as JSON may write them

Entry = tuple[str, str | None, Any]  # where it stands, its key in an object of ids, its value


@dataclass(frozen=True, slots=True)
class AnsweredRow:
    """One prediction. `prediction` is None where there is none, `failed` where it is an error.

    `answers` are the references that the file itself gives: () means unanswerable, None that it
    gives none. `metadata` holds the other columns.
    """

    id: str
    prediction: str | None
    answers: tuple[str, ...] | None = None
    failed: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)


def evidence_of(row: AnsweredRow | None) -> Mapping[str, Any]:
    """What the row tells of the evidence that its reader saw; empty where it tells nothing.

    Any file may have a column of that name: what is not as our journals have it is left out.
    """
    found = row.metadata.get("evidence") if row is not None else None
    if not isinstance(found, dict):
        return {}
    return {name: value for name, value in found.items() if _is_ours(name, value)}


def read_predictions(path: Path, ids: Sequence[str] | None = None) -> dict[str, AnsweredRow]:
    """Read a file of predictions, or a run folder's, by id.

    Known are {id: text}, {id: {"predicted_answer", "answers", ...}}, a list or JSON Lines of
    {"id", "prediction_text" or "predicted_answer", ...}, a run's journal, and plain lines of text,
    which need the `ids` of the data in its order; packed by gzip or Zstandard, too. Raises
    DataError, saying where, for a file that is none of these.
    """
    file = _file_in(path) if path.is_dir() else path
    if _suffix(file) in TABLES:
        raise DataError(
            f"{file} is a table, where predictions by id are needed; write it as {{id: text}}, or"
            " as rows in JSON or JSON Lines"
        )
    text = _read_text(file)
    entries = _json_entries(file, text)
    if entries is None:
        return _plain_lines(file, text, ids)
    if _ESCAPED_PAIR.search(text):
        _check_characters(entries)
    is_journal = bool(entries) and _is_header(entries[0][2])
    rows: dict[str, AnsweredRow] = {}
    for place, key, value in entries:
        if _is_header(value):
            continue
        row = _row(place, key, value)
        if row.id in rows and not is_journal:  # in a journal, a later try takes the place
            raise DataError(f'{place}: the id "{row.id}" stands there for the second time')
        rows[row.id] = row
    if not rows:
        raise DataError(f"{file} holds no predictions")
    return rows


def answered_row(row: Mapping[str, Any]) -> AnsweredRow:
    """Take a line of a journal as it was before it was written."""
    return _row(str(row["id"]), None, row)


def _check_characters(entries: Iterable[Entry]) -> None:
    """Refuse what could be written nowhere, be it in an answer, an id or another column."""
    for place, key, value in entries:
        if _HALF_A_PAIR.search(json.dumps([key, value], ensure_ascii=False)):
            raise DataError(f"{place}: there is half of a surrogate pair, which is no character")


def _file_in(folder: Path) -> Path:
    for name in RUN_FILES:
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"{folder} is no run folder: it holds no {' or '.join(RUN_FILES)}")


def _suffix(file: Path) -> str:
    """The end of the name that tells the format, before that of a packed file."""
    suffix = file.suffix.lower()
    return Path(file.stem).suffix.lower() if suffix in PACKED else suffix


def _read_text(file: Path) -> str:
    try:
        with file.open("rb") as opened, closing(decompressed(opened)) as whole:
            stored = whole.read()
        text = stored.decode("utf-8-sig")
    except (EOFError, OSError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or f"{error}; is it whole?"
        raise DataError(f"{file} can't be read: {reason}") from error
    except UnicodeDecodeError as error:
        line = stored.count(b"\n", 0, error.start) + 1
        raise DataError(f"{file}, line {line}: not UTF-8 text; save it as UTF-8") from error
    if not text.strip():
        raise DataError(f"{file} is empty; a file of predictions is needed")
    return text


def _json_entries(file: Path, text: str) -> list[Entry] | None:
    """Take the file apart, or give None where it is no JSON and no one says that it is."""
    suffix = _suffix(file)
    if suffix in (".jsonl", ".ndjson"):
        return list(_lines(file, text))
    if suffix != ".json" and text.lstrip()[0] not in "{[":
        return None
    try:
        document = _parse(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text.lstrip()[0] == "{":
            return list(_lines(file, text))
        if suffix != ".json":
            return None
        _refuse(f"{file}, line {error.lineno}, column {error.colno}", error)
    except (ValueError, RecursionError) as error:
        _refuse(str(file), error)
    if isinstance(document, list):
        return [(f"{file}, item {number}", None, row) for number, row in enumerate(document, 1)]
    if not isinstance(document, dict):
        raise DataError(f"{file} holds {_describe(document)}, where predictions by id are needed")
    if document.keys() >= OWN_SCORES:
        raise DataError(f"{file} holds scores of `aqa evaluate`, where predictions are needed")
    if _is_row(document):
        return [(str(file), None, document)]
    return [(f'{file}, id "{key}"', key, value) for key, value in document.items()]


def _lines(file: Path, text: str) -> Iterator[Entry]:
    lines = text.split("\n")
    is_journal = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{file}, line {number}"
        try:
            value = _parse(line)
        except (ValueError, RecursionError) as error:
            if is_journal and number == len(lines):  # cut off while it was being written
                return
            _refuse(f"{place}, column {getattr(error, 'colno', 1)}", error)
        is_journal = is_journal or _is_header(value)
        yield place, None, value


def _parse(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_constant)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f'the key "{twice}" stands twice in one object')
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _refuse(place: str, error: Exception) -> NoReturn:
    reason = getattr(error, "msg", str(error))
    if isinstance(error, json.JSONDecodeError) and (
        error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated")
    ):
        reason = "it ends too early"
    raise DataError(f"{place}: not valid JSON ({reason}); mend it there") from error


def _is_header(value: Any) -> bool:
    return isinstance(value, dict) and value.get("kind") == JOURNAL_KIND


def _is_row(value: Mapping[str, Any]) -> bool:
    return any(key in value for key in ID_KEYS) and any(key in value for key in PREDICTION_KEYS)


def _plain_lines(file: Path, text: str, ids: Sequence[str] | None) -> dict[str, AnsweredRow]:
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    if ids is None:
        raise DataError(
            f"{file} holds plain lines without ids; give the data with --data, in the same order"
        )
    if len(lines) != len(ids):
        raise DataError(
            f"{file} holds {len(lines)} lines but the data {len(ids)} examples; plain lines need "
            "one for each example, in the same order"
        )
    return {key: AnsweredRow(key, line) for key, line in zip(ids, lines, strict=True)}


def _row(place: str, key: str | None, value: Any) -> AnsweredRow:
    if not isinstance(value, dict):
        if key is None:
            raise DataError(f"{place}: {_describe(value)} where an object with an id is needed")
        return AnsweredRow(key, _text(place, value))
    name = _id(place, value) if key is None else key
    failed = value.get("error") not in (None, "", False)  # tables have "" where there is none
    found = next((column for column in PREDICTION_KEYS if column in value), None)
    if found is None and not failed:
        raise DataError(f"{place}: no prediction; it needs one of {', '.join(PREDICTION_KEYS)}")
    prediction = None if failed or found is None else _text(place, value[found])
    used = {*ID_KEYS, *PREDICTION_KEYS, "answer", "answers"}
    metadata = {column: item for column, item in value.items() if column not in used}
    return AnsweredRow(name, prediction, _answers(place, value), failed, metadata)


def _id(place: str, row: Mapping[str, Any]) -> str:
    found = next((row[column] for column in ID_KEYS if column in row), None)
    if isinstance(found, str) or type(found) is int:
        return str(found)
    raise DataError(f"{place}: the id is {_describe(found)}; a text is needed")


def _answers(place: str, row: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Take the references: a list of texts, SQuAD's {"text": [...]}, or else the one `answer`."""
    found = row.get("answer") if row.get("answers") is None else row["answers"]
    if isinstance(found, dict):
        found = found.get("text")
    if found is None:
        return None
    if isinstance(found, str):
        found = [found]
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise DataError(f"{place}: the references are {_describe(found)}; texts are needed")
    return tuple(found)


def _text(place: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise DataError(f"{place}: the answer is {_describe(value)}; write it as text, in quotes")
    return value


def _is_ours(name: str, value: object) -> bool:
    """Tell whether a fact of the evidence has the type that `aqa.runs.journal` writes it in."""
    if name in ("ranks", "gold_ranks"):
        return isinstance(value, list) and all(type(rank) is int for rank in value)
    if name == "ids":
        return isinstance(value, list) and all(isinstance(key, str | None) for key in value)
    if name == "dropped":
        return isinstance(value, dict)
    return type(value) is (bool if name == "gold_in_evidence" else int)


def _describe(value: Any) -> str:
    """Name what a JSON value is, for messages."""
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return kinds.get(type(value), "null" if value is None else f"the number {value!r:.40}")
