"""Text completions, the oldest API: a text instead of a chat, which the model goes on with."""

from collections.abc import Sequence
from typing import Any, ClassVar

from aqa.backends.openai_api.chat import Parameters, merged
from aqa.backends.openai_api.tokens import plain_text
from aqa.records import Message


class CompletionsParameters(Parameters):
    """The same parameters as of chat completions; log-probabilities are asked for by a number."""

    endpoint: ClassVar[str] = "/v1/completions"

    def body(self, messages: Sequence[Message], sample: int = 0) -> dict[str, Any]:
        """The whole request as plain values. No chat template is used."""
        values = self._sampled(sample)
        if values.pop("logprobs", None):
            values["logprobs"] = 1  # of the token that was taken, and of the likeliest one
        text = {"prompt": plain_text(messages), "stream": False}
        return merged({**values, self._limit_name: self._limit, **text}, self._extra)
