"""Split JSON documents, or answers in memory, into entries: one per prediction."""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aqa.data.columns import fold
from aqa.data.files import text_lines
from aqa.data.in_memory import plain
from aqa.data.json_stream import Entry, describe, read_values
from aqa.data.shape import are_objects, as_object, table_rows
from aqa.data.strict_json import one_line
from aqa.errors import DataError
from aqa.evaluation.predictions.answers import (
    ANSWER_NAMES,
    AS_GOOD_AS_INPUT,
    QUESTIONS,
    has_answer,
)
from aqa.evaluation.predictions.columns import IDS
from aqa.evaluation.predictions.unsupported import DOCUMENTS, refuse
from aqa.records import Prediction
from aqa.runs.files import filled
from aqa.runs.journal import JOURNAL_KIND

# Keys of the answers in documents that hold more than these, such as HotpotQA's "answer".
CONTAINERS = (
    "predictions", "preds", "prediction", "answer", "answers", "results", "samples", "testcases",
    "testrundata", "testresults", "records", "rows", "items", "examples", "data", "outputs",
    "responses", "evaluations", "instances", "details", "runs", "entries", "requeststates",
    "questions",
)  # fmt: skip
PREDICTED = {"predictions", "preds", "prediction", "results", "outputs", "responses"}
ASKED = ("question", "query", "userinput", "질문", "질의")
# Columns that say which question a row answers; a candidate, too, may have a name or a place.
OF_A_ROW = {*QUESTIONS, *(name for name in IDS if name.endswith(("id", "아이디", "번호")))} - {
    "docid", "rowid",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class NamedPredictions:
    """Predictions with an explicit name: a file, or answers in memory.

    Answers in memory are texts or `Prediction`s by id, a stream of `Prediction`s, or rows as in
    files.
    """

    name: str
    answers: Path | Mapping[Any, Any] | Iterable[Any]


def read_document(file: Path, is_json: bool, by_lines: bool) -> list[Entry] | None:
    """Read a JSON document, or concatenated values such as JSON Lines.

    None if it seems to be neither.

    Raises:
        DataError: `is_json`, but it can't be parsed.
    """
    entries: list[Entry] = []
    try:
        entries.extend(read_lines(file))
    except DataError:
        if is_json or (entries and isinstance(entries[0].value, dict)):
            raise
        return None  # plain text whose first line may happen to be JSON
    if len(entries) != 1 or (by_lines and isinstance(entries[0].value, dict)):
        return entries
    return members(file, entries[0].value)


def read_lines(file: Path) -> Iterator[Entry]:
    """Read values one after the other; of a journal without its header, or half a last line."""
    count, is_journal = 0, False
    try:
        for entry in read_values(file):
            count += 1
            if as_object(entry.value).get("kind") == JOURNAL_KIND:
                is_journal = True
            else:
                yield entry
    except DataError:
        lines, (_, last) = deque(enumerate(text_lines(file), 1), maxlen=1).pop()
        if not is_journal or lines > count + 1 or last.endswith("\n"):
            raise


def members(file: Path, document: Any) -> list[Entry]:
    """Return a document's predictions, each with its place; DataError if it has none."""
    if isinstance(document, list):
        return list(_items(str(file), document))
    if not isinstance(document, dict):
        raise DataError(f"{file} holds {describe(document)}, where predictions by id are needed")
    refuse(DOCUMENTS, document, f"{file} holds")
    rows = table_rows(document)
    if rows is not None and ("columns" in document or _is_row(document, alike=True)):
        return list(_items(str(file), rows))
    if rows is None and _is_row(document, alike=False):
        return [Entry(str(file), document)]
    inner = _container(document)
    if _asks_once(document, inner):
        return [Entry(str(file), document)]
    if inner is not None:
        _refuse_another(file, document, inner)
        return members(file, document[inner])
    return _keyed(str(file), document)


def keyed_by_ids(
    entries: Sequence[Entry], ids: Collection[str], questions: Collection[str]
) -> Sequence[Entry]:
    """Use ids of the data, where they are recognised, as the entries' keys.

    They may be paired with answers, or key objects with the answers of several systems (or the
    reverse); then each answer becomes an entry.
    """
    pairs = [entry.value for entry in entries]
    if all(isinstance(pair, list) and len(pair) == 2 and _is_simple(pair) for pair in pairs):
        are_keys = {str(key) for key, _ in pairs} & {*ids, *questions}
        return [Entry(e.place, e.value[1], str(e.value[0])) if are_keys else e for e in entries]
    values = [as_object(entry.value) for entry in entries]
    names = {name for value in values for name in value}
    is_plain = any(entry.key is None for entry in entries) or ANSWER_NAMES & {*map(fold, names)}
    if is_plain or not all(value and _is_simple(value.values()) for value in values):
        return entries
    by_id = not {entry.key for entry in entries}.isdisjoint(ids)
    kinds = {type(text) for value in values for text in value.values()}
    if kinds <= {int, float, bool} and (by_id or float in kinds):
        return entries  # such as the start and end of each answer, or scores
    of_ids, of_systems = (values, names) if by_id else (names, values)
    is_mixed = len(of_systems) > 1 and sum(map(len, values)) == len(of_ids)  # none overlap
    if by_id != names.isdisjoint(ids) or is_mixed:
        return entries
    key_column, name_column = ("id", "system") if by_id else ("system", "id")
    return [
        Entry(entry.place, {key_column: entry.key, name_column: name, "prediction": text})
        for entry, value in zip(entries, values, strict=True)
        for name, text in value.items()
    ]


def _is_simple(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str | int | float | None) for value in values)


def _items(place: str, listed: list[Any]) -> Iterator[Entry]:
    for number, value in enumerate(listed, 1):
        yield Entry(f"{place}, item {number}", value)


def _keyed(place: str, document: Mapping[str, Any]) -> list[Entry]:
    return [Entry(f'{place}, id "{one_line(key)}"', value, key) for key, value in document.items()]


def _is_row(document: Mapping[str, Any], alike: bool) -> bool:
    """Whether a document is one row, or columns of rows, judging by its keys."""
    names = {fold(key): value for key, value in document.items()}
    answers = [names[name] for name in ANSWER_NAMES & names.keys()]
    if not any(name in names for name in IDS[:-1]):
        listed = [value for value in answers if isinstance(value, list)]
        hold_rows = all(any(isinstance(item, dict) for item in value) for value in listed)
        return alike and len(document) > 1 and not hold_rows
    return any(alike or not isinstance(value, dict) for value in answers)


def _container(document: Mapping[str, Any]) -> str | None:
    """The key of the answers, preferably of a list; None if the keys are ids.

    A list of rows may have any key if it is the only one.
    """
    by_name = {fold(key): key for key in document}
    keys = [by_name[name] for name in CONTAINERS if name in by_name]
    for kind in (list, dict):
        for key in keys:
            if isinstance(document[key], kind) and document[key]:
                return key
    listed = [key for key, value in document.items() if _are_rows(value) or _are_rows([value])]
    return listed[0] if len(listed) == 1 and isinstance(document[listed[0]], list) else None


def _asks_once(document: Mapping[str, Any], inner: str | None) -> bool:
    """Whether a document without an id is a single question, and not one about all its rows."""
    if inner is None and ANSWER_NAMES.isdisjoint(map(fold, document)):
        return False
    asked = [name for name in document if fold(name) in ASKED]
    listed = None if inner is None else document[inner]
    are_parts = listed is None or (are_objects(listed) and not any(map(_is_answered, listed)))
    return bool(asked) and isinstance(document[asked[0]], str) and are_parts


def _is_answered(row: Mapping[str, Any]) -> bool:
    names = {*map(fold, row)}
    has_both = bool(names & OF_A_ROW and names & ANSWER_NAMES - AS_GOOD_AS_INPUT)
    return has_answer(row) or has_both or not names.isdisjoint(QUESTIONS)


def _refuse_another(file: Path, document: Mapping[str, Any], inner: str) -> None:
    """Raise DataError for a second list of answers, or dictionary of them: it would be lost."""
    texts = as_object(document[inner])
    for key, value in document.items():
        are_rows = are_objects(value) and all(map(has_answer, value))
        are_texts = fold(key) in PREDICTED and _are_alike(as_object(value), texts)
        if key != inner and (are_rows or are_texts):
            raise DataError(
                f'{file} has answers under "{inner}" and under "{key}"; write those to be scored'
                " into their own file"
            )


def _are_alike(texts: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Whether both hold a text for one id or more."""
    return any(isinstance(texts[key], str) for key in texts.keys() & others.keys())


def _are_rows(value: Any) -> bool:
    """Whether all items say what they answer, which candidates for an answer don't."""
    return are_objects(value) and all(OF_A_ROW & {*map(fold, item)} for item in value)


def entries_in_memory(name: str, predictions: Mapping[Any, Any] | Iterable[Any]) -> list[Entry]:
    """Return each prediction with its place for messages; DataError for unusable objects."""
    if isinstance(predictions, Mapping):
        plain = {str(key): _plain_row(value) for key, value in predictions.items()}
        are_named = any(isinstance(value, Prediction) for value in predictions.values())
        if are_named or _is_simple(plain.values()):
            return _keyed(name, plain)
        return members(Path(name), plain)
    if isinstance(predictions, str | bytes) or not isinstance(predictions, Iterable):
        raise DataError(
            f"{name}: {type(predictions).__name__} where a path, a mapping of ids to answers, or a"
            " stream of aqa.Prediction is needed"
        )
    return members(Path(name), [_plain_row(value) for value in predictions])


def _plain_row(value: Any) -> Any:
    """Convert a prediction to a row as in a run folder; leave anything else."""
    if isinstance(value, Prediction):
        parts = {name: getattr(value, name) for name in ("error", "confidence")}
        parts["confidence_kind"] = value.confidence_kind or None
        return {"id": value.id, "predicted_answer": value.text, **filled(parts)}
    return plain(value)
