"""The body of an answer as one object, also where a server streams what it was to send whole."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from aqa.backends.openai_api.replies import BadBodyError, joined_parts, reported

LINE_END = re.compile(r"\r\n|\r|\n")
STREAM = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:data|event|id|retry)?:")
KEPT = ("model", "usage", "service_tier")  # the last of each
DONE = "[DONE]"  # the last event of a stream of chat completions
WHOLE = ("response.completed", "response.incomplete", "response.failed")  # hold the whole response

Json = dict[str, Any]


def body_of(content: bytes) -> Json:
    """Read the body of an answer.

    Raises:
        ValueError, LookupError, TypeError or AttributeError: it is not what it seems to be.
        BadBodyError: it is a stream that breaks off.
    """
    if not STREAM.match(content):
        found: Any = json.loads(content)
        # Gemini puts its errors into a list.
        whole: Json = found[0] if isinstance(found, list) and len(found) == 1 else found
        return whole
    body: Json = {}
    done = False
    for event in _events(content.decode("utf-8-sig")):
        if event is None:
            done = True
        elif event.get("type") in WHOLE:
            return dict(event["response"])
        elif error := _error_of(event):
            return {"error": error}
        else:
            _add(body, event)
    if not done and not body.get("choices", [{}])[0].get("finish_reason"):
        raise BadBodyError("the server's stream broke off")
    return body


def in_utf8(content: bytes, charset: str | None) -> bytes:
    """An answer in UTF-8, as JSON has to be, where a server writes it as `charset`.

    That is believed of what is not UTF-8 alone: many servers name one that they don't use. Half a
    letter, which some models write at the end of their room, is replaced.
    """
    if json.detect_encoding(content) != "utf-8":
        return content
    try:
        content.decode()
    except UnicodeDecodeError:
        try:
            return content.decode(charset or "utf-8").encode()
        except (LookupError, ValueError):
            return content.decode(errors="replace").encode()
    return content


def _events(text: str) -> Iterator[Json | None]:
    """The events of a stream, None for its end; the lines of an event's data are one text."""
    kind, data = "", ""
    for line in [*LINE_END.split(text), ""]:
        name, _, value = line.partition(":")
        if name == "data":
            data += value + "\n"
        elif name == "event":
            kind = value.strip()
        elif not line:
            yield from _of_event(kind, data.strip())
            kind, data = "", ""


def _of_event(kind: str, data: str) -> Iterator[Json | None]:
    whole = _json_or_text(data)
    if kind == "error" and data:
        yield {"error": whole or data}
    elif isinstance(whole, dict):
        yield whole
    else:  # the end, or events with no blank lines between them
        for line in filter(str.strip, data.split("\n")):
            yield None if line.strip() == DONE else json.loads(line)


def _json_or_text(data: str) -> object:
    try:
        return json.loads(data)
    except ValueError:
        return data


def _error_of(event: Json) -> object:
    """The error that an event tells of, by whatever name: a server may end its stream with it."""
    is_piece = "choices" in event or event.get("type", "error") != "error"
    return event.get("error") if is_piece else reported(event)


def _add(body: Json, event: Json) -> None:
    """Add an event of a chat completion to what came before it."""
    body.update({name: event[name] for name in KEPT if event.get(name)})
    for piece in event.get("choices") or ():
        if piece.get("index", 0) != 0:
            continue
        (choice,) = body.setdefault("choices", [{"message": {}}])
        for name in ("finish_reason", "error"):
            choice[name] = piece.get(name) or choice.get(name)
        said = piece.get("delta") or piece.get("message") or {"content": piece.get("text")}
        _join(choice["message"], said)


def _join(message: Json, delta: Mapping[str, Any]) -> None:
    for name in ("content", "refusal", "reasoning_content", "reasoning"):
        if isinstance(text := joined_parts(delta.get(name)), str):
            message[name] = message.get(name, "") + text
