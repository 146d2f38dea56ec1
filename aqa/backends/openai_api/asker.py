"""Ask an API for the answer to one prompt, within all limits; `Policy` decides about failures."""

import asyncio
import time
from dataclasses import replace
from typing import Any

from aqa.backends.openai_api.attempts import Attempts
from aqa.backends.openai_api.body_parsing import in_utf8
from aqa.backends.openai_api.failures import Failure, classify
from aqa.backends.openai_api.pacing import Pace
from aqa.backends.openai_api.policy import Policy
from aqa.backends.openai_api.prices import priced
from aqa.backends.openai_api.replies import Reply
from aqa.backends.openai_api.service import Service
from aqa.records import Prediction, Prompt
from aqa.spent import Spent

Json = dict[str, Any]


class Asker:
    """Asks for answers, many at a time: waits for its turn, sends a request, obeys the policy."""

    def __init__(self, service: Service, pace: Pace) -> None:
        options = service.options
        self._service, self._pace = service, pace
        self._access, self._ledger = service.access, service.ledger
        self._parameters = service.parameters
        self._timeout, self._deadline = options.request_timeout, options.example_deadline
        self.policy = Policy(pace, service.note, service.has_answered, self._timeout)

    async def ask(self, prompt: Prompt, sample: int = 0) -> Prediction:
        """Answer one prompt, or record why that failed; `sample` counts from 0.

        Answers in the cache are not requested again.

        Raises:
            AqaError: the run must stop; the next one asks this prompt again.
        """
        prediction = self._service.cached(prompt, sample)
        if prediction is None:
            prediction = await self._answered(prompt, sample)
            self._service.keep(prompt, prediction, sample)
        return prediction

    async def _answered(self, prompt: Prompt, sample: int) -> Prediction:
        likely = self._service.counter.count(prompt.messages) + self._service.room
        worst = self._service.worst(prompt, self._ledger.price)
        tried = Attempts(priced(Spent(), self._ledger.price), sample)
        while True:
            started = await self._start(likely, worst, tried)
            if started is None:
                again = await self.policy.give_up(tried)
            else:
                again = await self._attempt(prompt, likely, worst, tried, started)
            if not again:
                return self._prediction(prompt, tried)

    def _prediction(self, prompt: Prompt, tried: Attempts) -> Prediction:
        """Return the answer, or why there is none."""
        if tried.reply is not None:
            prediction = self._service.prediction(prompt, tried.reply, tried.spent)
            return replace(prediction, seconds=round(tried.seconds, 3))
        assert tried.last is not None
        reason = tried.last.after(tried.failures.total())
        return self._service.failure(prompt, reason, tried.spent)

    async def _start(self, likely: float, worst: Spent, tried: Attempts) -> float | None:
        """Wait until a request may start, within all limits; None if its time is up by then."""
        patience = None  # a question's time begins with its first request
        if tried.last is not None:
            now = time.monotonic()
            ready = max(tried.ready, now + self._pace.wait())
            if ready > tried.until or self.policy.is_down:
                return None
            await self.policy.sleep(tried.ready - now)
            patience = tried.until - time.monotonic()
        try:
            async with asyncio.timeout(patience), self._pace.turn:
                await self._wait_for_room(worst, tried.until)
                started = time.monotonic()
                self._pace.start(likely)
                self._ledger.start(worst)  # there is still room, since nobody else starts
        except TimeoutError:
            return None
        tried.until = min(tried.until, started + self._deadline)
        return started

    async def _wait_for_room(self, worst: Spent, until: float) -> None:
        """Wait for others to end and for rates to allow a request; TimeoutError if until later."""
        while True:
            self.policy.raise_if_stopped()
            wait = self._pace.wait()
            if self._is_blocked(worst):
                await self._pace.one_less()
            elif wait <= 0:
                return
            elif time.monotonic() + wait > until:
                raise TimeoutError
            else:
                await self.policy.sleep(wait)

    def _is_blocked(self, worst: Spent) -> bool:
        """Whether a request in flight must end first; AqaError if the budget allows no other."""
        active = self._pace.active
        if active >= self._pace.limit:
            return True
        if self._ledger.may_start(worst):
            return (self.policy.is_careful or self._ledger.is_untried) and active > 0
        if not active:
            self.policy.stop(self._ledger.stopped())
            self.policy.raise_if_stopped()
        return True

    async def _attempt(
        self, prompt: Prompt, likely: float, worst: Spent, tried: Attempts, started: float
    ) -> bool:
        """Make one request; return whether to ask the question again."""
        body = self._parameters.body(prompt.messages, tried.sample)
        used = worst  # if interrupted, it may still be answered and billed
        try:
            outcome, used = await self._request(body, worst, tried.until - started)
        finally:
            self._ledger.end(worst, used)
        tried.spent += used
        self._pace.end(likely, used.input + used.output or likely)
        tried.reply = None
        if isinstance(outcome, Reply):
            tried.reply, tried.seconds = outcome, time.monotonic() - started
            self._pace.answered(tried.seconds / self._timeout)
            if outcome.error is None:
                self.policy.answered()
                return False
            outcome = self._service.as_failure(outcome)
        elif outcome.refused:
            outcome = self._parameters.learn(body, outcome)
            if self._parameters.body(prompt.messages, tried.sample) != body:
                return True
        return await self.policy.failed(outcome, tried, started)

    async def _request(
        self, body: Json, worst: Spent, seconds: float
    ) -> tuple[Reply | Failure, Spent]:
        """Make one request; return its reply or failure, and its cost."""
        self._service.requests["sent"] += 1
        try:
            async with asyncio.timeout(min(self._timeout, seconds)):
                response = await self._send(body)
            self._pace.apply_limits(response.headers)
            content = in_utf8(response.content, response.charset_encoding)
            reply = self._parameters.read(content)
        except Exception as error:
            headers = getattr(getattr(error, "response", None), "headers", None)
            if headers is not None:
                self._pace.apply_limits(headers)
            failure = classify(error, self._access)
            if failure is None:
                raise
            self._service.requests[failure.kind] += 1
            return failure, worst if failure.maybe_paid else Spent()
        return reply, self._service.counted(reply, worst, self._ledger.price_in(reply.tier))

    async def _send(self, body: Json) -> Any:
        """Return the server's unread response.

        The client's `create` is avoided: it spends a third of a request's time on walking through
        plain messages. The idempotency key is never sent; setting it saves generating one.
        """
        import httpx2

        return await self._service.client.post(
            self._parameters.endpoint.removeprefix("/v1"),
            cast_to=httpx2.Response,
            body=body,
            options={"idempotency_key": "unused"},
        )
