"""Chat completions: the body of a request, what a model is known to refuse, and its answer."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aqa.backend_options import Gpt4Options
from aqa.options import GenerationOptions
from aqa.records import Message, Spent, StructuredAnswer
from aqa.response_schemas import BadObjectError, ResponseSchema

# Models that think before they answer refuse what would sample otherwise.
FIXED_SAMPLING = re.compile(r"(?:^|/)(?:o\d|gpt-5(?!.*chat))")
SCHEMA = re.compile(r"response_format|json_schema|structured[ _]output", re.IGNORECASE)
OPTIONAL = ("temperature", "top_p", "seed", "reasoning_effort")


class BadBodyError(Exception):
    """A server's body is no answer: cut off, not JSON, or without what it must hold."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered: a text, or the reason why there is none, and what it counted.

    `spent` has no cost yet; None where the server counts nothing. `structured` is what counts in
    an object of a schema; `misfit` tells that the text is none, though it should be one.
    """

    text: str | None
    error: str | None
    model: str
    spent: Spent | None
    structured: StructuredAnswer | None = None
    misfit: bool = False


class Parameters:
    """The parameters of every request; what the model refuses is learnt once and left out."""

    def __init__(
        self,
        options: Gpt4Options,
        generation: GenerationOptions,
        seed: int,
        openai: bool,
        schema: ResponseSchema | None = None,
    ) -> None:
        self.schema = schema
        self._limit_name = "max_completion_tokens" if openai else "max_tokens"
        self._values: dict[str, Any] = {"model": options.model, "seed": seed}
        self._limit = generation.max_new_tokens
        if not FIXED_SAMPLING.search(options.model):
            self._values["temperature"] = generation.temperature
            if generation.top_p < 1:
                self._values["top_p"] = generation.top_p
        if options.reasoning_effort is not None:
            self._values["reasoning_effort"] = options.reasoning_effort
        self._takes_system = True

    def body(self, messages: Sequence[Message]) -> dict[str, Any]:
        """The whole request as plain values."""
        if not self._takes_system:
            messages = _without_system(messages)
        turns = [{"role": turn.role, "content": turn.content} for turn in messages]
        body = {**self._values, self._limit_name: self._limit, "messages": turns}
        if self.schema is not None:
            named = {"name": self.schema.name, "schema": dict(self.schema.json_schema)}
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {**named, "strict": True},
            }
        return body

    def refuses_schema(self, param: str | None, message: str) -> bool:
        """See whether an error is about the answers' schema, which can't be done without."""
        return self.schema is not None and bool(SCHEMA.search(f"{param or ''} {message}"))

    def learn(self, body: dict[str, Any], param: str | None, message: str) -> str | None:
        """See whether an error is about a parameter; if so, do without it and say so.

        `body` is what was refused: if it was learnt meanwhile, nothing is left to learn, and the
        request can be made again ("" is returned).
        """
        text = f"{param or ''} {message}"
        if self._limit_name in body and re.search(r"\bmax_(completion_)?tokens\b", text):
            others = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
            other = others[self._limit_name]
            # An error about the value, not the name, names no other one.
            if (param == self._limit_name and "unsupported" in text.lower()) or other in text:
                self._limit_name = other
                return f"the model takes {other}, which is sent from now on"
        elif re.search(r"\bmax_(completion_)?tokens\b", text) and self._limit_name not in body:
            return ""
        for name in OPTIONAL:
            if name in body and (param == name or (param is None and f"'{name}'" in message)):
                if self._values.pop(name, None) is None:
                    return ""
                return f"the model refuses {name}, which is left out from now on"
        if re.search(r"\bsystem\b.*\brole\b|\brole\b.*\bsystem\b", message, re.I | re.S) and any(
            turn["role"] == "system" for turn in body["messages"]
        ):
            if not self._takes_system:
                return ""
            self._takes_system = False
            return "the model has no system role; its text goes before the question from now on"
        return None


def _without_system(messages: Sequence[Message]) -> list[Message]:
    """The system's text before the first turn of the user."""
    system = [turn.content for turn in messages if turn.role == "system"]
    rest = [turn for turn in messages if turn.role != "system"]
    first = Message(rest[0].role, "\n\n".join([*system, rest[0].content]))
    return [first, *rest[1:]]


def read_reply(content: bytes, schema: ResponseSchema | None = None) -> Reply:
    """Read the body of a chat completion, whose text has to be an object of the schema, if any.

    Raises:
        BadBodyError: it is not one, so that asking again may help.
    """
    try:
        body = json.loads(content)
        choice = body["choices"][0]
        message = choice["message"]
        text = message.get("content")
        finish = choice.get("finish_reason")
        refusal = message.get("refusal")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BadBodyError("the server's answer is cut off or is no chat completion") from error
    model, spent = str(body.get("model") or ""), _read_usage(body.get("usage"))
    # Half a surrogate pair, which JSON can hold, can't be written to any file.
    text = _whole(text) if isinstance(text, str) else None
    reason = None
    if finish == "content_filter":
        reason = "the server's content filter held the answer back"
    elif text is None or not text.strip():
        reason = "the model answered nothing"
        if refusal:
            reason = f"the model refused: {refusal}"
        elif finish == "length":
            reason = (
                "no token was left for the answer; raise generation.max_new_tokens, which holds"
                " the model's reasoning too"
            )
    if schema is None or finish == "content_filter":
        return Reply(text if reason is None else None, reason, model, spent)
    if text is None or reason is not None:
        return Reply(None, reason, model, spent, misfit=bool(refusal) or finish != "length")
    try:
        return Reply(text, None, model, spent, schema.read(text))
    except BadObjectError as error:
        reason = f"the answer is no object of the schema {schema.name}: {error}"
        if finish == "length":
            reason = "the answer was cut off within its object; raise generation.max_new_tokens"
        return Reply(None, reason, model, spent, misfit=finish != "length")


def _whole(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _read_usage(usage: object) -> Spent | None:
    if not isinstance(usage, dict):
        return None
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    counts = [usage.get("prompt_tokens"), usage.get("completion_tokens"), cached or 0]
    # Wrong numbers are as good as none: money is then counted at its worst case.
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in counts):
        return None
    read, written, kept = (int(n or 0) for n in counts)
    return Spent(read, written, min(kept, read))
