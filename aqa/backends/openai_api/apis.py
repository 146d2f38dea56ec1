"""The APIs that a server can be asked by, and what each does not do."""

from collections.abc import Mapping

from aqa.backends.openai_api.chat import Parameters
from aqa.backends.openai_api.completions import CompletionsParameters
from aqa.backends.openai_api.responses import FEWEST_TOKENS, ResponsesParameters
from aqa.backends.openai_api.schemas import ResponseSchema
from aqa.errors import ConfigError

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
