"""Rows of named columns: which column is the id, the answer, the references, by its name."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from aqa.data import flags
from aqa.data.columns import Columns, composed, fold
from aqa.data.json_stream import describe
from aqa.data.literals import read_literal
from aqa.data.references import ALIASES, ReferenceReader
from aqa.errors import DataError
from aqa.evaluation.predictions.entries import Entry
from aqa.evaluation.predictions.fields import MISSING, Fields, look_up
from aqa.evaluation.predictions.named import ROWS, refuse
from aqa.evaluation.predictions.texts import as_text, list_columns

# Names as `fold` gives them, the likeliest first.
IDS = (
    "referenceexampleid", "id", "guid", "qid", "queryid", "questionid", "exampleid", "sampleid",
    "instanceid", "topicid", "qaid", "itemid", "recordid", "caseid", "testid", "customid", "uid",
    "uuid", "key", "name", "docid", "testidx", "idx", "index", "rowid", "number", "unnamed0", "",
)  # fmt: skip
SURE_IDS = {"id", "guid", "qid"}
JOINTS = ("_", "#", "-", ":", "/", " ", "")  # between a story's id and a turn, as people write them
TURN = f"id{JOINTS[0]}turn"
KEY = "(key)"  # the column of ids where rows are the members of an object
# Of an answer: each line goes before the next. A row that has two names of one line, with
# different texts, is refused.
ANSWERS = (
    ("predictedanswer",), ("predictiontext",), ("prediction",), ("finalanswer",),
    ("pred", "preds", "predict", "predicted", "predictions", "predictedtext", "predictedanswers",
     "predanswer", "predtext", "answerpred", "modelprediction", "예측", "예측답", "예측답변",
     "예측정답", "예상답변"),
    ("modelanswer", "modeloutput", "modelresponse", "systemoutput", "systemanswer", "generation",
     "generations", "generated", "generatedanswer", "generatedtext", "generatedtexts", "llmanswer",
     "llmoutput", "llmresponse", "actualoutput", "hypothesis", "completion", "response", "output",
     "outputs", "outputtext", "responsetext", "responses", "reply", "bestspanstr", "생성답변",
     "모델답변"),
    ("답변", "답"), ("answer",), ("answers",), ("text",), ("content",), ("result",),
)  # fmt: skip
SURE_ANSWERS = {name for names in ANSWERS[:4] for name in names}  # whatever stands beside them
REFERENCES = (
    "answers", "goldenanswers", "goldenanswer", "goldanswers", "goldanswer", "goldtext", "gold",
    "groundtruths", "groundtruth", "referenceanswers", "referenceanswer", "references", "reference",
    "expectedoutput", "expectedanswer", "expected", "correctanswers", "correctanswer", "ideal",
    "정답", "answer", "targets", "target", "labels", "label",
)  # fmt: skip
OF_A_TRACE = re.compile(r"^(?:inputs?|outputs?)\.")  # before columns of LangSmith and Azure
NOTHING = {*flags.NO, *flags.NOTHING, "<na>"}  # what an error is where there is none
REFERENCE_READER = ReferenceReader(Columns({"answers": "answers"}))  # wherever they were found
BESIDE_REFERENCES = (*ALIASES, "isimpossible")  # of data; "answerable" a system may say, too
OF_REFERENCES = (("answer",), ("answers",))  # lines of ANSWERS; by ids they are references, as ours
OF_REFERENCE_NAMES = {"answer", "answers"}
SURE_REFERENCES = {*REFERENCES} - {"answers", "answer", "targets", "target", "labels", "label"}
ANSWER_NAMES = {name for names in ANSWERS for name in names}
WEAK = {"answer", "answers", "output", "outputs", "text", "content", "result"}  # may be references
# Names of answers that nobody knows, such as "gpt4_answer", but not those of other things.
LIKE_ANSWERS = re.compile(
    r"(?!raw|full|long|original|human|prompt|true|real|ground|gold|gt|reference|expected|correct|target)"
    r".*(?:answer|response|output|prediction|reply|답변)"
)
USED = ("predictedanswer", "predictiontext", "prediction", "answer", "answers")
QUESTIONS = ("question", "query", "userinput", "questiontext", "질문", "input")
PROMPTS = ("prompt", "messages", "originprompt", "instruction", "inputtext")
OF_DATA = {"context", "contexts", "passages", "ctxs", "documents", "isimpossible"}
# "text" and the like are the answer only where no other column makes them part of a question.
AS_GOOD_AS_INPUT = {"text", "content", "result"}
OF_QUESTIONS = {*REFERENCES, *QUESTIONS, *OF_DATA, "title"}


@dataclass(frozen=True, slots=True)
class Found:
    """A prediction as its row gives it, before it is known which id joins it to the data.

    `ids` holds the values of the columns that may be it, the likeliest first. `prompt` is a text
    that should hold the question. `metadata` still holds the ids' columns.
    """

    place: str
    prediction: str | None
    ids: Mapping[str, str] = field(default_factory=dict)
    answers: tuple[str, ...] | None = None
    failed: bool = False
    question: str = ""
    prompt: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


def read_row(entry: Entry, row: Mapping[str, Any], fields: Fields) -> Found:
    """Take what counts of a row.

    Raises:
        DataError: it has no answer, or more than one.
    """
    place = entry.place
    by_name: dict[str, str] = {}
    for name in row:
        by_name.setdefault(fold(OF_A_TRACE.sub("", name)), name)
    failed = _says_something(row.get("error"))
    column, value = _answer(entry, row, by_name, fields)
    if column is None and not failed:
        _refuse_without_answer(entry, row, by_name)
    used = {column, *(by_name[name] for name in USED if name in by_name)}
    return Found(
        place=place,
        prediction=None if failed or column is None else as_text(place, value),
        ids=_ids(entry, row, by_name, fields),
        answers=_references(place, row, by_name, column),
        failed=failed,
        question=_text_in(row, by_name, QUESTIONS),
        prompt=_text_in(row, by_name, PROMPTS),
        metadata={name: _finite(item) for name, item in row.items() if name not in used},
    )


def _says_something(error: Any) -> bool:
    """Tell whether a value is an error, and not what tables have where there is none."""
    if isinstance(error, str):
        return error.strip().casefold() not in NOTHING
    return bool(error) and error == error


def _answer(
    entry: Entry, row: Mapping[str, Any], by_name: Mapping[str, str], fields: Fields
) -> tuple[str | None, Any]:
    """The column of the answer, and its value; None where there is no such column."""
    if fields.answers:
        return _named(entry, row, fields.answers)
    if _may_be_data(row, by_name):
        return None, None
    for names in ANSWERS:
        columns = [by_name[name] for name in names if name in by_name]
        if not AS_GOOD_AS_INPUT.isdisjoint(names) and OF_QUESTIONS & by_name.keys():
            continue
        if entry.key is not None and names in OF_REFERENCES:
            continue
        if any(row[column] != row[columns[0]] for column in columns[1:]):
            _refuse_two(entry, columns)
        if columns:
            _refuse_another(entry, row, by_name, columns[0])
            return columns[0], row[columns[0]]
    return None, None


def has_answer(row: Mapping[str, Any]) -> bool:
    """Tell whether a text stands under a name of its own for an answer, whatever is beside it."""
    return any(isinstance(row[name], str) and fold(name) in SURE_ANSWERS for name in row)


def _refuse_another(
    entry: Entry, row: Mapping[str, Any], by_name: Mapping[str, str], column: str
) -> None:
    """See that "answer" is not the reference of a question, beside what a system answered.

    Raises:
        DataError: another column may be the answer.
    """
    if fold(column) not in ("answer", "답변", "답") or not {*QUESTIONS} & by_name.keys():
        return
    for name, other in by_name.items():
        is_like = name == "text" or (LIKE_ANSWERS.fullmatch(name) and name not in REFERENCES)
        if is_like and isinstance(row[other], str) and row[other] != row[column]:
            _refuse_two(entry, [column, other])


def _refuse_two(entry: Entry, columns: Sequence[str]) -> NoReturn:
    raise DataError(
        f"{entry.place}: {' and '.join(columns)} may both be the answer; name the right one with"
        " --prediction-field answer=COLUMN"
    )


def _named(entry: Entry, row: Mapping[str, Any], paths: tuple[str, ...]) -> tuple[str, Any]:
    """The first of the columns that a user named, and its value."""
    for path in paths:
        if (value := look_up(row, path)) is not MISSING:
            return path, value
    raise DataError(
        f"{entry.place}: no column {' or '.join(paths)}; the columns are {list_columns(row)}"
    )


def _may_be_data(row: Mapping[str, Any], by_name: Mapping[str, str]) -> bool:
    """Tell whether a row's only answer may be its reference: it is one of data, with passages."""
    names = by_name.keys()
    if not ANSWER_NAMES & names <= WEAK or SURE_REFERENCES & names:
        return False
    if {"output", "outputs"} & names and OF_REFERENCE_NAMES & names:
        return False
    several = row.get(by_name.get("answers", ""))
    asks = "question" in names or "query" in names
    given = isinstance(several, dict) or (isinstance(several, list) and (len(several) != 1 or asks))
    return bool(OF_DATA & names) or (given and "answer" not in names)


def _refuse_without_answer(
    entry: Entry, row: Mapping[str, Any], by_name: Mapping[str, str]
) -> None:
    refuse(ROWS, row, f"{entry.place}: this is")
    columns = list_columns(row)
    problem = f"no answer among the columns {columns}; name the right one"
    is_data = ""
    if OF_REFERENCE_NAMES & by_name.keys():
        problem = f"no answer but what may be the reference, among the columns {columns}; name it"
        is_data = ", or give the file as --data if it is the data"
    raise DataError(f"{entry.place}: {problem} with --prediction-field answer=COLUMN{is_data}")


def _references(
    place: str, row: Mapping[str, Any], by_name: Mapping[str, str], answer: str | None
) -> tuple[str, ...] | None:
    """The references of the first column that holds some; a label may be a class instead."""
    for name in REFERENCES:
        column = by_name.get(name)
        if column is None or column == answer:
            continue
        value = read_literal(row[column], column, place)
        if name not in OF_REFERENCE_NAMES and not _holds_texts(value):
            continue
        facts = {own: row[by_name[own]] for own in BESIDE_REFERENCES if own in by_name}
        if (texts := REFERENCE_READER.read({**facts, "answers": value}, place).texts) is not None:
            return texts
    return None


def _holds_texts(value: Any) -> bool:
    listed = value if isinstance(value, list) else [value]
    return all(isinstance(item, str) for item in listed)


def _ids(
    entry: Entry, row: Mapping[str, Any], by_name: Mapping[str, str], fields: Fields
) -> dict[str, str]:
    """The values that may be the row's id, by column; one that is named is the only one."""
    if fields.ids:
        path, value = _named(entry, row, fields.ids)
        if (named := _as_id(value)) is None:
            _refuse_id(entry.place, path, value)
        return {path: named}
    found = {} if entry.key is None else {KEY: composed(entry.key)}
    for name in IDS:
        column = by_name.get(name)
        if column is not None and row[column] is not None:
            if (key := _as_id(row[column])) is not None:
                found[column] = key
            elif name in SURE_IDS:
                _refuse_id(entry.place, column, row[column])
    if "turnid" in by_name and "id" in by_name:  # of a conversation
        story, turn = found.get(by_name["id"]), row[by_name["turnid"]]
        found |= {f"id{joint}turn": f"{story}{joint}{turn}" for joint in JOINTS}
    return found


def _as_id(value: Any) -> str | None:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        return None
    return composed(value) if isinstance(value, str | int | float) else None


def _refuse_id(place: str, column: str, value: Any) -> NoReturn:
    raise DataError(f"{place}: the id in {column} is {describe(value)}; a text is needed")


def _text_in(row: Mapping[str, Any], by_name: Mapping[str, str], names: tuple[str, ...]) -> str:
    """The first text of the columns; of a chat, its last message from the user."""
    for name in names:
        value = row[by_name[name]] if name in by_name else None
        if isinstance(value, list):
            turns = [turn for turn in value if isinstance(turn, dict)]
            said = [turn.get("content") for turn in turns if turn.get("role") == "user"]
            value = said[-1] if said else None
        if isinstance(value, str) and value.strip():
            return value
    return ""


def _finite(value: Any) -> Any:
    """JSON of Python has NaN where there is nothing; ours has null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
