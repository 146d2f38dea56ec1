"""Asks an API for the answer to one prompt, again and again if need be, within all limits."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from aqa.backends.openai_api.access import Access
from aqa.backends.openai_api.budget import Budget
from aqa.backends.openai_api.chat import Parameters
from aqa.backends.openai_api.errors import Failure, classify
from aqa.backends.openai_api.pacing import Pace
from aqa.backends.openai_api.replies import Reply
from aqa.backends.openai_api.server_state import ServerState
from aqa.backends.openai_api.tokens import TokenCounter
from aqa.config.options import RunConfig
from aqa.errors import AqaError, StoppedError
from aqa.records import Message, Prediction, Prompt
from aqa.spent import Spent

ATTEMPTS = 8  # of an example, those that the server was too busy for not counted
FIRST_BACK_OFF = 0.5  # seconds, doubled with every attempt
LONGEST_BACK_OFF = 30.0
MISFITS = 2  # times that an example is asked again for an object that follows the schema


class Asker:
    """What all requests of a run share: pace, budget, parameters, and what was learnt."""

    def __init__(
        self,
        config: RunConfig,
        access: Access,
        client: Any,
        pace: Pace,
        budget: Budget,
        parameters: Parameters,
        counter: TokenCounter,
    ) -> None:
        options: Any = config.backend
        self._access, self._client, self._pace, self._budget = access, client, pace, budget
        self._parameters, self._counter = parameters, counter
        self._timeout: float = options.request_timeout
        self._deadline: float = options.example_deadline
        self._answer_limit = config.generation.max_new_tokens
        self._server = ServerState(self._timeout)
        self.models: Counter[str] = Counter()
        self.requests: Counter[str] = Counter()

    def trust(self) -> None:
        """Take it that the server answers the run's questions, since an earlier session saw so."""
        self._server.has_answered = True

    async def ask(self, prompt: Prompt) -> Prediction:  # long: what becomes of each attempt
        """Answer one prompt, or record why it can't be answered.

        Raises:
            AqaError: the run has to stop; this prompt is to be asked again by the next one.
        """
        chat = prompt.messages
        likely = self._counter.count(chat) + self._answer_limit
        worst = self._budget.at_most(self._counter.at_most(chat), self._answer_limit)
        spent = Spent(cost=None if self._budget.price is None else 0.0)
        until: float | None = None  # the clock of an example starts with its first request
        reason = ""
        failures = waits = misfits = 0
        while True:
            body = self._parameters.body(chat)
            started = await self._start(likely, worst)
            until = until or started + self._deadline
            if started >= until:
                self._leave(likely, worst)
                return self._given_up(prompt, failures + waits + misfits, reason, spent)
            used = worst  # where it is broken off: it may be answered, and paid, nevertheless
            try:
                outcome, used = await self._request(body, worst, until - started)
            finally:
                self._budget.end(worst, used)
            spent += used
            self._pace.end(likely, used.input + used.output or likely)
            if isinstance(outcome, Reply):
                self._pace.answered((time.monotonic() - started) / self._timeout)
                self._server.answered()
                self.models[self._access.shown(outcome.model)] += 1
                if outcome.misfit and misfits < MISFITS:
                    misfits += 1
                    reason = outcome.error or ""
                    continue
                return as_prediction(prompt, outcome, spent, self._access)
            failure = outcome
            if failure.refused and self._learn(chat, body, failure):
                continue
            if failure.refused:
                failure = unless_schema(failure, self._parameters)
            self._server.heed(failure)
            if failure.kind == "example":
                if failure.refused:
                    self._server.failed(failure.reason)
                return as_failure(prompt, failure.reason, spent, self._access)
            self._make_way(failure, started)
            reason = failure.reason
            if failure.unreachable:
                waits += 1
                continue
            if failure.kind == "slow":
                waits += 1
            else:
                failures += 1
            pause = max(failure.wait or 0.0, back_off(failures + waits))
            if failures >= ATTEMPTS or time.monotonic() + pause > until:
                return self._given_up(prompt, failures + waits + misfits, reason, spent)
            await self._server.sleep(pause)

    async def _start(self, likely: float, worst: Spent) -> float:
        """Wait for room in the server's limits and in the budget."""
        async with self._pace.turn:
            while True:
                self._server.go_on()
                if self._server.is_lost and self._pace.active:
                    await self._pace.one_less()
                    continue
                if self._budget.has_room(worst):
                    break
                if not self._pace.active:
                    self._server.stop(
                        StoppedError(
                            f"stopped at {self._budget.told()}: the next question could pass it;"
                            " raise it and run the same command again to go on"
                        )
                    )
                    continue
                await self._pace.one_less()
            self._budget.start(worst)
            started = await self._pace.start(likely)
            try:
                self._server.go_on()
            except AqaError:
                self._leave(likely, worst)
                raise
            return started

    def _leave(self, likely: float, worst: Spent) -> None:
        """Give room and reserve back without a request."""
        self._pace.end(likely, 0)
        self._budget.end(worst, Spent())

    async def _request(
        self, body: dict[str, Any], worst: Spent, seconds: float
    ) -> tuple[Reply | Failure, Spent]:
        """One request: its reply or what to do about its error, and what it took."""
        self.requests["sent"] += 1
        try:
            async with asyncio.timeout(min(self._timeout, seconds)):
                response = await self._send(body)
            self._pace.heed(response.headers)
            reply = self._parameters.read(response.content)
        except Exception as error:
            headers = getattr(getattr(error, "response", None), "headers", None)
            if headers is not None:
                self._pace.heed(headers)
            failure = classify(error, self._access)
            if failure is None:
                raise
            self.requests[failure.kind] += 1
            return failure, worst if failure.maybe_paid else Spent()
        self.requests["misfit" if reply.misfit else "answered"] += 1
        return reply, worst if reply.spent is None else self._budget.priced(reply.spent)

    async def _send(self, body: dict[str, Any]) -> Any:
        """The server's response, unread.

        Not by the client's `create`, which takes a third of a request's time to go over
        messages that are plain text. The key of idempotency is not sent, but would be drawn anew.
        """
        import httpx2

        return await self._client.post(
            self._parameters.endpoint.removeprefix("/v1"),
            cast_to=httpx2.Response,
            body=body,
            options={"idempotency_key": "unused"},
        )

    def _make_way(self, failure: Failure, started: float) -> None:
        """Ask for less where the server has too much, and for nothing while it is away."""
        if failure.kind == "slow" or failure.timed_out:
            self._pace.slow_down(started, failure.wait)
        if failure.unreachable:
            pause = back_off(self._server.refused_connections)
            self._pace.hold(min(pause, self._server.patience_left()))

    def _given_up(self, prompt: Prompt, tried: int, reason: str, spent: Spent) -> Prediction:
        reason = self._access.shown(reason)
        self._server.failed(reason)
        times = "1 attempt" if tried == 1 else f"{tried} attempts"
        reason = f"given up after {times}: {reason}"
        return as_failure(prompt, reason, spent, self._access)

    def _learn(self, chat: Sequence[Message], body: dict[str, Any], failure: Failure) -> bool:
        """Whether the request can be made again in another form, which may be learnt by now."""
        learnt = self._parameters.learn(body, failure.param, failure.reason)
        if learnt == "" and self._parameters.body(chat) == body:
            return False
        return learnt is not None


def as_prediction(prompt: Prompt, reply: Reply, spent: Spent, access: Access) -> Prediction:
    """What a reply means for the example that it answers; `spent` is what all attempts took."""
    counted = reply.spent or Spent()
    if reply.text is None:
        failure = as_failure(prompt, reply.error or "", spent, access)
        raw = None if reply.rejected is None else access.without_key(reply.rejected)
        return replace(
            failure,
            raw=raw,
            prompt_tokens=counted.input,
            answer_tokens=counted.output,
            model=access.shown(reply.model),
        )
    structured = reply.structured
    if structured is not None:
        structured = replace(structured, text=access.without_key(structured.text))
    return Prediction(
        prompt.id,
        access.without_key(reply.text),
        prompt_tokens=counted.input,
        answer_tokens=counted.output,
        spent=_rounded(spent),
        structured=structured,
        model=access.shown(reply.model),
        cut=reply.cut,
    )


def as_failure(prompt: Prompt, reason: str, spent: Spent, access: Access) -> Prediction:
    """An example that is given up."""
    return Prediction(prompt.id, error=access.shown(reason), spent=_rounded(spent))


def unless_schema(failure: Failure, parameters: Parameters) -> Failure:
    """The failure, which is one of all requests if the answers' schema is refused."""
    if not parameters.refuses_schema(failure.param, failure.reason):
        return failure
    reason = f"the server takes no JSON schema for answers ({failure.reason})"
    return replace(failure, kind="run", reason=reason)


def _rounded(spent: Spent) -> Spent:
    return spent if spent.cost is None else replace(spent, cost=round(spent.cost, 9))


def back_off(attempt: int) -> float:
    """Seconds to wait after an attempt, from 1: doubled each time, somewhere in the upper half."""
    longest = min(LONGEST_BACK_OFF, FIRST_BACK_OFF * 2.0 ** (attempt - 1))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  (no secret)
