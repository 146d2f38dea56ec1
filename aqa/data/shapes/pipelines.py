"""What pipelines answered, LangChain's and Haystack's, and instructions: Alpaca, Dolly."""

from collections.abc import Iterator

from aqa.data.shape import Row, are_objects, completed, lacks, shape, without


def _generated(row: Row) -> tuple[str, ...]:
    """The columns that hold what a chain of LangChain's or a pipeline of Haystack's answered."""
    if "source_documents" in row or (
        "input" in row and are_objects(row.get("context"), "page_content")
    ):
        return ("answer", "result", "output_text")
    answers = row.get("answers")
    is_haystack = are_objects(answers, "score") and are_objects(answers, "answer", "data")
    return ("answers",) if is_haystack else ()


def _asks(row: Row, text: str) -> bool:
    """Tell whether an instruction is a question about the text in a column."""
    question = row.get("instruction")
    given = row.get(text)
    return (
        isinstance(question, str)
        and question.rstrip().endswith("?")
        and isinstance(given, str)
        and bool(given.strip())
        and lacks(without(row, "input"), "question")
    )


@shape(any_of=("source_documents", "context", "answers"), knows=lambda row: bool(_generated(row)))
def generated(row: Row) -> Iterator[Row]:
    yield without(row, *_generated(row))


@shape("instruction", "output", knows=lambda row: _asks(row, "input"))
def alpaca(row: Row) -> Iterator[Row]:
    rest = without(row, "instruction", "input")
    yield completed(rest, question=row["instruction"], passages=row["input"])


@shape("instruction", "response", knows=lambda row: _asks(row, "context"))
def dolly(row: Row) -> Iterator[Row]:
    rest = without(row, "instruction")
    yield completed(rest, question=row["instruction"], answers=row["response"])
