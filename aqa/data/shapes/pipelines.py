"""Output of LangChain and Haystack pipelines, and instructions in the format of Alpaca."""

from collections.abc import Iterator

from aqa.data.shape import Row, are_objects, completed, lacks, shape, without


def _generated(row: Row) -> tuple[str, ...]:
    """The columns that hold the output of a LangChain chain or Haystack pipeline."""
    if "source_documents" in row or (
        "input" in row and are_objects(row.get("context"), "page_content")
    ):
        return ("answer", "result", "output_text")
    if "hallucination_labels" in row:  # RAGTruth
        return ("output",)
    answers = row.get("answers")
    is_haystack = are_objects(answers, "score") and are_objects(answers, "answer", "data")
    return ("answers",) if is_haystack else ()


def _asks(row: Row) -> bool:
    """Whether an instruction is a question about the text that is its input."""
    texts = [row["instruction"], row.get("input")]
    return (
        all(isinstance(text, str) and text.strip() for text in texts)
        and texts[0].rstrip().endswith("?")
        and lacks(without(row, "input"), "question")
    )


@shape(any_of=("source_documents", "context", "answers"), knows=lambda row: bool(_generated(row)))
def generated(row: Row) -> Iterator[Row]:
    yield without(row, *_generated(row))


@shape("instruction", "output", knows=_asks)
def alpaca(row: Row) -> Iterator[Row]:
    rest = without(row, "instruction", "input")
    yield completed(rest, question=row["instruction"], passages=row["input"])
