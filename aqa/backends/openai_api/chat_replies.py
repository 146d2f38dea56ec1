"""Chat completions: what an answer's body says, in whichever shape servers give it."""

from collections.abc import Mapping
from typing import Any

from aqa.backends.openai_api.logprobs import tokens_of_choice
from aqa.backends.openai_api.replies import (
    BROKEN_OFF,
    BadBodyError,
    ErrorInBodyError,
    Reply,
    Said,
    ending_of,
    error_text,
    joined_parts,
    make_reply,
    read_usage,
    reported,
    unread,
)
from aqa.backends.openai_api.schemas import ResponseSchema
from aqa.backends.openai_api.streams import body_of
from aqa.spent import Spent

# Where messages hold what a model thought before it answered.
THOUGHT = ("reasoning_content", "reasoning", "reasoning_details", "thinking", "thinking_blocks")

SAYING = ("message", "delta", "text", "finish_reason", "error")  # of a choice, any of them


def read_reply(content: bytes, schema: ResponseSchema | None = None) -> Reply:
    """Read the body of a chat completion, whose text has to be an object of the schema, if any.

    Raises:
        BadBodyError: it is not one, so that asking again may help.
    """
    try:
        body = body_of(content)
        names, model = ("prompt_tokens", "completion_tokens"), str(body.get("model") or "")
        spent = read_usage(body.get("usage"), names, "prompt_tokens_details")
        choices = body.get("choices") or [None]
        choice = next((own for own in choices if own and own.get("index") == 0), choices[0])
        if choice is None or not any(choice.get(name) for name in SAYING):
            return _without_choice(body, model, spent)
        ending = ending_of(choice.get("finish_reason"))
        error = choice.get("error") or body.get("error")
        if error and (ending in BROKEN_OFF or (not ending and error_text(error))):
            raise ErrorInBodyError(error)
        if ending in BROKEN_OFF:
            raise BadBodyError(f"the server broke off its answer ({ending})")
        said = _said(choice)
        if error and not said.text:
            raise ErrorInBodyError(error)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise unread(content, "a chat completion") from error
    return make_reply(said, body, spent, schema)


def _without_choice(body: Mapping[str, Any], model: str, spent: Spent | None) -> Reply:
    """The reply of a body that gives no choice of answers: it may be asked for again, at times."""
    if error := reported(body):
        raise ErrorInBodyError(error)
    if "choices" not in body:
        raise BadBodyError("the server's answer is not a chat completion")
    return Reply(None, "the server gave no answer (choices holds none)", model, spent, empty=True)


def _said(choice: Mapping[str, Any]) -> Said:
    """What a choice says: in a message, in the pieces of a stream, or as a bare text."""
    message = choice.get("message") or choice.get("delta")
    tokens, finish = tokens_of_choice(choice), choice.get("finish_reason")
    if message is None:
        return Said(choice.get("text"), ending=finish, tokens=tokens)
    content = message.get("content")
    refusal = message.get("refusal") or (
        joined_parts(content, "refusal") if isinstance(content, list) else None
    )
    thought = any(message.get(name) for name in THOUGHT)
    called = finish != "length" and (message.get("tool_calls") or message.get("function_call"))
    ending = "tool_calls" if called else finish
    return Said(joined_parts(content), refusal, ending, thought, tokens)
