"""Responses, OpenAI's newer API: the body of a request and its answer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from aqa.backends.openai_api.chat import Parameters, merged
from aqa.backends.openai_api.errors import status_in
from aqa.backends.openai_api.logprobs import tokens_of
from aqa.backends.openai_api.replies import (
    BadBodyError,
    ErrorInBodyError,
    Reply,
    Said,
    error_text,
    make_reply,
    read_usage,
    unread,
)
from aqa.backends.openai_api.schemas import ResponseSchema
from aqa.backends.openai_api.streams import body_of
from aqa.config.options import RunConfig
from aqa.records import Message

LOGPROBS = "message.output_text.logprobs"  # how responses are asked for them
FEWEST_TOKENS = 16  # that OpenAI takes as a limit of an answer


class ResponsesParameters(Parameters):
    """The same parameters as of chat completions, where responses have them: there is no seed."""

    endpoint: ClassVar[str] = "/v1/responses"
    spelling: ClassVar[Mapping[str, str]] = {"reasoning_effort": "reasoning", "logprobs": "include"}

    def __init__(
        self,
        config: RunConfig,
        openai: bool,
        note: Callable[[str], None],
        schema: ResponseSchema | None = None,
    ) -> None:
        super().__init__(config, openai, note, schema)
        del self._values["seed"]
        self._limit_name = "max_output_tokens"

    def body(self, messages: Sequence[Message], sample: int = 0) -> dict[str, Any]:
        """The whole request as plain values; the server is not to keep it."""
        values = self._sampled(sample)
        if values.pop("logprobs", None):
            values["include"] = [LOGPROBS]
        if (effort := values.pop("reasoning_effort", None)) is not None:
            values["reasoning"] = {"effort": effort}
        turns = self.turns(messages)
        body = {**values, self._limit_name: self._limit, "input": turns, "store": False}
        body["stream"] = False
        if self.schema is not None:
            named = {"name": self.schema.name, "schema": dict(self.schema.json_schema)}
            body["text"] = {"format": {"type": "json_schema", **named, "strict": True}}
        return merged(body, self._extra)

    def read(self, content: bytes) -> Reply:
        """Read the body of a response.

        Raises:
            BadBodyError: it is none, so that asking again may help.
        """
        return read_response(content, self.schema)


def read_response(content: bytes, schema: ResponseSchema | None = None) -> Reply:
    """Read the body of a response, whose text has to be an object of the schema, if any.

    Raises:
        BadBodyError: it is not one, or failed for a reason that may pass.
    """
    try:
        body = body_of(content)
        status, failure = body.get("status"), body.get("error")
        model = str(body.get("model") or "")
        names = ("input_tokens", "output_tokens")
        spent = read_usage(body.get("usage"), names, "input_tokens_details")
        if failure and status not in ("completed", "incomplete"):
            if "output" not in body or _passes(failure):
                raise ErrorInBodyError(failure)
            return Reply(None, error_text(failure) or "the server failed", model, spent)
        output = body["output"]
        if status not in ("completed", "incomplete"):
            raise BadBodyError(f"the server's response is {status}, not completed")
        ending = (body.get("incomplete_details") or {}).get("reason")
        said = _said(output, ending if status == "incomplete" else None)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise unread(content, "a response") from error
    return make_reply(said, model, spent, schema)


def _passes(failure: object) -> bool:
    """Whether a failed response concerns more than its question, or may be made good."""
    return (status_in(failure) or 400) != 400


def _said(output: Sequence[Mapping[str, Any]], ending: object) -> Said:
    """What the messages of a response say; commentary is not meant for the user."""
    messages = [item for item in output if item.get("type") == "message"]
    parts = [
        part
        for message in messages
        if message.get("phase") != "commentary"
        for part in message["content"]
    ]
    outputs = [part for part in parts if part.get("type") == "output_text"]
    texts = [part["text"] for part in outputs]
    tokens = [token for part in outputs for token in tokens_of(part.get("logprobs"))]
    refusals = [part["refusal"] for part in parts if part.get("type") == "refusal"]
    thought = len(messages) < len(output) or (bool(messages) and not parts)
    refusal = next(iter(refusals), None)
    return Said("".join(texts), refusal, ending, thought, tuple(tokens))
