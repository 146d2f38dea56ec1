"""The APIs that a server can be asked by, and what each does not do."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from aqa.backends.openai_api.chat import Parameters
from aqa.backends.openai_api.responses import FEWEST_TOKENS, ResponsesParameters
from aqa.backends.openai_api.schemas import ResponseSchema
from aqa.backends.openai_api.tokens import plain_text
from aqa.errors import ConfigError
from aqa.records import Message


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
    """See whether an API takes answers of so many tokens, and their schema.

    Raises:
        ConfigError: it does not.
    """
    if api == "responses" and room < FEWEST_TOKENS:
        raise ConfigError(
            f"generation.max_new_tokens: the responses API takes {FEWEST_TOKENS} or more"
        )
    if api == "completions" and schema is not None:
        raise ConfigError(
            "backend.api: text completions follow no JSON schema, which this needs; ask through"
            " chat or responses"
        )
