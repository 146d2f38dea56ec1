"""Output of LangChain and Haystack pipelines, and instruction data: Alpaca, Dolly."""

from collections.abc import Iterator

from aqa.data.columns import COLUMNS, first_called
from aqa.data.shape import Row, are_objects, as_object, completed, lacks, shape, without


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


_EXPECTED = {"expected", "expectedOutput", "expected_output", "reference_outputs"}


def _inputs_of(row: Row) -> Row:
    return as_object(row.get("input", row.get("inputs")))


def _asks(row: Row, text: str) -> bool:
    """Whether an instruction is a question about the text in a column."""
    question = row.get("instruction")
    value = row.get(text)
    return (
        isinstance(question, str)
        and question.rstrip().endswith("?")
        and isinstance(value, str)
        and bool(value.strip())
        and lacks(without(row, "input"), "question")
    )


@shape(
    any_of=("input", "inputs"),
    knows=lambda row: bool(_inputs_of(row)) and len(_EXPECTED & row.keys()) == 1,
)
def expected(row: Row) -> Iterator[Row]:
    """Read the expected output of tracing tools: Langfuse, Braintrust, Phoenix."""
    (name,) = _EXPECTED & row.keys()
    members = as_object(row[name])
    answers = row[name] if not members else first_called(members, COLUMNS["answers"])
    yield {**without(row, "input", "inputs", name), **_inputs_of(row), "answers": answers}


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
