"""Responses, OpenAI's newer API: the body of a request and its answer."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from aqa.backends.openai_api.chat import Parameters
from aqa.backends.openai_api.errors import error_text
from aqa.backends.openai_api.replies import BadBodyError, End, Reply, make_reply, read_usage
from aqa.backends.openai_api.schemas import ResponseSchema
from aqa.config.backend_options import Gpt4Options
from aqa.config.options import GenerationOptions
from aqa.records import Message

FEWEST_TOKENS = 16  # that OpenAI takes as a limit of an answer
ENDS: Mapping[object, End] = {"content_filter": "filter", "max_output_tokens": "length"}
PASSING = ("server_error", "rate_limit_exceeded")  # failures after which asking again may help


class ResponsesParameters(Parameters):
    """The same parameters as of chat completions, where responses have them: there is no seed."""

    endpoint: ClassVar[str] = "/v1/responses"
    spelling: ClassVar[Mapping[str, str]] = {"reasoning_effort": "reasoning"}

    def __init__(
        self,
        options: Gpt4Options,
        generation: GenerationOptions,
        seed: int,
        openai: bool,
        schema: ResponseSchema | None = None,
    ) -> None:
        super().__init__(options, generation, seed, openai, schema)
        del self._values["seed"]
        self._limit_name = "max_output_tokens"

    def body(self, messages: Sequence[Message]) -> dict[str, Any]:
        """The whole request as plain values; the server is not to keep it."""
        values = dict(self._values)
        if (effort := values.pop("reasoning_effort", None)) is not None:
            values["reasoning"] = {"effort": effort}
        turns = self.turns(messages)
        body = {**values, self._limit_name: self._limit, "input": turns, "store": False}
        if self.schema is not None:
            named = {"name": self.schema.name, "schema": dict(self.schema.json_schema)}
            body["text"] = {"format": {"type": "json_schema", **named, "strict": True}}
        return body

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
        body = json.loads(content)
        if body.get("error") and "output" not in body:
            raise BadBodyError(f"the server's answer is an error: {error_text(body)}")
        status, parts = body["status"], list(_parts(body["output"]))
        reason = (body.get("incomplete_details") or {}).get("reason")
        failure = body.get("error") or {}
        code, told = failure.get("code"), str(failure.get("message") or "the server failed")
        texts = [part["text"] for part in parts if part.get("type") == "output_text"]
        refusals = [part["refusal"] for part in parts if part.get("type") == "refusal"]
        text = "".join(texts)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise BadBodyError("the server's answer is cut off or is no response") from error
    model = str(body.get("model") or "")
    names = ("input_tokens", "output_tokens")
    spent = read_usage(body.get("usage"), names, "input_tokens_details")
    if status == "failed":
        if code in PASSING:
            raise BadBodyError(told)
        return Reply(None, told, model, spent)
    if status not in ("completed", "incomplete"):
        raise BadBodyError(f"the server's response is {status}, not completed")
    end = ENDS.get(reason) if status == "incomplete" and isinstance(reason, str) else None
    return make_reply(text, next(iter(refusals), None), end, model, spent, schema)


def _parts(output: Any) -> Iterator[Mapping[str, Any]]:
    """The parts of the messages in a response, which may hold reasoning as well."""
    for item in output:
        if item.get("type") == "message":
            yield from item["content"]
