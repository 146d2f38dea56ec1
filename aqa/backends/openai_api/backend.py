"""The backend `gpt4`: models behind an API that speaks OpenAI's protocol."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Self

from aqa.backends.base import PendingPrompts, Remote
from aqa.backends.event_loop import Ask, cancel_all, running_loop
from aqa.backends.openai_api.access import check_address, server_url
from aqa.backends.openai_api.apis import check_api
from aqa.backends.openai_api.asker import Asker
from aqa.backends.openai_api.batch.record import BatchRecord
from aqa.backends.openai_api.batch.run import BatchRun
from aqa.backends.openai_api.batch.server import BatchServer
from aqa.backends.openai_api.cache import open_cache
from aqa.backends.openai_api.connection import open_client
from aqa.backends.openai_api.ledger import UNKNOWN_PRICE
from aqa.backends.openai_api.pacing import Pace
from aqa.backends.openai_api.samples import Answers, SampledQuestions, SampleRecord, Samples
from aqa.backends.openai_api.schemas import READER_ANSWER, ResponseSchema
from aqa.backends.openai_api.service import Service
from aqa.config.backend_options import BackendOptions, Gpt4Options
from aqa.config.model_families import end_of
from aqa.config.options import RunConfig
from aqa.errors import ConfigError, MissingExtraError
from aqa.progress import Progress
from aqa.records import AGREEMENT, MEAN_LOGPROB, Message, Prediction, Prompt
from aqa.runs.spending import SpendingRecord
from aqa.spent import CostEstimate, Spent


class Gpt4Backend(Remote[Gpt4Options]):
    """A reader that is asked over the internet, or through a server on this machine."""

    Options: ClassVar[type[BackendOptions]] = Gpt4Options

    def __init__(
        self, config: RunConfig, progress: Progress, schema: ResponseSchema | None = None
    ) -> None:
        """`schema` is for the answers, instead of the reader's own or plain text."""
        super().__init__(config, progress)
        schema = schema or (READER_ANSWER if self.options.structured else None)
        self._service = Service(config, progress.note, schema)
        self._asker: Asker | None = None
        self._record: BatchRecord | None = None
        self._spending: SpendingRecord | None = None
        self._samples: SampleRecord | None = None

    @property
    def limit(self) -> int:
        """The most tokens that a prompt and its answer may take together."""
        return self._service.limit

    def sent(self, prompt: Prompt) -> tuple[Sequence[Message], Mapping[str, object]]:
        """Return the messages, or the text, and the whole request."""
        return self._service.parameters.sent(prompt.messages)

    def check_access(self) -> None:
        """Check the key, the address and, for a cap, the price; else raise ConfigError."""
        access = self._service.access
        if self.options.max_cost is not None and self._service.ledger.live_price is None:
            raise ConfigError(
                f"--max-cost can't be enforced: the price of {self.options.model} at"
                f" {access.url} is {UNKNOWN_PRICE}"
            )
        with ExitStack() as opened:
            open_cache(self.options, opened, only_found=True)

    def check(self) -> None:
        """Raise an AqaError for options that an API does not support, or a missing client."""
        options = self.config.generation
        if server_url(self.options):  # for Azure, there may be none yet
            check_address(self.options)
        for name in ("num_beams", "num_return_sequences"):
            if getattr(options, name) != 1:
                raise ConfigError(f"generation.{name}: an API gives one answer; set it to 1")
        check_api(self.options.api, self._service.room, self._service.schema)
        if find_spec("openai") is None:
            raise MissingExtraError("openai", "api")
        self._service.counter  # noqa: B018  (loads the tokenizer)
        if self.options.provider == "openai" and (sentence := end_of(self.options.model)):
            self._progress.note(sentence)

    def length(self, prompt: Prompt) -> int:
        """Count the tokens of the prompt, or estimate them, and add those of the longest answer."""
        return self._service.counter.count(prompt.messages) + self._service.room

    def fit(self, prompt: Prompt) -> Prompt:
        """Cut the evidence to `max_seq_length` or the model's context, with room for the answer."""
        longest = self._service.counter.at_most(prompt.messages) + self._service.room
        return prompt if longest <= self.limit else super().fit(prompt)

    def identity(self) -> Mapping[str, object]:
        """The model, the server and what else determines an answer."""
        return self._service.identity

    def __enter__(self) -> Self:
        # Failures here also close the loop: no process ends with a waiting thread.
        with ExitStack() as opened:
            self._service.cache = open_cache(self.options, opened)
            self._loop = opened.enter_context(running_loop())
            self._asker = self._wait(self._make())
            for record in (self._spending, self._samples):
                if record:
                    opened.callback(record.close)
            opened.callback(lambda: self._wait(self._close()))
            self._open = opened.pop_all()
        return self

    async def _close(self) -> None:
        # Requests first: to them, a closed client would look like a lost server.
        await cancel_all()
        await self._service.client.close()

    async def _make(self) -> Asker:
        """Open the client within the loop in which it is used."""
        options = self.options
        self._service.client = open_client(self._service.access, options)
        limits = (options.requests_per_minute, options.tokens_per_minute)
        return Asker(self._service, Pace(options.max_concurrency, *limits))

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def __exit__(self, *exc: object) -> None:
        self._open.close()

    def generate(self, prompts: Iterable[Prompt]) -> Iterator[tuple[Prompt, Prediction]]:
        """Yield answers to many prompts at a time, in the order in which they arrive."""
        assert self._asker is not None
        ask: Ask[Prediction] = self._asker.ask
        if self.config.generation.samples > 1:
            ask = Samples(self._service, self._asker.ask, self._samples).ask
        most = self.options.max_concurrency
        return self._asker.policy.answers(self._loop, prompts, ask, most)

    @property
    def confidence_kind(self) -> str | None:
        """Agreement of samples, or log-probabilities if asked for; otherwise None."""
        if self.config.generation.samples > 1:
            return AGREEMENT
        return MEAN_LOGPROB if self.options.logprobs else None

    @property
    def asks_by_batch(self) -> bool:
        """Whether all questions are asked through the Batch API."""
        return self.options.batch_api

    def find_batches(self, folder: Path, fresh: bool) -> bool:
        """Read the record of batches; return whether any are open at the server."""
        self._record = BatchRecord(folder, fresh)
        return bool(self._record.open)

    def answer_by_batch(self, pending: PendingPrompts) -> Iterator[tuple[Prompt, Prediction]]:
        """Collect open batches; if asked to, answer all other questions through the Batch API."""
        run, more = self._batch_run(), self.options.batch_api
        return self._by_samples(pending, lambda prompts: run.answer(prompts, more))

    def cancel_batches(self, pending: PendingPrompts) -> Iterator[tuple[Prompt, Prediction]]:
        """Cancel the open batches and yield the answers they have so far."""
        return self._by_samples(pending, self._batch_run().cancel)

    def _by_samples(
        self, pending: PendingPrompts, ask: Callable[[PendingPrompts], Answers]
    ) -> Answers:
        if self.config.generation.samples == 1 or self._samples is None:
            return ask(pending)
        questions = SampledQuestions(self._service, pending, self._samples)
        return questions.joined(ask(questions))

    def _batch_run(self) -> BatchRun:
        assert self._record is not None
        server = BatchServer(self._service, self._wait)
        return BatchRun(self._service, self._record, server, self._progress)

    def count_elsewhere(self, spent: Spent) -> None:
        """Count what other runs have spent towards this run's caps."""
        self._service.ledger.elsewhere = spent

    def resume(self, spent: Spent, facts: Mapping[str, object], folder: Path) -> None:
        """Count what earlier sessions spent towards the caps, and continue their statistics."""
        self._service.resume(facts)
        self._spending = SpendingRecord(folder)
        self._samples = SampleRecord(folder)
        service, answered = self._service, self._journalled(spent)
        service.ledger.resume(answered, facts, self._spending, service.unlimited)

    def _journalled(self, spent: Spent) -> Spent:
        """Add what the record of batches knows to what the journal does."""
        return spent if self._record is None else spent + self._record.lost

    def facts(self, spent: Spent) -> Mapping[str, object]:
        """The models that answered, requests, prices and costs of all sessions."""
        record, service = self._record, self._service
        return {
            **service.facts(),
            **({"batches": record.to_json()} if record and record.to_json() else {}),
            **service.ledger.to_json(self._journalled(spent)),
            "price": service.ledger.describe_price(),
        }

    def live(self) -> Mapping[str, float | str]:
        """Tokens and money so far, for display."""
        return self._service.ledger.live()

    def estimate_cost(self, prompts: Iterable[Prompt]) -> CostEstimate:
        """Count the prompts, and price them with answers of one token and of full length."""
        examples, cached, samples = 0, 0, self.config.generation.samples
        service = self._service
        with ExitStack() as opened:
            cache = open_cache(self.options, opened, only_found=True)

            def counts() -> Iterator[int]:
                nonlocal examples, cached
                for prompt in prompts:
                    keys = (service.key(prompt, number) for number in range(samples))
                    stored = sum(bool(cache and cache.find(key, prompt.id)) for key in keys)
                    examples, cached = examples + 1, cached + (stored == samples)
                    for _ in range(samples - stored):
                        yield service.counter.count(prompt.messages)

            estimate = service.ledger.estimate(counts(), service.room, service.counter.exact)
        return replace(estimate, examples=examples, cached=cached, samples=samples)
