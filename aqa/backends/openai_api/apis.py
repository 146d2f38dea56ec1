"""The APIs that a server can be asked by, and what each does not do."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from aqa.backends.openai_api.chat import Parameters
from aqa.backends.openai_api.reading import read_response
from aqa.backends.openai_api.schemas import ResponseSchema
from aqa.backends.openai_api.tokens import plain_text
from aqa.errors import ConfigError
from aqa.records import Message

LOGPROBS = "message.output_text.logprobs"  # how responses are asked for them
FEWEST_TOKENS = 16  # that OpenAI takes as a limit of an answer


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


class CompletionsParameters(Parameters):
    """The same parameters as of chat completions; log-probabilities are asked for by a number."""

    endpoint: ClassVar[str] = "/v1/completions"

    def sent(self, messages: Sequence[Message]) -> tuple[Sequence[Message], Mapping[str, object]]:
        """One text in the place of turns, and the whole."""
        return [Message("", plain_text(messages))], self.body(messages)

    def _worded(self, values: dict[str, Any], messages: Sequence[Message]) -> dict[str, Any]:
        """The values and the text; no chat template is used."""
        if values.pop("logprobs", None):
            values["logprobs"] = 1  # of the token that was taken, and of the likeliest one
        return {**values, "prompt": plain_text(messages)}


APIS: Mapping[str, type[Parameters]] = {
    "chat": Parameters,
    "responses": ResponsesParameters,
    "completions": CompletionsParameters,
}


def check_api(api: str, room: int, schema: ResponseSchema | None) -> None:
    """See that an API takes answers of so many tokens, and their schema; else ConfigError."""
    if api == "responses" and room < FEWEST_TOKENS:
        raise ConfigError(
            f"generation.max_new_tokens: the responses API takes {FEWEST_TOKENS} or more"
        )
    if api == "completions" and schema is not None:
        raise ConfigError(
            "backend.api: text completions follow no JSON schema, which this needs; ask through"
            " chat or responses"
        )
