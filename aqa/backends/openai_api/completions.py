"""Text completions, the oldest API: a text instead of a chat, which the model goes on with."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from aqa.backends.openai_api.chat import Parameters
from aqa.backends.openai_api.tokens import plain_text
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
