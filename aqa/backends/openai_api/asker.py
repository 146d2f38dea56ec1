"""Ask an API for the answer to one prompt, with retries, within all limits."""

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from aqa.backends.openai_api.body_parsing import in_utf8
from aqa.backends.openai_api.common_failures import CommonFailures, Sort, Suspect
from aqa.backends.openai_api.errors import Failure, classify
from aqa.backends.openai_api.pacing import Pace
from aqa.backends.openai_api.prices import priced
from aqa.backends.openai_api.replies import Reply
from aqa.backends.openai_api.retry_delays import back_off, format_duration
from aqa.backends.openai_api.server_state import ServerState
from aqa.backends.openai_api.service import Service
from aqa.records import Message, Prediction, Prompt
from aqa.spent import Spent

ATTEMPTS = 8  # per example, not counting those when the server was busy
TIMEOUTS = 2  # per example: a retry would take as long, and costs money
DOUBTS = 2  # per example: refusals that should concern every request
MISFITS = 2  # retries per example for an object that follows the schema
SHOWN_WAIT = 60.0  # seconds; longer waits are shown to the user

Json = dict[str, Any]


@dataclass(slots=True)
class Attempts:
    """The attempts at one example, or at one `sample` of its answer, and their cost."""

    spent: Spent
    sample: int = 0
    until: float = math.inf  # its deadline
    reason: str = ""  # of the last failure
    failures: int = 0
    waits: int = 0
    misfits: int = 0
    doubts: int = 0
    timeouts: int = 0  # among the failures
    had_last: bool = False  # whether it was retried because others were answered
    seconds: float = 0.0  # of the successful request

    @property
    def total(self) -> int:
        """The number of requests that failed."""
        return self.failures + self.waits + self.misfits + self.doubts

    @property
    def are_over(self) -> bool:
        """Whether further attempts make no sense."""
        return self.failures >= ATTEMPTS or self.doubts >= DOUBTS or self.timed_out

    @property
    def timed_out(self) -> bool:
        """Whether the answer repeatedly takes longer than a request may."""
        return self.timeouts >= TIMEOUTS

    def add(self, failure: Failure) -> float:
        """Count a failure; return the seconds to wait before the next attempt."""
        self.reason = failure.reason
        self.timeouts += failure.timed_out
        if failure.perhaps_alone:
            self.doubts += 1
        elif failure.unreachable or failure.kind == "slow":
            self.waits += 1
        else:
            self.failures += 1
        return max(failure.wait or 0.0, back_off(self.total - self.misfits))


class Asker:
    """What all requests of a run share: pace, ledger, parameters, and what was learnt."""

    def __init__(self, service: Service, pace: Pace) -> None:
        options = service.options
        self._service, self._pace = service, pace
        self._access, self._ledger = service.access, service.ledger
        self._parameters, self._served = service.parameters, service.served
        self._timeout, self._deadline = options.request_timeout, options.example_deadline
        self._server = ServerState(self._timeout, lambda: self.common.release(None))
        self.common = CommonFailures(self._server, lambda: pace.active)
        # An earlier session may have had answers from this server.
        self.common.has_answered = bool(self._served.requests["answered"])
        self._waits_until = 0.0  # the end of a wait that was shown

    async def ask(self, prompt: Prompt, sample: int = 0) -> Prediction:
        """Answer one prompt, or record why that failed; `sample` counts from 0.

        Answers in the cache are not requested again.

        Raises:
            AqaError: the run must stop; the next one asks this prompt again.
        """
        found = self._service.known(prompt, sample)
        if found is None:
            found = await self._answered(prompt, sample)
            self._service.keep(prompt, found, sample)
        return found

    async def _answered(self, prompt: Prompt, sample: int) -> Prediction:
        chat = prompt.messages
        likely = self._service.counter.count(chat) + self._service.room
        price = self._ledger.price
        worst = self._service.worst(prompt, price)
        tried = Attempts(priced(Spent(), price), sample)
        while True:
            started = await self._start(likely, worst, tried)
            if started is None:
                found = await self._give_up(prompt, tried)
                if found is not None:
                    return found
                continue
            body = self._parameters.body(chat, sample)  # with what has been learnt meanwhile
            used = worst  # if interrupted, it may still be answered and billed
            try:
                outcome, used = await self._request(body, worst, tried.until - started)
            finally:
                self._ledger.end(worst, used)
            tried.spent += used
            self._pace.end(likely, used.input + used.output or likely)
            if isinstance(outcome, Reply):
                tried.seconds = time.monotonic() - started
                self._pace.answered(tried.seconds / self._timeout)
                found = await self._read(prompt, outcome, tried)
            else:
                found = await self._handle_failure(prompt, outcome, body, started, tried)
            if found is not None:
                return found

    async def _read(self, prompt: Prompt, reply: Reply, tried: Attempts) -> Prediction | None:
        """Turn a reply into a prediction; None if the question must be asked again."""
        self._server.answered()
        if reply.error is None:
            self.common.answered()
            return self._answer(prompt, reply, tried)
        self.common.settle()
        may_fit = (reply.misfit or reply.empty) and tried.misfits < MISFITS
        at_once = self.common.has_answered or (reply.empty and not tried.misfits)
        if not (may_fit and at_once):
            # A server that never returns an object is not paid for more attempts.
            said = self._access.shown(reply.rejected or "")
            others_do = await self.common.own(self._access.shown(reply.error), said)
            if not (may_fit and others_do):
                return self._answer(prompt, reply, tried)
        tried.misfits += 1
        tried.reason = reply.error
        return None

    def _answer(self, prompt: Prompt, reply: Reply, tried: Attempts) -> Prediction:
        found = self._service.prediction(prompt, reply, tried.spent)
        return replace(found, seconds=round(tried.seconds, 3))

    async def _handle_failure(
        self, prompt: Prompt, failure: Failure, body: Json, started: float, tried: Attempts
    ) -> Prediction | None:
        """Turn an error into a prediction; None if the question must be asked again."""
        self.common.settle()
        if failure.refused and self._learn(prompt.messages, body, failure, tried.sample):
            return None
        if failure.refused:
            failure = self._service.unless_schema(failure)
        self._server.record_failure(failure, started, self._pace.limit)
        if failure.kind == "example":
            await self.common.own(self._access.shown(failure.reason))
            return self._service.failure(prompt, failure.reason, tried.spent)
        self._make_way(failure, started)
        pause = tried.add(failure)
        self._server.sent_away += tried.waits == 1 and failure.kind == "slow"
        if failure.unreachable:
            return None
        if failure.kind == "slow":
            over = self._server.is_too_busy and not self._pace.active
        else:
            over = tried.are_over or self._server.tries >= ATTEMPTS
        if over or time.monotonic() + pause > tried.until:
            return await self._give_up(prompt, tried)
        await self._server.sleep(pause)
        return None

    async def _give_up(self, prompt: Prompt, tried: Attempts) -> Prediction | None:
        """Return an example's failure; None for a last attempt, if others are answered."""
        reason = self._access.shown(tried.reason)
        self._server.lost(reason)
        sort: Sort = "doubt" if tried.doubts else "trouble"
        self._server.sent_away -= tried.waits > 0
        others_are = await self.common.others_are_answered(Suspect(sort, reason))
        may_pass = not (tried.had_last or tried.timed_out)
        if others_are and may_pass and time.monotonic() < tried.until:
            tried.had_last = True
            return None
        times = "1 attempt" if tried.total == 1 else f"{tried.total} attempts"
        return self._service.failure(prompt, f"gave up after {times}: {reason}", tried.spent)

    async def _start(self, likely: float, worst: Spent, tried: Attempts) -> float | None:
        """Wait for room in the server's limits and the budget; None if its time is up."""
        async with self._pace.turn:
            while True:
                self._server.raise_if_stopped()
                if await self.common.waited():
                    continue
                alone = self._server.is_lost or self._server.is_unwell or self._ledger.is_untried
                if alone and self._pace.active:
                    await self._pace.one_less()
                    continue
                if self._ledger.may_start(worst):
                    break
                if not self._pace.active:
                    self._server.stop(self._ledger.stopped())
                    continue
                await self._pace.one_less()
            started = await self._pace.start(likely, self._server.sleep)
            tried.until = min(tried.until, started + self._deadline)
            if self._server.stopped.is_set() or started >= tried.until:
                self._pace.end(likely, 0)
                self._server.raise_if_stopped()
                return None
            self._ledger.start(worst)  # there is still room, since nobody else starts
            return started

    async def _request(
        self, body: Json, worst: Spent, seconds: float
    ) -> tuple[Reply | Failure, Spent]:
        """Make one request; return the reply or what to do about its error, and its cost."""
        self._served.requests["sent"] += 1
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
            self._served.requests[failure.kind] += 1
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

    def _make_way(self, failure: Failure, started: float) -> None:
        """Send less if the server is overloaded, and nothing while it is unreachable."""
        if failure.kind == "slow" or failure.timed_out:
            self._pace.slow_down(started, failure.wait)
        elif self._server.is_unwell and self._server.tries < ATTEMPTS:
            self._pace.hold(back_off(self._server.tries + 1))
        if failure.unreachable:
            pause = back_off(self._server.refused_connections)
            self._pace.hold(min(pause, self._server.patience_left()))
        now = time.monotonic()
        if failure.wait and failure.wait >= SHOWN_WAIT and now > self._waits_until:
            self._waits_until = now + failure.wait
            asked = self._access.shown(failure.reason)
            self._service.note(f"the server asks to wait {format_duration(failure.wait)}: {asked}")

    def _learn(self, chat: Sequence[Message], body: Json, failure: Failure, sample: int) -> bool:
        """Whether the request can be repeated in another form, perhaps one learnt meanwhile."""
        learnt = self._parameters.learn(body, failure.param, failure.reason)
        if learnt == "" and self._parameters.body(chat, sample) == body:
            return False
        return learnt is not None
