"""The service that a run asks: turns replies into predictions, and keeps statistics."""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
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
from aqa.backends.openai_api.failures import Failure, Kind
from aqa.backends.openai_api.ledger import Ledger
from aqa.backends.openai_api.parameters import Parameters
from aqa.backends.openai_api.prices import Price, find_context, priced
from aqa.backends.openai_api.replies import Reply
from aqa.backends.openai_api.schemas import ResponseSchema
from aqa.backends.openai_api.tokens import TokenCounter, answer_room, chat_counter
from aqa.config.backend_options import Gpt4Options
from aqa.config.options import RunConfig
from aqa.records import MEAN_LOGPROB, MIN_LOGPROB, Prediction, Prompt
from aqa.spent import Spent

SHARE = 0.9  # of a prompt's tokens: a server that counts fewer has not read it all
SLACK = 16  # tokens by which chat templates may differ
LONG = 1000  # estimated tokens; a server that reads such a prompt whole counts over half


class Service:
    """What all requests share: access, parameters, counts, and what was learnt.

    What is needed only later, such as a key, is looked up then.
    """

    def __init__(
        self, config: RunConfig, note: Callable[[str], None], schema: ResponseSchema | None
    ) -> None:
        self.config, self.note, self.schema = config, note, schema
        self.options = cast(Gpt4Options, config.backend)
        self.room = answer_room(config)  # tokens of an answer, including thoughts
        self.models: Counter[str] = Counter()  # that answered, by the server's names
        self.requests: Counter[str] = Counter()  # by outcome; both in all sessions
        self.client: Any = None  # while it is open
        self.cache: ResponseCache | None = None  # while it is open
        self._writes = True  # whether the cache is writable
        self._noted = False  # whether the user knows that prompts are cut off

    def resume(self, facts: Mapping[str, object]) -> None:
        """Continue the statistics in the manifest of earlier sessions, and use what they learnt."""
        for name, counts in (("models", self.models), ("requests", self.requests)):
            before = facts.get(name)
            counts.update(before if isinstance(before, Mapping) else {})
        learnt, left_out = (facts.get(name) for name in ("learnt", "left_out"))
        self.parameters.recall(
            learnt if isinstance(learnt, list) else [],
            left_out if isinstance(left_out, list) else [],
        )

    @property
    def has_answered(self) -> bool:
        """Whether there was an answer, perhaps in an earlier session."""
        return bool(self.requests["answered"])

    def facts(self) -> dict[str, object]:
        """Return the statistics and what was learnt, for the manifest."""
        return {
            "models": dict(sorted(self.models.items())),
            "requests": dict(sorted(self.requests.items())),
            "learnt": list(dict.fromkeys(self.parameters.learnt)),
            "left_out": self.parameters.left_out,
        }

    @cached_property
    def access(self) -> Access:
        """The address and key for requests."""
        return find_access(self.options)

    @cached_property
    def ledger(self) -> Ledger:
        """What is spent."""
        return Ledger(self.options)

    @cached_property
    def parameters(self) -> Parameters:
        """What is sent besides the prompt."""
        openai = is_openai(server_url(self.options))
        return APIS[self.options.api](self.config, openai, self.note, self.schema)

    @cached_property
    def counter(self) -> TokenCounter:
        """Counts tokens, with the model's own tokenizer if available."""
        options, as_text = self.options, self.options.api == "completions"
        of = options.tokenizer and chat_counter(options.tokenizer, self.note, as_text)
        schema = "" if self.schema is None else json.dumps(self.schema.json_schema)
        openai = is_openai(server_url(options))
        return TokenCounter(options.model, openai, schema, of or None, as_text)

    @cached_property
    def limit(self) -> int:
        """Tokens for prompt and answer: the options' limit, or the model's context if smaller."""
        most, context = self.options.max_seq_length, find_context(self.options)
        return most if context is None else min(most, context)

    @cached_property
    def identity(self) -> Mapping[str, object]:
        """The model, the server and what else determines an answer."""
        options, generation = self.options, self.config.generation
        # Rare settings are included only if used.
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
            if value := getattr(options, name):
                chosen[name] = value
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
        """Return the cache key of a sample of the answer."""
        return key_of(self.identity, prompt, sample)

    def cached(self, prompt: Prompt, sample: int = 0) -> Prediction | None:
        """Return the answer in the cache; None if the server must be asked."""
        stored = self.cache and self.cache.find(self.key(prompt, sample), prompt.id)
        if not stored:
            return None
        self.models[stored.model] += 1
        price, tokens = self.ledger.price, Spent(stored.prompt_tokens, stored.answer_tokens)
        unread = self.unread(prompt, stored.prompt_tokens)
        return replace(
            stored, unread=unread, spent=priced(Spent(), price), saved=priced(tokens, price)
        )

    def keep(self, prompt: Prompt, prediction: Prediction, sample: int = 0) -> None:
        """Cache an answer, unless it is an error."""
        if self.cache is None or prediction.error is not None or not self._writes:
            return
        try:
            self.cache.keep(self.key(prompt, sample), prediction)
        except sqlite3.Error as error:
            self._writes = False
            self.note(f"answers are no longer cached: {error}")

    def worst(self, prompt: Prompt, price: Price | None) -> Spent:
        """Return the most that a request for the prompt can take."""
        read = self.counter.at_most(prompt.messages)
        cost = None if price is None else price.highest(read, self.room)
        return Spent(read, self.room, cost=cost)

    @cached_property
    def unlimited(self) -> Spent:
        """The most that an answer can take beyond its limit, within the model's context."""
        price, most = self.ledger.price, max(self.limit, self.room)
        cost = None
        if price is not None:
            cost = price.highest(most, most) - price.highest(most, self.room)
        return Spent(output=most - self.room, cost=cost)

    def counted(self, reply: Reply, worst: Spent, price: Price | None) -> Spent:
        """Count a reply and return its cost, which is the worst case if the server reports none."""
        kind = "misfit" if reply.misfit else "unanswered" if reply.error else "answered"
        self.requests[kind] += 1
        self.models[self.access.short_line(reply.model)] += 1
        used = worst if reply.spent is None else priced(reply.spent, price)
        if self.ledger.learn(worst, used, self.unlimited):
            self.note(
                f"the server ignores the limit of an answer's length: one took {used.output:,}"
                f" tokens, where {worst.output:,} were requested; for the cap, each is counted with"
                f" {self.room + self.ledger.excess.output:,} from now on"
            )
        return used

    def prediction(self, prompt: Prompt, reply: Reply, spent: Spent) -> Prediction:
        """Turn a reply into a prediction; `spent` is the cost of all attempts."""
        counted, access = reply.spent or Spent(), self.access
        prediction = Prediction(
            prompt.id,
            prompt_tokens=counted.input,
            answer_tokens=counted.output,
            spent=_rounded(spent),
            model=access.short_line(reply.model),
            unread=self.unread(prompt, counted.input),
        )
        if reply.text is None:
            raw = None if reply.rejected is None else access.without_key(reply.rejected)
            return replace(prediction, raw=raw, error=access.short_line(reply.error or ""))
        structured = reply.structured
        if structured is not None:
            structured = replace(structured, text=access.without_key(structured.text))
        logprobs = self.parameters.logprobs(prompt, reply)
        return replace(
            prediction,
            raw=access.without_key(reply.text),
            structured=structured,
            cut=reply.cut or (structured is None and counted.output == self.room),  # some omit it
            confidence=fmean(logprobs) if logprobs else None,
            confidence_kind=MEAN_LOGPROB if logprobs else "",
            other_confidences=((MIN_LOGPROB, min(logprobs)),) if logprobs else (),
        )

    def unread(self, prompt: Prompt, tokens: int) -> int:
        """Return how many tokens of a prompt a server left out, by the number that it reports.

        0 unless tokens are counted exactly; the user is told of the first case, even if estimated.
        """
        exact, counted = self.counter.exact, self.counter.count(prompt.messages)
        guess = counted - self.counter.schema
        least = counted * SHARE - SLACK if exact else guess / 2 * (guess >= LONG)
        if not tokens or tokens >= least:
            return 0
        if not self._noted:
            self._noted = True
            words = ("", "cuts") if exact else ("about ", "seems to cut")
            end = "Such rows" if exact else "With its tokenizer as backend.tokenizer, rows"
            self.note(
                f"the server read {tokens:,} of {words[0]}{counted:,} tokens of a prompt"
                f" ({prompt.id}), so it {words[1]} prompts off; raise its context, or lower"
                f" backend.max_seq_length. {end} record how much is missing (unread_tokens)"
            )
        return counted - tokens if exact else 0

    def as_failure(self, reply: Reply) -> Failure:
        """Return a reply without an answer as a failure."""
        texts = (reply.error or "", reply.rejected or "")
        reason, rejected = map(self.access.short_line, texts)
        kind: Kind = "empty" if reply.empty else "misfit" if reply.misfit else "own"
        return Failure(kind, reason, rejected=rejected)

    def failure(self, prompt: Prompt, reason: str, spent: Spent) -> Prediction:
        """Return the prediction for an example that is given up."""
        return Prediction(prompt.id, error=self.access.short_line(reason), spent=_rounded(spent))


def _rounded(spent: Spent) -> Spent:
    return spent if spent.cost is None else replace(spent, cost=round(spent.cost, 9))
