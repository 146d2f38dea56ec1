"""Readers and retrieval frameworks: DPR, FlashRAG, KILT, Haystack, LangChain, TREC RAG."""

from collections.abc import Iterator
from typing import Any

from aqa.evaluation.predictions.shape import NotAnswersError, Row, Shape, as_object


def _dpr(row: Row) -> Iterator[Row]:
    rest = {name: value for name, value in row.items() if name != "predictions"}
    for each in row["predictions"]:
        found = as_object(each.get("prediction"))
        yield {**rest, "top_k": each.get("top_k"), "prediction": found.get("text")}


def _flashrag(row: Row) -> Iterator[Row]:
    output = as_object(row.get("output"))
    rest = {name: value for name, value in row.items() if name not in ("output", "metadata")}
    yield {**as_object(row.get("metadata")), **rest, "prediction": output.get("pred")}


def _kilt(row: Row) -> Iterator[Row]:
    answers = [each["answer"] for each in row["output"] if each.get("answer") is not None]
    if "meta" in row or len(set(map(str, answers))) > 1:
        raise NotAnswersError("a question of KILT with its references; give the file as --data")
    yield {
        **{name: value for name, value in row.items() if name not in ("output", "input")},
        "question": row.get("input"),
        "prediction": answers[0] if answers else "",
    }


def _haystack(row: Row) -> Iterator[Row]:
    rest = {name: value for name, value in row.items() if name != "answers"}
    yield {**rest, "prediction": row["answers"]}


def _langchain(row: Row) -> Iterator[Row]:
    used = (*LANGCHAIN_DOCUMENTS, *LANGCHAIN_ANSWERS)
    rest = {name: value for name, value in row.items() if name not in used}
    answer = next(row[name] for name in LANGCHAIN_ANSWERS if name in row)
    yield {**rest, "prediction": answer}


def _trec_rag(row: Row) -> Iterator[Row]:
    rest = {name: value for name, value in row.items() if name not in ("answer", "references")}
    sentences = [str(each.get("text") or "").strip() for each in row["answer"]]
    yield {**as_object(row.get("metadata")), **rest, "prediction": " ".join(sentences).strip()}


def _objects(value: Any, *columns: str) -> bool:
    """Tell whether it is a list of objects, not empty, that have one of the columns each."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(each, dict) and any(name in each for name in columns) for each in value)
    )


LANGCHAIN_ANSWERS = ("result", "answer", "output_text")
LANGCHAIN_DOCUMENTS = ("source_documents", "context", "input_documents")

DPR = Shape(
    lambda row: _objects(row.get("predictions"), "prediction"),
    _dpr,
)
FLASHRAG = Shape(
    lambda row: "pred" in as_object(row.get("output")),
    _flashrag,
)
KILT = Shape(
    lambda row: _objects(row.get("output"), "answer", "provenance"),
    _kilt,
)
HAYSTACK = Shape(
    lambda row: _objects(row.get("answers"), "score"),
    _haystack,
)
LANGCHAIN = Shape(
    lambda row: (
        any(_objects(row.get(name), "page_content") for name in LANGCHAIN_DOCUMENTS)
        and any(name in row for name in LANGCHAIN_ANSWERS)
    ),
    _langchain,
)
TREC_RAG = Shape(
    lambda row: _objects(row.get("answer"), "citations"),
    _trec_rag,
)
