"""Build vLLM requests from token ids, and parse the replies."""

import zlib
from dataclasses import dataclass
from typing import Any

from aqa.backends.local.decoding import GeneratedAnswer, StopConditions
from aqa.config.options import GenerationOptions
from aqa.errors import ModelError
from aqa.records import Prompt

Json = dict[str, Any]
MOST_IDS = 2**31  # above any vocabulary's size

TOO_OLD = (
    "its answers hold no token ids and log-probabilities (return_token_ids, logprobs), which vLLM"
    " supports since 0.10.2"
)


class RefusedError(ModelError):
    """A question that gets no answer; others may."""


@dataclass(frozen=True, slots=True)
class Requests:
    """Builds the requests of a run, and parses their replies.

    `stop` is a text that ends answers, if any. Our sampling options override the model's own: see
    `generation_config`.
    """

    options: GenerationOptions
    seed: int
    ends: StopConditions
    stop: str

    def body(self, prompt: Prompt) -> Json:
        """Return the request for a prompt's answers; samples depend only on the seed and prompt."""
        assert prompt.encoding is not None
        seeded = {"seed": self.seed ^ zlib.crc32(prompt.id.encode())}
        return {
            "prompt": list(prompt.encoding.prompt_ids),
            **self._common,
            **(seeded if self.options.temperature else {}),
        }

    def probe(self) -> Json:
        """Return a minimal request, to check that a server supports what it will be asked for."""
        return {"prompt": [self.ends.ids[0]], **self._common, "max_tokens": 1}

    @property
    def _common(self) -> Json:
        options = self.options
        body: Json = {
            "max_tokens": options.max_new_tokens,
            "temperature": options.temperature,
            "top_p": options.top_p,
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "presence_penalty": 0.0,
            "frequency_penalty": 0.0,
            "n": options.answers_each,
            "logprobs": 0,
            "return_token_ids": True,
            "skip_special_tokens": False,
            "stop_token_ids": list(self.ends.ids),
        }
        if self.stop:
            body["stop"] = [self.stop]
        if options.num_beams > 1:
            body |= {
                "use_beam_search": True,
                "n": options.num_beams,
                "length_penalty": options.length_penalty,
                "include_stop_str_in_output": True,  # otherwise the end has no log-probability
            }
        return body

    def read(self, body: Json, reply: Json) -> list[GeneratedAnswer]:
        """Return the answers to a request, as many as are wanted, likeliest first.

        Raises:
            ModelError: the reply has no token ids, or the server read ids other than those
                sent.
            RefusedError: there are too few answers.
        """
        try:
            choices = reply["choices"]
            read = choices[0].get("prompt_token_ids")
            pairs = [(c["token_ids"], c["logprobs"]["token_logprobs"]) for c in choices]
            written = [token for ids, _ in pairs for token in ids]
            are_ids = all(type(token) is int and 0 <= token < MOST_IDS for token in written)
            are_even = all(len(ids) == len(values) for ids, values in pairs)
            answers = [self.ends.until(*pair) for pair in pairs if are_ids and are_even]
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise ModelError(TOO_OLD) from error
        if read is not None and read != body["prompt"]:
            raise ModelError("it read other token ids than those it was sent")
        if not (are_ids and are_even):
            raise ModelError(TOO_OLD)
        if len(answers) < self.options.answers_each:
            count = self.options.answers_each
            raise RefusedError(f"the server gave {len(answers)} of the {count} answers requested")
        answers.sort(key=lambda answer: answer.score(self.options.length_penalty), reverse=True)
        return answers[: self.options.answers_each]
