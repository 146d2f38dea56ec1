"""Replies of servers, one per line: batches of OpenAI, Anthropic and Gemini, or plain replies."""

from collections.abc import Iterator

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

# How Anthropic says that there is no message.
FAILED = ("errored", "canceled", "expired")


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


def _is_batched(row: Row) -> bool:
    response = row.get("response", row.get("result"))
    if "custom_id" in row:
        return isinstance(response, dict) or ("response" in row and response is None)
    if not response:  # a failure of Gemini
        return "response" in row and "contents" in as_object(row.get("request"))
    return bool({"candidates", "promptFeedback"} & as_object(response).keys())


@shape(any_of=("response", "result"), knows=_is_batched)
def batched(row: Row) -> Iterator[Row]:
    """Read a reply in a batch of OpenAI, Anthropic or Gemini; one without text is a failure."""
    response = as_object(row.get("response", row.get("result")))
    body = as_object(response.get("body", response))
    _refuse_several(body)
    error = row.get("error") or body.get("error") or (body.get("type") in FAILED and body)
    text = None if error else reply_text(body)
    details = as_object(error)
    contents = as_object(row.get("request")).get("contents")
    turns = [as_object(turn) for turn in contents] if isinstance(contents, list) else []
    plain = {
        **{name: row[name] for name in ("custom_id", "key") if name in row},
        **({"prompt": reply_text(turns[-1])} if turns else {}),
        "prediction": text,
    }
    if text is None:
        plain["error"] = details.get("message") or error or row.get("status") or "no text"
    yield plain


def _refuse_several(body: Row) -> None:
    listed = as_objects(body.get("choices", body.get("candidates")))
    texts = {reply_text({"choices": [choice]}) for choice in listed}
    if len(texts) > 1:
        raise UnreadableError(
            f"a reply with {len(listed)} answers; name the one to take by its path, such as"
            " --prediction-field answer=response.body.choices.0.message.content"
        )


@shape("inputRecord", "modelResponses")
def bedrock(row: Row) -> Iterator[Row]:
    record = as_object(row["inputRecord"])
    yield {
        "prompt": record.get("prompt"),
        "reference": record.get("referenceResponse"),
        "prediction": [reply.get("response") for reply in as_objects(row["modelResponses"])],
    }


@shape(
    "sample",
    any_of=("datasource_item", "item"),
    knows=lambda row: bool({"output", "output_text"} & as_object(row["sample"]).keys()),
)
def eval_run(row: Row) -> Iterator[Row]:
    """Read OpenAI's evals, as returned by its API or passed to a grader."""
    item = as_object(row.get("datasource_item", row.get("item")))
    sample = as_object(row["sample"])
    yield {
        **without(item, "answer", "output"),
        "prompt": sample.get("input"),
        "prediction": sample.get("output") or sample.get("output_text"),
        "error": sample.get("error"),
    }


def _is_reply(row: Row) -> bool:
    if are_objects(row.get("candidates"), "content"):  # Gemini
        return True
    choices = row.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    by_assistant = as_object(row.get("message", row)).get("role") == "assistant"
    is_whole = by_assistant or row.get("object") == "response"
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
