"""Readers and retrieval tools: DPR, FlashRAG, KILT, Haystack, LangChain, QuAC."""

from collections.abc import Iterator

from aqa.data.shape import (
    Row,
    UnreadableError,
    are_objects,
    as_object,
    shape,
    without,
)

LANGCHAIN_ANSWERS = ("result", "answer", "output_text")
LANGCHAIN_DOCUMENTS = ("source_documents", "context", "input_documents")


@shape("predictions", knows=lambda row: are_objects(row["predictions"], "prediction"))
def dpr(row: Row) -> Iterator[Row]:
    rest = without(row, "predictions")
    for each in row["predictions"]:
        said = each.get("prediction")
        text = as_object(said).get("text", said)
        yield {**rest, "top_k": each.get("top_k"), "prediction": text}


@shape("output", knows=lambda row: "pred" in as_object(row["output"]))
def flashrag(row: Row) -> Iterator[Row]:
    output = as_object(row.get("output"))
    rest = without(row, "output", "metadata")
    yield {**as_object(row.get("metadata")), **rest, "prediction": output.get("pred")}


@shape("output", knows=lambda row: are_objects(row["output"], "answer", "provenance"))
def kilt(row: Row) -> Iterator[Row]:
    answers = [each["answer"] for each in row["output"] if each.get("answer") is not None]
    if "meta" in row or len(set(map(str, answers))) > 1:
        raise UnreadableError("a question of KILT with its references; give the file as --data")
    yield {
        **without(row, "output", "input"),
        "question": row.get("input"),
        "prediction": answers[0] if answers else "",
    }


@shape("answers", knows=lambda row: are_objects(row["answers"], "score"))
def haystack(row: Row) -> Iterator[Row]:
    yield {**without(row, "answers"), "prediction": row["answers"]}


@shape(
    any_of=LANGCHAIN_ANSWERS,
    knows=lambda row: any(
        are_objects(row.get(name), "page_content") for name in LANGCHAIN_DOCUMENTS
    ),
)
def langchain(row: Row) -> Iterator[Row]:
    rest = without(row, *LANGCHAIN_DOCUMENTS, *LANGCHAIN_ANSWERS)
    answer = next(row[name] for name in LANGCHAIN_ANSWERS if name in row)
    yield {**rest, "prediction": answer}


@shape("query", "answer", "result", knows=lambda row: isinstance(row["result"], str))
def qa_chain(row: Row) -> Iterator[Row]:
    """Read a chain's result, beside which it repeats the question and reference that it got."""
    yield {**row, "answer": None, "reference": row["answer"], "prediction": row["result"]}


@shape("row_idx", "row", knows=lambda row: isinstance(row["row"], dict))
def of_the_hub(row: Row) -> Iterator[Row]:
    """Read a row as the hub's server returns it."""
    yield row["row"]


@shape("qid", "best_span_str", knows=lambda row: isinstance(row["qid"], list))
def quac(row: Row) -> Iterator[Row]:
    for key, text in zip(row["qid"], row["best_span_str"], strict=False):
        yield {"qid": key, "prediction": text}
