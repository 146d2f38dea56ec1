"""The APIs that servers offer: chat completions, responses and text completions."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from aqa.backends.openai_api.body_parsing import read_response
from aqa.backends.openai_api.parameters import Parameters
from aqa.backends.openai_api.schemas import ResponseSchema
from aqa.backends.openai_api.tokens import plain_text
from aqa.errors import ConfigError
from aqa.records import Message

LOGPROBS = "message.output_text.logprobs"  # requests log-probabilities from the responses API
FEWEST_TOKENS = 16  # OpenAI's lowest limit for an answer


class ResponsesParameters(Parameters):
    """Parameters of the responses API, which has no seed."""

    endpoint: ClassVar[str] = "/v1/responses"
    spelling: ClassVar[Mapping[str, str]] = {"reasoning_effort": "reasoning", "logprobs": "include"}
    limit_name: ClassVar[str] = "max_output_tokens"
    has_seed: ClassVar[bool] = False
    stream: ClassVar[Mapping[str, Any]] = {"stream": True}
    reads: ClassVar[Any] = staticmethod(read_response)

    def _request_body(self, values: dict[str, Any], messages: Sequence[Message]) -> dict[str, Any]:
        """Return the request body; tells the server not to store it."""
        if values.pop("logprobs", None):
            values["include"] = [LOGPROBS]
        if (effort := values.pop("reasoning_effort", None)) is not None:
            values["reasoning"] = {"effort": effort}
        turns = self.turns(messages)
        for turn in turns:
            if turn["role"] == "assistant":  # llama.cpp's server refuses it without its type
                turn["type"] = "message"
        body = {**values, "input": turns, "store": False}
        if self.schema is not None:
            body["text"] = {"format": {"type": "json_schema", **self.schema.strict()}}
        return body


class CompletionsParameters(Parameters):
    """Parameters of text completions, whose log-probabilities are requested by a number."""

    endpoint: ClassVar[str] = "/v1/completions"

    def sent(self, messages: Sequence[Message]) -> tuple[Sequence[Message], Mapping[str, object]]:
        """Return the messages as one text, and the whole request."""
        return [Message("", plain_text(messages))], self.body(messages)

    def _request_body(self, values: dict[str, Any], messages: Sequence[Message]) -> dict[str, Any]:
        if values.pop("logprobs", None):
            values["logprobs"] = 1  # for the chosen token and the likeliest one
        return {**values, "prompt": plain_text(messages)}


APIS: Mapping[str, type[Parameters]] = {
    "chat": Parameters,
    "responses": ResponsesParameters,
    "completions": CompletionsParameters,
}


def check_api(api: str, room: int, schema: ResponseSchema | None) -> None:
    """Raise a ConfigError if an API does not support answers of this length, or their schema."""
    if api == "responses" and room < FEWEST_TOKENS:
        raise ConfigError(
            f"generation.max_new_tokens: the responses API takes {FEWEST_TOKENS} or more"
        )
    if api == "completions" and schema is not None:
        raise ConfigError(
            "backend.api: text completions follow no JSON schema, which this needs; ask through"
            " chat or responses"
        )
