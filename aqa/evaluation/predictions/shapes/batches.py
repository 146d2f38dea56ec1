"""What the batch services of OpenAI, Anthropic and Gemini give back, a line for each request."""

from collections.abc import Iterator
from typing import Any

from aqa.evaluation.predictions.shape import Row, Shape, as_object
from aqa.evaluation.predictions.shapes.replies import reply_text


def _openai(row: Row) -> Iterator[Row]:
    response = as_object(row.get("response"))
    body = as_object(response.get("body"))
    yield _answered(row, body, row.get("error") or body.get("error"))


def _anthropic(row: Row) -> Iterator[Row]:
    result = as_object(row.get("result"))
    failure = None if result.get("type") == "succeeded" else result.get("error") or result
    yield _answered(row, as_object(result.get("message")), failure)


def _gemini(row: Row) -> Iterator[Row]:
    yield _answered(row, as_object(row.get("response")), row.get("error") or row.get("status"))


def _answered(row: Row, body: Row, error: Any) -> Row:
    """A plain row: a reply without text is a failure, too."""
    text = None if error else reply_text(body)
    kept = {name: row[name] for name in ("custom_id", "key") if name in row}
    if text is not None:
        return {**kept, "prediction": text}
    details = as_object(error)
    return {**kept, "prediction": None, "error": details.get("message") or error or "no text"}


OPENAI = Shape(
    lambda row: "custom_id" in row and isinstance(row.get("response", ""), dict | None),
    _openai,
)
ANTHROPIC = Shape(
    lambda row: "custom_id" in row and isinstance(row.get("result"), dict),
    _anthropic,
)
GEMINI = Shape(
    lambda row: "candidates" in as_object(row.get("response")),
    _gemini,
)
