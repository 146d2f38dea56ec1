"""Responses, OpenAI's newer API: the body of a request and its answer."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from aqa.backends.openai_api.chat import Parameters
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
    reported,
    unread,
)
from aqa.backends.openai_api.schemas import ResponseSchema
from aqa.backends.openai_api.streams import body_of
from aqa.records import Message

LOGPROBS = "message.output_text.logprobs"  # how responses are asked for them
FEWEST_TOKENS = 16  # that OpenAI takes as a limit of an answer


def read_response(content: bytes, schema: ResponseSchema | None = None) -> Reply:
    """Read the body of a response, whose text has to be an object of the schema, if any.

    Raises:
        BadBodyError: it is not one, or failed for a reason that may pass.
    """
    try:
        body = body_of(content)
        status = body.get("status")
        failure = body.get("error") if "output" in body else reported(body)
        model = str(body.get("model") or "")
        names = ("input_tokens", "output_tokens")
        spent = read_usage(body.get("usage"), names, "input_tokens_details")
        if failure and status not in ("completed", "incomplete"):
            # One that concerns more than its question, or may be made good.
            if "output" not in body or (status_in(failure) or 400) != 400:
                raise ErrorInBodyError(failure)
            return Reply(None, error_text(failure) or "the server failed", model, spent)
        output = body["output"]
        if status not in ("completed", "incomplete", None):
            raise BadBodyError(f"the server's response is {status}, not completed")
        ending = (body.get("incomplete_details") or {}).get("reason")
        said = _said(output, ending if status == "incomplete" else None)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise unread(content, "a response") from error
    return make_reply(said, body, spent, schema)


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


class ResponsesParameters(Parameters):
    """The same parameters as of chat completions, where responses have them: there is no seed."""

    endpoint: ClassVar[str] = "/v1/responses"
    spelling: ClassVar[Mapping[str, str]] = {"reasoning_effort": "reasoning", "logprobs": "include"}
    limit_name: ClassVar[str] = "max_output_tokens"
    has_seed: ClassVar[bool] = False
    reads: ClassVar[Any] = staticmethod(read_response)

    def _worded(self, values: dict[str, Any], messages: Sequence[Message]) -> dict[str, Any]:
        """The values and the chat as responses have them; the server is not to keep them."""
        if values.pop("logprobs", None):
            values["include"] = [LOGPROBS]
        if (effort := values.pop("reasoning_effort", None)) is not None:
            values["reasoning"] = {"effort": effort}
        body = {**values, "input": self.turns(messages), "store": False}
        if self.schema is not None:
            body["text"] = {"format": {"type": "json_schema", **self.schema.strict()}}
        return body
