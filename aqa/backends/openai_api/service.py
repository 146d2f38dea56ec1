"""The service that a run asks: what its replies mean for an example, and what it did in all."""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from statistics import fmean
from typing import Any, cast

from aqa.backends.openai_api.access import (
    Access,
    azure_version,
    find_access,
    is_openai,
    key_of,
    server_url,
)
from aqa.backends.openai_api.apis import APIS
from aqa.backends.openai_api.cache import ResponseCache
from aqa.backends.openai_api.chat import SCHEMA, Parameters
from aqa.backends.openai_api.errors import Failure
from aqa.backends.openai_api.ledger import Ledger
from aqa.backends.openai_api.prices import Price, at_most, find_context, priced
from aqa.backends.openai_api.replies import Reply
from aqa.backends.openai_api.schemas import ResponseSchema
from aqa.backends.openai_api.tokens import TokenCounter, answer_room, chat_counter
from aqa.config.backend_options import Gpt4Options
from aqa.config.options import RunConfig
from aqa.records import MEAN_LOGPROB, MIN_LOGPROB, Prediction, Prompt
from aqa.spent import Spent

SHARE = 0.9  # of a prompt's tokens: a server that counts fewer has not read it whole
SLACK = 16  # tokens that chat templates may differ by
LONG = 1000  # tokens of a prompt by a guess, half of which no server counts that reads it whole


class Served:
    """Of all sessions: models that answered, by the server's names, and what came of requests."""

    def __init__(self) -> None:
        self.models: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()
        self._learnt: list[str] = []  # by earlier sessions, in words

    def resume(self, facts: Mapping[str, object]) -> None:
        """Go on counting from what the manifest of earlier sessions holds."""
        for name, counts in (("models", self.models), ("requests", self.requests)):
            before = facts.get(name)
            counts.update(before if isinstance(before, Mapping) else {})
        self._learnt = texts(facts.get("learnt"))

    def to_json(self, learnt: Iterable[str]) -> dict[str, object]:
        """What the manifest holds; what was `learnt` in this session among it."""
        return {
            "models": dict(sorted(self.models.items())),
            "requests": dict(sorted(self.requests.items())),
            "learnt": list(dict.fromkeys([*self._learnt, *learnt])),
        }


def texts(value: object) -> list[str]:
    """The texts of a list that a manifest holds; none where it holds no list."""
    return [str(part) for part in value] if isinstance(value, list) else []


class Service:
    """What all that asks has in common: the way there, what is sent, what is counted and learnt.

    What is only asked for later, such as a key, is looked for then.
    """

    def __init__(
        self, config: RunConfig, note: Callable[[str], None], schema: ResponseSchema | None
    ) -> None:
        self.config, self.note, self.schema = config, note, schema
        self.options = cast(Gpt4Options, config.backend)
        self.room = answer_room(config)  # tokens of an answer, its thoughts among them
        self.served = Served()
        self.client: Any = None  # while it is open
        self.cache: ResponseCache | None = None  # while it is open
        self._writes = True  # whether it can be written
        self._noted = False  # that prompts are cut off

    @cached_property
    def access(self) -> Access:
        """Where requests go."""
        return find_access(self.options)

    @cached_property
    def ledger(self) -> Ledger:
        """What is spent."""
        return Ledger(self.options)

    @cached_property
    def parameters(self) -> Parameters:
        """What is sent beside the prompt."""
        openai = is_openai(server_url(self.options))
        return APIS[self.options.api](self.config, openai, self.note, self.schema)

    @cached_property
    def counter(self) -> TokenCounter:
        """Counts tokens by the model's own tokenizer, where it is at hand."""
        options, as_text = self.options, self.options.api == "completions"
        of = options.tokenizer and chat_counter(options.tokenizer, self.note, as_text)
        schema = "" if self.schema is None else json.dumps(self.schema.json_schema)
        openai = is_openai(server_url(options))
        return TokenCounter(options.model, openai, schema, of or None, as_text)

    @cached_property
    def limit(self) -> int:
        """Of prompt and answer: what the options allow, or the model's context if that is less."""
        most, context = self.options.max_seq_length, find_context(self.options)
        return most if context is None else min(most, context)

    @cached_property
    def identity(self) -> Mapping[str, object]:
        """The model, the server and what decides an answer."""
        options, generation = self.options, self.config.generation
        # What few runs have is left out of the others.
        chosen: dict[str, object] = {}
        if self.schema is not None:
            chosen["schema"] = self.schema.identity()
        if options.api != "chat":
            chosen["api"] = options.api
        if options.provider == "azure":
            chosen["api_version"] = azure_version(options)
        if generation.samples > 1:
            chosen["samples"] = generation.samples
        for name in ("reasoning_tokens", "tokenizer", "logprobs", "extra_body", "extra_headers"):
            if given := getattr(options, name):
                chosen[name] = given
        return {
            **chosen,
            "model": options.model,
            "server": server_url(options),
            "reasoning_effort": options.reasoning_effort,
            "max_seq_length": self.limit,
            "max_new_tokens": generation.max_new_tokens,
            "temperature": generation.temperature,
            "top_p": generation.top_p,
            "seed": self.config.seed,
        }

    def key(self, prompt: Prompt, sample: int = 0) -> bytes:
        """What a sample of the answer is kept by."""
        return key_of(self.identity, prompt, sample)

    def known(self, prompt: Prompt, sample: int = 0) -> Prediction | None:
        """The answer that the cache holds; None where the server has to be asked."""
        found = self.cache and self.cache.find(self.key(prompt, sample), prompt.id)
        if not found:
            return None
        self.served.models[found.model] += 1
        price, tokens = self.ledger.price, Spent(found.prompt_tokens, found.answer_tokens)
        unread = self.unread(prompt, found.prompt_tokens)
        return replace(
            found, unread=unread, spent=priced(Spent(), price), saved=priced(tokens, price)
        )

    def keep(self, prompt: Prompt, prediction: Prediction, sample: int = 0) -> None:
        """Keep what the server answered in the cache, if it is no error."""
        if self.cache is None or prediction.error is not None or not self._writes:
            return
        try:
            self.cache.keep(self.key(prompt, sample), prediction)
        except sqlite3.Error as error:
            self._writes = False
            self.note(f"answers are no longer kept in the cache: {error}")

    def worst(self, prompt: Prompt, price: Price | None) -> Spent:
        """What a request for the prompt can't exceed."""
        return at_most(self.counter.at_most(prompt.messages), self.room, price)

    def counted(self, reply: Reply, worst: Spent, price: Price | None) -> Spent:
        """Count a reply; give what it took, which is the worst where the server does not tell."""
        kind = "misfit" if reply.misfit else "unanswered" if reply.error else "answered"
        self.served.requests[kind] += 1
        self.served.models[self.access.shown(reply.model)] += 1
        return worst if reply.spent is None else priced(reply.spent, price)

    def prediction(self, prompt: Prompt, reply: Reply, spent: Spent) -> Prediction:
        """What a reply means for the example that it answers; `spent` is what all attempts took."""
        counted, access = reply.spent or Spent(), self.access
        made = Prediction(
            prompt.id,
            prompt_tokens=counted.input,
            answer_tokens=counted.output,
            spent=_rounded(spent),
            model=access.shown(reply.model),
            unread=self.unread(prompt, counted.input),
        )
        if reply.text is None:
            raw = None if reply.rejected is None else access.without_key(reply.rejected)
            return replace(made, raw=raw, error=access.shown(reply.error or ""))
        structured = reply.structured
        if structured is not None:
            structured = replace(structured, text=access.without_key(structured.text))
        found = self.parameters.logprobs(prompt, reply)
        return replace(
            made,
            raw=access.without_key(reply.text),
            structured=structured,
            cut=reply.cut or (structured is None and counted.output == self.room),  # some don't say
            confidence=fmean(found) if found else None,
            confidence_kind=MEAN_LOGPROB if found else "",
            other_confidences=((MIN_LOGPROB, min(found)),) if found else (),
        )

    def unread(self, prompt: Prompt, tokens: int) -> int:
        """How many tokens of a prompt a server left out that says how many it read.

        Only exact counts tell; the user is told of the first one, also where it is guessed.
        """
        exact, counted = self.counter.exact, self.counter.count(prompt.messages)
        guess = counted - self.counter.schema
        least = counted * SHARE - SLACK if exact else guess / 2 * (guess >= LONG)
        if not tokens or tokens >= least:
            return 0
        if not self._noted:
            self._noted = True
            words = ("", "cuts") if exact else ("about ", "seems to cut")
            end = "Such rows say" if exact else "With its tokenizer as backend.tokenizer, rows say"
            self.note(
                f"the server read {tokens:,} of {words[0]}{counted:,} tokens of a prompt"
                f" ({prompt.id}), so it {words[1]} prompts off; raise its context, or lower"
                f" backend.max_seq_length. {end} how much is missing (unread_tokens)"
            )
        return counted - tokens if exact else 0

    def failure(self, prompt: Prompt, reason: str, spent: Spent) -> Prediction:
        """An example that is given up."""
        return Prediction(prompt.id, error=self.access.shown(reason), spent=_rounded(spent))

    def unless_schema(self, failure: Failure) -> Failure:
        """The failure, which is one of all requests if the answers' schema is refused."""
        if self.schema is None or not SCHEMA.search(f"{failure.param or ''} {failure.reason}"):
            return failure
        reason = f"the server takes no JSON schema for answers ({failure.reason})"
        return replace(failure, kind="run", reason=reason)


def _rounded(spent: Spent) -> Spent:
    return spent if spent.cost is None else replace(spent, cost=round(spent.cost, 9))
