"""Readers and retrieval tools: DPR, FlashRAG, KILT, Haystack, LangChain, BioASQ, NQ, QuAC."""

from collections.abc import Iterator

from aqa.data.shape import (
    Row,
    UnreadableError,
    are_objects,
    as_object,
    as_objects,
    joined,
    shape,
    without,
)

BIOASQ_COLUMNS = {
    "id", "type", "body", "documents", "snippets", "concepts", "triples", "exact_answer",
    "ideal_answer",
}  # fmt: skip
LANGCHAIN_ANSWERS = ("result", "answer", "output_text")
LANGCHAIN_DOCUMENTS = ("source_documents", "context", "input_documents")


@shape("predictions", knows=lambda row: are_objects(row["predictions"], "prediction"))
def dpr(row: Row) -> Iterator[Row]:
    rest = without(row, "predictions")
    for candidate in row["predictions"]:
        answer = candidate.get("prediction")
        text = as_object(answer).get("text", answer)
        yield {**rest, "top_k": candidate.get("top_k"), "prediction": text}


@shape("output", knows=lambda row: "pred" in as_object(row["output"]))
def flashrag(row: Row) -> Iterator[Row]:
    output = as_object(row.get("output"))
    rest = without(row, "output", "metadata")
    yield {**as_object(row.get("metadata")), **rest, "prediction": output.get("pred")}


@shape("output", knows=lambda row: are_objects(row["output"], "answer", "provenance"))
def kilt(row: Row) -> Iterator[Row]:
    answers = [answer["answer"] for answer in row["output"] if answer.get("answer") is not None]
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


def _sentences(row: Row) -> object:
    return row.get("answer", row.get("responses"))


@shape(any_of=("answer", "responses"), knows=lambda row: are_objects(_sentences(row), "citations"))
def trec_rag(row: Row) -> Iterator[Row]:
    """Read sentences with citations, as RAGTIME has them, too."""
    rest = without(row, "answer", "responses", "references")
    texts = [str(part.get("text") or "").strip() for part in as_objects(_sentences(row))]
    yield {**as_object(row.get("metadata")), **rest, "prediction": " ".join(texts).strip()}


@shape(
    "id", any_of=("exact_answer", "ideal_answer"), knows=lambda row: row.keys() <= BIOASQ_COLUMNS
)
def bioasq(row: Row) -> Iterator[Row]:
    exact = row.get("exact_answer")
    if isinstance(exact, list):  # candidates with synonyms; for type "list", all of them count
        texts = [item[0] if isinstance(item, list) and item else item for item in exact]
        exact = joined(texts) if row.get("type") == "list" else texts[:1]
    answer = row.get("ideal_answer") if exact is None else exact
    yield {"id": row["id"], "question": row.get("body"), "prediction": answer}


@shape("query", "answer", "result", knows=lambda row: isinstance(row["result"], str))
def qa_chain(row: Row) -> Iterator[Row]:
    """Read a chain's result, beside which it repeats the question and reference that it got."""
    yield {**row, "answer": None, "reference": row["answer"], "prediction": row["result"]}


@shape("row_idx", "row", knows=lambda row: isinstance(row["row"], dict))
def of_the_hub(row: Row) -> Iterator[Row]:
    """Read a row as the hub's server returns it."""
    yield row["row"]


@shape("example_id", "short_answers")
def natural_questions(row: Row) -> Iterator[Row]:
    listed = row["short_answers"]
    spans = [span for span in listed if isinstance(span, dict)] if isinstance(listed, list) else []
    texts = [span.get("text") for span in spans]
    verdict = str(row.get("yes_no_answer") or "NONE").casefold()
    if verdict in ("yes", "no"):
        texts = [verdict]
    elif any(not isinstance(text, str) for text in texts):
        raise UnreadableError(
            "an answer of Natural Questions as positions of tokens; write each short answer's text"
            ' with its id, as {"example_id": ..., "prediction": ...}'
        )
    yield {"example_id": row["example_id"], "prediction": " ".join(map(str, texts))}


@shape("qid", "best_span_str", knows=lambda row: isinstance(row["qid"], list))
def quac(row: Row) -> Iterator[Row]:
    for key, text in zip(row["qid"], row["best_span_str"], strict=False):
        yield {"qid": key, "prediction": text}
