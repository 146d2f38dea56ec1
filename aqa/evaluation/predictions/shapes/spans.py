"""Answers that are spans of a document: Natural Questions, QuAC."""

from collections.abc import Iterator

from aqa.data.shape import Row, UnreadableError, shape


@shape("example_id", "short_answers")
def natural_questions(row: Row) -> Iterator[Row]:
    listed = row["short_answers"]
    spans = [span for span in listed if isinstance(span, dict)] if isinstance(listed, list) else []
    texts = [span.get("text") for span in spans]
    said = str(row.get("yes_no_answer") or "NONE").casefold()
    if said in ("yes", "no"):
        texts = [said]
    elif any(not isinstance(text, str) for text in texts):
        raise UnreadableError(
            "an answer of Natural Questions by the places of its tokens; write each short answer's"
            ' text beside its id, as {"example_id": ..., "prediction": ...}'
        )
    yield {"example_id": row["example_id"], "prediction": " ".join(map(str, texts))}


@shape("qid", "best_span_str", knows=lambda row: isinstance(row["qid"], list))
def quac(row: Row) -> Iterator[Row]:
    for key, text in zip(row["qid"], row["best_span_str"], strict=False):
        yield {"qid": key, "prediction": text}
