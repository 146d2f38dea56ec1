"""Parse the bodies of chat completions and responses, in all the forms that servers send.

A server may stream an answer that should have been sent whole.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from aqa.backends.openai_api.error_bodies import error_text, reported, status_in
from aqa.backends.openai_api.logprobs import tokens_of, tokens_of_choice
from aqa.backends.openai_api.replies import (
    BROKEN_OFF,
    BadBodyError,
    ErrorInBodyError,
    ForeignBodyError,
    RawReply,
    Reply,
    ending_of,
    joined_parts,
    make_reply,
    unread,
)
from aqa.backends.openai_api.schemas import ResponseSchema

# Fields of messages for what a model thought before it answered.
THOUGHT = ("reasoning_content", "reasoning", "reasoning_details", "thinking", "thinking_blocks")

SAYING = ("message", "delta", "text", "finish_reason", "error")  # a choice has at least one of them
LINE_END = re.compile(r"\r\n|\r|\n")
STREAM = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:data|event|id|retry)?:")
KEPT = ("model", "usage", "service_tier")  # the last of each
DONE = "[DONE]"  # the last event in a stream of chat completions
WHOLE = ("response.completed", "response.incomplete", "response.failed")  # have the whole response
TEXT_DELTA = "response.output_text.delta"

Json = dict[str, Any]


def _read(
    kind: str,
    parse: Callable[[Json], RawReply],
    content: bytes,
    schema: ResponseSchema | None = None,
) -> Reply:
    """Parse a body, whose text must match the schema, if any.

    Raises:
        BadBodyError: it is something else, or failed for a passing reason: asking again may help.
    """
    try:
        body = _body_of(content)
        raw = parse(body)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise unread(content, kind) from error
    return make_reply(raw, body, schema)


def _of_completion(body: Json) -> RawReply:
    choices = body.get("choices") or [None]
    numbered = (choice for choice in choices if choice and choice.get("index") == 0)
    choice = next(numbered, choices[0])
    if choice is None or not any(choice.get(name) for name in SAYING):
        if error := reported(body):
            raise ErrorInBodyError(error)
        # Gemini leaves them out if it blocks a prompt.
        if "choices" not in body and body.get("object") != "chat.completion":
            raise ForeignBodyError("a chat completion")
        return RawReply(failure="the server gave no answer (choices holds none)", empty=True)
    ending = ending_of(choice.get("finish_reason"))
    error = choice.get("error") or body.get("error")
    if error and (ending in BROKEN_OFF or (not ending and error_text(error))):
        raise ErrorInBodyError(error)
    if ending in BROKEN_OFF:
        raise BadBodyError(f"the server broke off its answer ({ending})")
    reply = _of_choice(choice)
    if error and not reply.text:
        raise ErrorInBodyError(error)
    return reply


def _of_choice(choice: Mapping[str, Any]) -> RawReply:
    """Read a choice's text from a message, from pieces of a stream, or from plain text."""
    message = choice.get("message") or choice.get("delta")
    tokens, finish = tokens_of_choice(choice), choice.get("finish_reason")
    if message is None:
        return RawReply(choice.get("text"), ending=finish, tokens=tokens)
    content = message.get("content")
    refusal = message.get("refusal") or (
        joined_parts(content, "refusal") if isinstance(content, list) else None
    )
    thought = any(message.get(name) for name in THOUGHT)
    called = finish != "length" and (message.get("tool_calls") or message.get("function_call"))
    ending = "tool_calls" if called else finish
    return RawReply(joined_parts(content), refusal, ending, thought, tokens)


def _of_response(body: Json) -> RawReply:
    status = body.get("status")
    failure = body.get("error") if "output" in body else reported(body)
    if failure and status not in ("completed", "incomplete"):
        # It concerns more than this question, or may pass.
        if "output" not in body or (status_in(failure) or 400) != 400:
            raise ErrorInBodyError(failure)
        return RawReply(failure=error_text(failure) or "the server failed")
    if "output" not in body:
        raise ForeignBodyError("a response")
    output = body["output"]
    if status not in ("completed", "incomplete", None):
        raise BadBodyError(f"the server's response is {status}, not completed")
    ending = (body.get("incomplete_details") or {}).get("reason")
    return _of_output(output, ending if status == "incomplete" else None)


def _of_output(output: Sequence[Mapping[str, Any]], ending: object) -> RawReply:
    """Read the messages of a response, except commentary, which is not meant for the user."""
    messages = [item for item in output if item.get("type") == "message"]
    contents = [message["content"] for message in messages if message.get("phase") != "commentary"]
    text = "".join(str(joined_parts(content) or "") for content in contents)
    listed = [content for content in contents if isinstance(content, list)]
    refusal = "".join(str(joined_parts(content, "refusal")) for content in listed)
    parts = [part for content in listed for part in content if isinstance(part, Mapping)]
    tokens = [token for part in parts for token in tokens_of(part.get("logprobs"))]
    thought = len(messages) < len(output) or (bool(messages) and not parts)
    if any(str(item.get("type")).endswith("_call") for item in output):
        ending = ending or "tool_calls"
    return RawReply(text, refusal, ending, thought, tuple(tokens))


def _body_of(content: bytes) -> Json:
    """Parse the body as one object; raises errors of many kinds if it is malformed."""
    if not STREAM.match(content):
        value: Any = json.loads(content)
        # Gemini puts its errors in a list.
        document: Json = value[0] if isinstance(value, list) and len(value) == 1 else value
        return document
    body: Json = {}
    text = ""
    done = False
    for event in _events(content.decode("utf-8-sig")):
        if event is None:
            done = True
        elif event.get("type") in WHOLE:
            return _completed(event["response"], text)
        elif event.get("type") == TEXT_DELTA:
            text += event["delta"]
        elif error := _error_of(event):
            return {"error": error}
        else:
            _add(body, event)
    if not done and not body.get("choices", [{}])[0].get("finish_reason"):
        raise BadBodyError("the server's stream broke off")
    return body


def _completed(response: Json, text: str) -> Json:
    """Return a streamed response; some servers send its text in pieces only, and no output."""
    if response.get("output") or not text:
        return dict(response)
    content = [{"type": "output_text", "text": text}]
    return {**response, "output": [{"type": "message", "content": content}]}


def in_utf8(content: bytes, charset: str | None) -> bytes:
    """Convert a reply to UTF-8, which JSON requires, if a server writes it as `charset`.

    The charset is ignored if the bytes are UTF-8: many servers name one that they don't use.
    Partial characters, which some models write at the end of their limit, are replaced.
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
    """Yield the events of a stream, None for its end; an event's data lines are joined."""
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
    try:
        event = json.loads(data)
    except ValueError:
        event = data
    if kind == "error" and data:
        yield {"error": event or data}
    elif isinstance(event, dict):
        yield event
    else:  # the end, or events without blank lines between them
        for line in filter(str.strip, data.split("\n")):
            yield None if line.strip() == DONE else json.loads(line)


def _error_of(event: Json) -> object:
    """Return the error in an event, whatever its name: a server may end its stream with one."""
    is_piece = "choices" in event or event.get("type", "error") != "error"
    error = event.get("error") if is_piece else reported(event)
    return error or _of_groq(event).get("error")


def _of_groq(event: Json) -> Json:
    """Return what Groq adds to the last event of a stream: usage, or why it ends."""
    added = event.get("x_groq")
    return added if isinstance(added, dict) else {}


def _add(body: Json, event: Json) -> None:
    for part in (_of_groq(event), event):
        body.update({name: part[name] for name in KEPT if part.get(name)})
    for piece in event.get("choices") or ():
        if piece.get("index", 0) != 0:
            continue
        (choice,) = body.setdefault("choices", [{"message": {}}])
        for name in ("finish_reason", "error"):
            choice[name] = piece.get(name) or choice.get(name)
        if isinstance(logprobs := piece.get("logprobs"), Mapping):
            for name, listed in logprobs.items():
                if isinstance(listed, list):
                    choice.setdefault("logprobs", {}).setdefault(name, []).extend(listed)
        delta = piece.get("delta") or piece.get("message") or {"content": piece.get("text")}
        _join(choice["message"], delta)


def _join(message: Json, delta: Mapping[str, Any]) -> None:
    for name in ("content", "refusal", "reasoning_content", "reasoning"):
        if isinstance(text := joined_parts(delta.get(name)), str):
            message[name] = message.get(name, "") + text


read_reply = partial(_read, "a chat completion", _of_completion)
read_response = partial(_read, "a response", _of_response)
