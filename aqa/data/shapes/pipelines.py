"""What pipelines answered, LangChain's and Haystack's, and instructions: Alpaca, Dolly."""

from aqa.data.shape import Row, Shape, are_objects, completed, lacks, without


def _generated(row: Row) -> tuple[str, ...]:
    """The columns that hold what a chain of LangChain's or a pipeline of Haystack's answered."""
    if "source_documents" in row or (
        "input" in row and are_objects(row.get("context"), "page_content")
    ):
        return ("answer", "result", "output_text")
    answers = row.get("answers")
    is_haystack = are_objects(answers, "score") and are_objects(answers, "answer", "data")
    return ("answers",) if is_haystack else ()


def _asks(row: Row, text: str, answer: str) -> bool:
    """Tell whether an instruction is a question about the text in a column."""
    question = row.get("instruction")
    given = row.get(text)
    return (
        isinstance(question, str)
        and question.rstrip().endswith("?")
        and isinstance(given, str)
        and bool(given.strip())
        and answer in row
        and lacks(without(row, "input"), "question")
    )


GENERATED = Shape(
    lambda row: bool(_generated(row)),
    lambda row: [without(row, *_generated(row))],
    ("source_documents", "context", "answers"),
)
ALPACA = Shape(
    lambda row: _asks(row, "input", "output"),
    lambda row: [
        completed(
            without(row, "instruction", "input"),
            question=row["instruction"],
            passages=row["input"],
        )
    ],
    ("instruction",),
)
DOLLY = Shape(
    lambda row: _asks(row, "context", "response"),
    lambda row: [
        completed(without(row, "instruction"), question=row["instruction"], answers=row["response"])
    ],
    ("instruction",),
)
