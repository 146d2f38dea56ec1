"""Replies of servers, one per line: batches of OpenAI, Anthropic and Gemini, or plain replies."""

from collections.abc import Iterator
from typing import Any

from aqa.data.shape import (
    Row,
    UnreadableError,
    are_objects,
    as_object,
    as_objects,
    shape,
    unreadable,
    without,
)
from aqa.evaluation.predictions.texts import reply_text


@shape("custom_id", knows=lambda row: isinstance(row.get("response", ""), dict | None))
def openai(row: Row) -> Iterator[Row]:
    response = as_object(row.get("response"))
    body = as_object(response.get("body", response))
    yield _answered(row, body, row.get("error") or body.get("error"))


@shape("custom_id", "result", knows=lambda row: isinstance(row["result"], dict))
def anthropic(row: Row) -> Iterator[Row]:
    result = as_object(row.get("result"))
    failure = None if result.get("type") == "succeeded" else result.get("error") or result
    yield _answered(row, as_object(result.get("message")), failure)


@shape(
    "response",
    knows=lambda row: (
        bool({"candidates", "promptFeedback"} & as_object(row["response"]).keys())
        or (not row["response"] and "contents" in as_object(row.get("request")))  # a failure
    ),
)
def gemini(row: Row) -> Iterator[Row]:
    contents = as_object(row.get("request")).get("contents")
    asked = [as_object(turn) for turn in contents] if isinstance(contents, list) else []
    plain = _answered(row, as_object(row.get("response")), row.get("error") or row.get("status"))
    yield {**plain, "prompt": reply_text(asked[-1]) if asked else None}


def _answered(row: Row, body: Row, error: Any) -> Row:
    """Make a plain row; a reply without text is a failure."""
    _refuse_several(body)
    text = None if error else reply_text(body)
    kept = {name: row[name] for name in ("custom_id", "key") if name in row}
    if text is not None:
        return {**kept, "prediction": text}
    details = as_object(error)
    return {**kept, "prediction": None, "error": details.get("message") or error or "no text"}


def _refuse_several(body: Row) -> None:
    listed = as_objects(body.get("choices", body.get("candidates")))
    texts = {reply_text({"choices": [each]}) for each in listed}
    if len(texts) > 1:
        raise UnreadableError(
            f"a reply with {len(listed)} answers; name the one to take by its path, such as"
            " --prediction-field answer=response.body.choices.0.message.content"
        )


@shape("inputRecord", "modelResponses")
def bedrock(row: Row) -> Iterator[Row]:
    asked = as_object(row["inputRecord"])
    yield {
        "prompt": asked.get("prompt"),
        "reference": asked.get("referenceResponse"),
        "prediction": [each.get("response") for each in as_objects(row["modelResponses"])],
    }


@shape(
    "sample",
    any_of=("datasource_item", "item"),
    knows=lambda row: bool({"output", "output_text"} & as_object(row["sample"]).keys()),
)
def eval_run(row: Row) -> Iterator[Row]:
    """Read OpenAI's evals, as returned by its API or passed to a grader."""
    asked = as_object(row.get("datasource_item", row.get("item")))
    sample = as_object(row["sample"])
    yield {
        **without(asked, "answer", "output"),
        "prompt": sample.get("input"),
        "prediction": sample.get("output") or sample.get("output_text"),
        "error": sample.get("error"),
    }


def _is_streamed(row: Row) -> bool:
    of_ollama = row.get("done") is False and ("response" in row or "message" in row)
    of_llama_cpp = row.get("stop") is False and "content" in row
    of_openai = str(row.get("object")).endswith(".chunk")
    return of_ollama or of_llama_cpp or of_openai or isinstance(row.get("token"), dict)


streamed = unreadable(
    "a piece of a streamed reply; ask without streaming, or write each answer as one row",
    any_of=("done", "stop", "object", "token"),
    knows=_is_streamed,
)


def _is_reply(row: Row) -> bool:
    if are_objects(row.get("candidates"), "content"):  # Gemini
        return True
    choices = row.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    said = as_object(row.get("message", row)).get("role") == "assistant"
    is_whole = said or row.get("object") == "response"
    return is_whole or bool({"message", "text"} & as_object(first).keys())


@shape(any_of=("candidates", "choices", "message", "content", "output"), knows=_is_reply)
def reply(row: Row) -> Iterator[Row]:
    """Read a reply as the clients of OpenAI, Anthropic or Ollama return it."""
    _refuse_several(row)
    text = reply_text(row)
    yield {
        **without(row, "choices", "candidates", "message", "content", "output", "output_text"),
        **({"prediction": text} if text is not None else {"error": row.get("error") or "no text"}),
    }
