"""Get an answer's text out of whatever a tool wraps it in."""

import math
from collections.abc import Mapping
from typing import Any

from aqa.data.columns import composed, fold
from aqa.data.json_stream import describe
from aqa.data.strict_json import one_line
from aqa.errors import DataError

# Where an object has its text; names are folded by `fold`.
TEXT_NAMES = (
    "text", "answer", "content", "value", "prediction", "output", "generatedtext", "continuation",
)  # fmt: skip
# Where a message has its text, including those of Bedrock and LlamaIndex.
TEXTS = ("content", "parts", "text", "generation", "outputText", "completion", "response")
MOST_COLUMNS = 20  # in messages
SCORE_NAMES = ("probability", "score", "confidence")


def list_columns(row: Mapping[str, Any]) -> str:
    """Format the names of a row's columns for a message."""
    names = ", ".join(map(one_line, list(row)[:MOST_COLUMNS])) or "(none)"
    return names + ", ..." * (len(row) > MOST_COLUMNS)


def as_text(place: str, value: Any) -> str | None:
    """Return the answer as text; None if there is none.

    A number becomes its digits. A list holds one answer, or several with scores, of which the
    best is used. An object has its text under one of TEXT_NAMES.

    Raises:
        DataError: it is anything else.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and math.isnan(value):
        raise DataError(
            f"{place}: the answer is NaN, which pandas makes of an empty cell; write an empty"
            ' answer as "", and none as null'
        )
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return composed(value)  # integers become 1.0 in a table with gaps
    if isinstance(value, dict):
        return as_text(place, _text_of(place, value))
    if isinstance(value, list):
        if all(isinstance(turn, dict) and "role" in turn for turn in value):
            value = value[-1:]  # the last turn of a chat
        if len(value) > 1:
            value = [_best_answer(place, value)]
        return as_text(place, value[0]) if value else ""
    raise DataError(f"{place}: the answer is {describe(value)}; write it as text, in quotes")


def _text_of(place: str, value: Mapping[str, Any]) -> Any:
    by_name = {fold(name): inner for name, inner in value.items()}
    if by_name.get("text") == "empty" and "startlogit" in by_name:
        return ""  # in Hugging Face's n-best lists, the candidate without a span
    texts = [by_name[name] for name in TEXT_NAMES if name in by_name]
    if texts and all(text == texts[0] for text in texts):
        return texts[0]
    if not texts and (text := reply_text(value)) is not None:
        return text
    raise DataError(
        f"{place}: the answer is an object with {list_columns(value)};"
        " name what to take with --prediction-field answer=COLUMN.NAME"
    )


def _best_answer(place: str, listed: list[Any]) -> Any:
    """Return the answer with the highest score, the first of equals."""
    items = [item for item in listed if isinstance(item, dict)]
    for name in SCORE_NAMES:
        values = [next((item[key] for key in item if fold(key) == name), None) for item in items]
        scores = [score for score in values if isinstance(score, int | float)]
        if len(scores) == len(listed):
            return items[scores.index(max(scores))]
    if all(item == listed[0] for item in listed):
        return listed[0]
    raise DataError(
        f"{place}: {len(listed)} answers without scores, where one is needed; name the one to take"
        " with --prediction-field, such as answer=COLUMN.0"
    )


def reply_text(body: Mapping[str, Any]) -> str | None:
    """Return the text of a reply: chat or plain completions, responses, messages, Gemini's content.

    None if it has no text: a refusal, a tool call, or reasoning only.
    """
    if isinstance(body.get("message"), dict):
        return _text_in(body["message"])
    for name in ("choices", "candidates", "outputs", "results"):
        listed = body.get(name)
        if isinstance(listed, list) and listed and isinstance(listed[0], dict):
            choices = {_choice_text(choice) for choice in listed if isinstance(choice, dict)}
            return choices.pop() if len(choices) == 1 else None
    output = body.get("output")
    if isinstance(output, list):
        messages = [item for item in output if isinstance(item, dict)]
        parts = [_text_in(item) for item in messages if item.get("type", "message") == "message"]
        texts = [text for text in parts if text is not None]
        return "".join(texts) if texts else None
    return _text_in(body)


def _choice_text(choice: Mapping[str, Any]) -> str | None:
    message = choice.get("message") or choice.get("content")
    return _text_in(message if isinstance(message, dict) else choice)


def _text_in(message: Mapping[str, Any]) -> str | None:
    """Join the text parts of a message, without reasoning."""
    for name in TEXTS:
        value = message.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, list):
            texts = [
                part["text"]
                for part in value
                if isinstance(part, dict)
                and isinstance(part.get("text"), str)
                and not part.get("thought")
                and part.get("type", "text") in ("text", "output_text")
            ]
            return "".join(texts) if texts else None
    return None
