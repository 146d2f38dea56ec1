"""Find the column of a row that holds the answer, by its name and the other columns."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NoReturn

from aqa.data.columns import COLUMNS, KOREAN_TEXTS, fold
from aqa.data.json_stream import Entry
from aqa.data.references import SURE
from aqa.data.shapes.unsupported import HEADERLESS
from aqa.errors import DataError
from aqa.evaluation.predictions.fields import Fields
from aqa.evaluation.predictions.texts import list_columns
from aqa.evaluation.predictions.unsupported import ROWS, refuse

# Names as folded by `fold`, the likeliest first.
# Earlier lines take precedence; a row with different texts under two names of one line is
# refused.
ANSWERS = (
    ("predictedanswer",), ("predictiontext",), ("prediction",),
    ("finalanswer", "finaloutput", "최종답변", "최종답"),
    ("pred", "preds", "predict", "predicted", "predictions", "predictedtext", "predictedanswers",
     "predanswer", "predtext", "answerpred", "modelprediction", "예측", "예측답", "예측답변",
     "예측정답", "예측값", "예측결과", "예상답변", "모델예측"),
    ("modelanswer", "modeloutput", "modelresponse", "systemoutput", "systemanswer", "generation",
     "generations", "generated", "generatedanswer", "generatedtext", "generatedtexts", "llmanswer",
     "llmoutput", "llmresponse", "actualoutput", "hypothesis", "completion", "completions",
     "response", "output", "outputs", "taskoutput", "agentresponse", "outputtext", "responsetext",
     "responses", "reply", "replies", "bestspanstr", "생성답변", "생성된답변", "생성결과",
     "모델답변", "모델응답", "모델출력", "시스템답변", "응답", "출력"),
    ("답변", "답"), ("answer",), ("answers",), ("text",), ("content",), ("result",),
)  # fmt: skip
SURE_ANSWERS = {name for names in ANSWERS[:4] for name in names}  # regardless of other columns
REFERENCES = (
    *SURE, "references", "gold", "goldtext", "expected", "ideal", "answers", "answer", "답변",
    "답", "targets", "target", "labels", "label",
)  # fmt: skip
# Lines of ANSWERS that, keyed by id, are references.
OF_REFERENCES = (("답변", "답"), ("answer",), ("answers",))
OF_REFERENCE_NAMES = {name for names in OF_REFERENCES for name in names}
SURE_REFERENCES = {*REFERENCES} - OF_REFERENCE_NAMES - {"targets", "target", "labels", "label"}
ANSWER_NAMES = {name for names in ANSWERS for name in names}
# These may be references.
WEAK = OF_REFERENCE_NAMES | {"output", "outputs", "출력", "text", "content", "result"}
# Names such as "gpt4_answer" that are not known but end like an answer.
LIKE_ANSWERS = re.compile(
    r"(?!raw|full|long|original|human|prompt|true|real|ground|gold|gt|reference|expected|correct|target|(?:has|is|no)answer)"
    r".*(?:answer|response|output|prediction|reply|답변)"
)
TAKEN_OUT = re.compile(
    r"(?:extracted|parsed|cleaned|normalized|processed|postprocessed|filtered|short)"
    r"(?:final)?(?:answer|response|output|prediction|pred|text)"
)
QUESTIONS = COLUMNS["question"]
OF_DATA = {"context", "contexts", "passages", "ctxs", "documents", "isimpossible", *KOREAN_TEXTS}
# "text" and the like are the answer only if no other column makes them part of a question.
AS_GOOD_AS_INPUT = {"text", "content", "result"}
OF_OUR_TABLE = {"text", "confidence", "error"}  # columns of `aqa.Predictions.to_frame`
OF_QUESTIONS = {*REFERENCES, *QUESTIONS, *OF_DATA, "title"}
# Prefixes of LangSmith, Azure and Opik, for the system's inputs and outputs.
OF_A_TRACE = re.compile(r"^(?:inputs?|outputs?|evaluation_task)\.")
ASKED = re.compile(r"^inputs?\.")


@lru_cache(1024)  # all rows of a file have the same names
def by_folded_name(columns: tuple[str, ...]) -> Mapping[str, str]:
    """Map folded names to a row's columns; of two with one name, the system's output wins."""
    by_name: dict[str, str] = {}
    for column in sorted(columns, key=_is_output, reverse=True):
        by_name.setdefault(fold(OF_A_TRACE.sub("", column)), column)
    return by_name


def _is_input(column: str) -> bool:
    """Whether a column is an input of the system, whatever its name."""
    return ASKED.match(column) is not None


def _is_output(column: str) -> bool:
    """Whether a column is an output of the system."""
    return OF_A_TRACE.match(column) is not None and not _is_input(column)


def find_answer(
    entry: Entry, row: Mapping[str, Any], by_name: Mapping[str, str], fields: Fields
) -> tuple[str | None, Any]:
    """Return the answer's column and value; None if there is no such column."""
    if fields.answers:
        return fields.take(entry.place, row, fields.answers)
    if _may_be_data(row, by_name):
        return None, None
    for names in ANSWERS:
        columns = [by_name[name] for name in names if name in by_name]
        columns = [column for column in columns if not _is_input(column)]
        may_be_input = OF_QUESTIONS & by_name.keys() and not by_name.keys() >= OF_OUR_TABLE
        if may_be_input and not AS_GOOD_AS_INPUT.isdisjoint(names):
            columns = [column for column in columns if _is_output(column)]
        if entry.key is not None and names in OF_REFERENCES:
            continue
        if any(row[column] != row[columns[0]] for column in columns[1:]):
            _refuse_two(entry, columns)
        if columns:
            _refuse_another(entry, row, by_name, columns[0])
            return columns[0], row[columns[0]]
    return None, None


def has_answer(row: Mapping[str, Any]) -> bool:
    """Whether a column is sure to be the answer, regardless of other columns."""
    return any(isinstance(row[name], str) and fold(name) in SURE_ANSWERS for name in row)


def _refuse_another(
    entry: Entry, row: Mapping[str, Any], by_name: Mapping[str, str], column: str
) -> None:
    """Raise DataError if "answer" may be a reference, or a reply the source of an answer."""
    may_be_reference = fold(column) in OF_REFERENCE_NAMES
    for name, other in by_name.items():
        if may_be_reference:
            is_text = name == "text" and {*QUESTIONS} & by_name.keys()
            is_like = is_text or (LIKE_ANSWERS.fullmatch(name) and name not in REFERENCES)
        else:
            is_like = TAKEN_OUT.fullmatch(name) and fold(column) not in SURE_ANSWERS
        if is_like and isinstance(row[other], str) and row[other] != row[column]:
            _refuse_two(entry, [column, other])


def _refuse_two(entry: Entry, columns: Sequence[str]) -> NoReturn:
    raise DataError(
        f"{entry.place}: {' and '.join(columns)} may both be the answer; name the right one with"
        " --prediction-field answer=COLUMN"
    )


def _may_be_data(row: Mapping[str, Any], by_name: Mapping[str, str]) -> bool:
    """Whether a row may be data, so that its only "answer" is a reference."""
    names = by_name.keys()
    if not ANSWER_NAMES & names <= WEAK or SURE_REFERENCES & names:
        return False
    if {"output", "outputs", "출력"} & names and OF_REFERENCE_NAMES & names:
        return False
    several = row.get(by_name.get("answers", ""))
    asks = "question" in names or "query" in names
    is_list = isinstance(several, list) and (len(several) != 1 or asks)
    of_data = {name for name in OF_DATA & names if not _is_output(by_name[name])}
    return bool(of_data) or ((is_list or isinstance(several, dict)) and "answer" not in names)


def refuse_without_answer(
    entry: Entry, row: Mapping[str, Any], by_name: Mapping[str, str]
) -> NoReturn:
    """Raise a DataError saying that a row has no answer, or what it is instead."""
    refuse(ROWS, row, f"{entry.place}: this is")
    if any(name.rstrip().endswith("?") for name in row):
        raise DataError(f"{entry.place}: no answer among the columns; {HEADERLESS}")
    columns = list_columns(row)
    problem = f"no answer among the columns {columns}; name the right one"
    is_data = ""
    if OF_REFERENCE_NAMES & by_name.keys():
        problem = f"no answer but what may be the reference, among the columns {columns}; name it"
        is_data = ", or give the file as --data if it is the data"
    raise DataError(f"{entry.place}: {problem} with --prediction-field answer=COLUMN{is_data}")
