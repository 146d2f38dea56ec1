"""Read rows with named columns: the answer, its id, question and references."""

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from aqa.data.columns import KOREAN_IDS, Columns, composed, fold
from aqa.data.json_stream import Entry, describe
from aqa.data.literals import NO, NOTHING, read_literal
from aqa.data.references import ALIASES, ReferenceReader
from aqa.errors import DataError
from aqa.evaluation.predictions.answered_row import AnsweredRow
from aqa.evaluation.predictions.answers import (
    OF_QUESTIONS,
    OF_REFERENCE_NAMES,
    QUESTIONS,
    REFERENCES,
    SURE_ANSWERS,
    by_folded_name,
    find_answer,
    refuse_without_answer,
)
from aqa.evaluation.predictions.fields import Fields
from aqa.evaluation.predictions.texts import as_text

# Names as folded by `fold`, the likeliest first.
IDS = (
    "referenceexampleid", "id", "guid", "qid", "queryid", "questionid", "exampleid", "sampleid",
    "instanceid", "topicid", "narrativeid", "qaid", "itemid", "recordid", "caseid", "testid",
    "customid", "interactionid", "uid", "uuid", "key", "name", "docid", "testidx", "idx", "index",
    "rowid", "number", *KOREAN_IDS, "unnamed0", "indexlevel0", "",
)  # fmt: skip
SURE_IDS = {"id", "guid", "qid"}
JOINTS = ("_", "#", "-", ":", "/", " ", "")  # between a story's id and a turn
WRITTEN = re.compile(r"\s*(\[.*\]|\{'.*\})\s*", re.DOTALL)
TURN = f"id{JOINTS[0]}turn"
KEY = "(key)"  # the column of ids if rows are the members of an object
NO_ERROR = {*NO, *NOTHING, "<na>"}
REFERENCE_READER = ReferenceReader(Columns({"answers": "answers"}))  # for any column
VERDICTS = {"pass", "fail", "correct", "incorrect", "supported", "unsupported", "hallucinated"}
BESIDE_REFERENCES = (*ALIASES, "isimpossible")  # in data; a system may have "answerable", too
USED = ("predictedanswer", "predictiontext", "prediction", "answer", "answers")
PROMPTS = ("prompt", "messages", "originprompt", "instruction", "inputtext")
NO_ANSWERS = {*OF_QUESTIONS, *IDS, *PROMPTS}


@dataclass(frozen=True, slots=True)
class Unjoined:
    """A prediction as its row has it, before the id that joins it to the data is known.

    `answered` has no id yet, and its metadata still include the id columns. `ids` holds the
    possible ids by column, the likeliest first. `prompt` is a text that should contain the
    question.
    """

    place: str
    answered: AnsweredRow
    ids: Mapping[str, str] = field(default_factory=dict)
    question: str = ""
    prompt: str = ""


def read_row(entry: Entry, row: Mapping[str, Any], fields: Fields) -> Unjoined:
    """Read the relevant parts of a row; DataError if it has no answer or more than one."""
    place = entry.place
    by_name = by_folded_name(tuple(row))
    failed = _says_something(row.get("error"))
    column, value = find_answer(entry, row, by_name, fields)
    if column is None and not failed:
        refuse_without_answer(entry, row, by_name)
    used = {column, *(by_name[name] for name in USED if name in by_name)}
    answered = AnsweredRow(
        id="",
        prediction=None if failed or column is None else as_text(place, value),
        answers=_references(place, row, by_name, column),
        failed=failed,
        metadata={name: _value(name, item) for name, item in row.items() if name not in used},
        column=None if fields.answers or fold(column or "") in SURE_ANSWERS else column or "",
    )
    question, prompt = (_text_in(row, by_name, names) for names in (QUESTIONS, PROMPTS))
    return Unjoined(place, answered, _ids(entry, row, by_name, fields), question, prompt)


def unlisted(rows: list[Unjoined]) -> list[Unjoined]:
    """Unwrap answers that a table's program wrote, all of them, as lists of one or as objects."""
    texts = [row.answered.prediction for row in rows if row.answered.prediction]
    if not texts or not all(map(WRITTEN.fullmatch, texts)):
        return rows
    values = [read_literal(row.answered.prediction or "", "the answer", row.place) for row in rows]
    values = [item[0] if isinstance(item, list) and len(item) == 1 else item for item in values]
    if not all(isinstance(value, str | dict) for value in values):
        return rows
    return [
        replace(row, answered=replace(row.answered, prediction=as_text(row.place, value)))
        if row.answered.prediction
        else row
        for row, value in zip(rows, values, strict=True)
    ]


def _says_something(error: Any) -> bool:
    """Whether an error column holds an error, rather than a table's placeholder for none."""
    if isinstance(error, str):
        return error.strip().casefold() not in NO_ERROR
    return bool(error) and error == error


def _references(
    place: str, row: Mapping[str, Any], by_name: Mapping[str, str], answer: str | None
) -> tuple[str, ...] | None:
    """Return the references of the first column with any; a label may be a class instead."""
    for name in REFERENCES:
        column = by_name.get(name)
        if column is None or column == answer:
            continue
        value = read_literal(row[column], column, place)
        if name not in OF_REFERENCE_NAMES and not _holds_texts(value):
            continue
        if name == "label" and str(value).casefold() in VERDICTS:
            continue
        facts = {key: row[by_name[key]] for key in BESIDE_REFERENCES if key in by_name}
        if (texts := REFERENCE_READER.read({**facts, "answers": value}, place).texts) is not None:
            return texts
    return None


def _holds_texts(value: Any) -> bool:
    listed = value if isinstance(value, list) else [value]
    return all(isinstance(item, str) for item in listed)


def _ids(
    entry: Entry, row: Mapping[str, Any], by_name: Mapping[str, str], fields: Fields
) -> dict[str, str]:
    """Return the possible ids by column; a named column is the only one."""
    if fields.ids:
        path, value = fields.take(entry.place, row, fields.ids)
        if (named := _as_id(value)) is None:
            _refuse_id(entry.place, path, value)
        return {path: named}
    ids = {} if entry.key is None else {KEY: composed(entry.key)}
    for name in IDS:
        column = by_name.get(name)
        if column is not None and row[column] is not None:
            if (key := _as_id(row[column])) is not None:
                ids[column] = key
            elif name in SURE_IDS:
                _refuse_id(entry.place, column, row[column])
    if "turnid" in by_name and "id" in by_name:  # a conversation
        story, turn = ids.get(by_name["id"]), row[by_name["turnid"]]
        ids |= {f"id{joint}turn": f"{story}{joint}{turn}" for joint in JOINTS}
    return ids


def _as_id(value: Any) -> str | None:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        return None
    return composed(value) if isinstance(value, str | int | float) else None


def _refuse_id(place: str, column: str, value: Any) -> NoReturn:
    raise DataError(f"{place}: the id in {column} is {describe(value)}; a text is needed")


def _text_in(row: Mapping[str, Any], by_name: Mapping[str, str], names: tuple[str, ...]) -> str:
    """Return the first text in the columns; of a chat, the last user message."""
    for name in names:
        value = row[by_name[name]] if name in by_name else None
        if isinstance(value, list):
            turns = [turn for turn in value if isinstance(turn, dict)]
            texts = [turn.get("content") for turn in turns if turn.get("role") == "user"]
            value = texts[-1] if texts else None
        if isinstance(value, str) and value.strip():
            return value
    return ""


def _value(name: str, value: Any) -> Any:
    """Read the number in a CSV's text, and null where Python's JSON has NaN."""
    if name == "confidence" and isinstance(value, str):
        with suppress(ValueError):
            value = float(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
