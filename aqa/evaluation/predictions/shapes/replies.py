"""Find the text in a model server's reply, for all common protocols."""

from collections.abc import Mapping
from typing import Any

# Where a message has its text, including those of Bedrock and LlamaIndex.
TEXTS = ("content", "parts", "text", "generation", "outputText", "completion", "response")


def reply_text(body: Mapping[str, Any]) -> str | None:
    """Return the text of a reply: chat or plain completions, responses, messages, Gemini's content.

    None if it has no text: a refusal, a tool call, or reasoning only.
    """
    if isinstance(body.get("message"), dict):
        return _joined(body["message"])
    for name in ("choices", "candidates", "outputs", "results"):
        listed = body.get(name)
        if isinstance(listed, list) and listed and isinstance(listed[0], dict):
            choices = {_text_of(each) for each in listed if isinstance(each, dict)}
            return choices.pop() if len(choices) == 1 else None
    output = body.get("output")
    if isinstance(output, list):
        messages = [item for item in output if isinstance(item, dict)]
        said = [_joined(item) for item in messages if item.get("type", "message") == "message"]
        texts = [text for text in said if text is not None]
        return "".join(texts) if texts else None
    return _joined(body)


def _text_of(choice: Mapping[str, Any]) -> str | None:
    message = choice.get("message") or choice.get("content")
    return _joined(message if isinstance(message, dict) else choice)


def _joined(message: Mapping[str, Any]) -> str | None:
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
