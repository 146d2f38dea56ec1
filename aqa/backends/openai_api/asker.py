"""Asks an API for the answer to one prompt, again and again if need be, within all limits."""

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from aqa.backends.openai_api.common_failures import CommonFailures, Sort, Suspect
from aqa.backends.openai_api.errors import Failure, classify
from aqa.backends.openai_api.pacing import Pace
from aqa.backends.openai_api.prices import priced
from aqa.backends.openai_api.reading import in_utf8
from aqa.backends.openai_api.replies import Reply
from aqa.backends.openai_api.server_state import ServerState
from aqa.backends.openai_api.service import Service
from aqa.backends.openai_api.waits import back_off, in_words
from aqa.records import Message, Prediction, Prompt
from aqa.spent import Spent

ATTEMPTS = 8  # of an example, those that the server was too busy for not counted
TIMEOUTS = 2  # of an example: a thought that takes so long takes as long again, and is paid
DOUBTS = 2  # of an example: refusals that should concern every request
MISFITS = 2  # times that an example is asked again for an object that follows the schema
SHOWN_WAIT = 60.0  # seconds; the user is told of longer waits

Json = dict[str, Any]


@dataclass(slots=True)
class Attempts:
    """What was tried for one example, or one `sample` of its answer, and what it took."""

    spent: Spent
    sample: int = 0
    until: float = math.inf  # the end of its time
    reason: str = ""  # of the last failure
    failures: int = 0
    waits: int = 0
    misfits: int = 0
    doubts: int = 0
    timeouts: int = 0  # among the failures
    had_last: bool = False  # it was tried once more, since others were answered
    seconds: float = 0.0  # of the request that was answered

    @property
    def total(self) -> int:
        """Requests that came to nothing."""
        return self.failures + self.waits + self.misfits + self.doubts

    @property
    def are_over(self) -> bool:
        """Whether these are as many as make sense."""
        return self.failures >= ATTEMPTS or self.doubts >= DOUBTS or self.timed_out

    @property
    def timed_out(self) -> bool:
        """Whether the answer takes longer than a request may, however often it is asked for."""
        return self.timeouts >= TIMEOUTS

    def add(self, failure: Failure) -> float:
        """Count a failure; give the seconds to wait before the next attempt."""
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
        # An earlier session may have seen that the server answers the run's questions.
        self.common.has_answered = bool(self._served.requests["answered"])
        self._waits_until = 0.0  # of a wait that was shown

    async def ask(self, prompt: Prompt, sample: int = 0) -> Prediction:
        """Answer one prompt, or record why it can't be answered; `sample` counts from 0.

        What the cache holds is not asked.

        Raises:
            AqaError: the run has to stop; this prompt is to be asked again by the next one.
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
            body = self._parameters.body(chat, sample)  # with what was learnt meanwhile
            used = worst  # where it is broken off: it may be answered, and paid, nevertheless
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
                found = await self._heed(prompt, outcome, body, started, tried)
            if found is not None:
                return found

    async def _read(self, prompt: Prompt, reply: Reply, tried: Attempts) -> Prediction | None:
        """What a reply means; None where the question is to be asked again."""
        self._server.answered()
        if reply.error is None:
            self.common.answered()
            return self._answer(prompt, reply, tried)
        self.common.settle()
        may_fit = (reply.misfit or reply.empty) and tried.misfits < MISFITS
        at_once = self.common.has_answered or (reply.empty and not tried.misfits)
        if not (may_fit and at_once):
            # A server that gives no object at all is not paid for further tries.
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

    async def _heed(
        self, prompt: Prompt, failure: Failure, body: Json, started: float, tried: Attempts
    ) -> Prediction | None:
        """What an error means; None where the question is to be asked again."""
        self.common.settle()
        if failure.refused and self._learn(prompt.messages, body, failure, tried.sample):
            return None
        if failure.refused:
            failure = self._service.unless_schema(failure)
        self._server.heed(failure, started, self._pace.limit)
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
        """The failure of an example, unless others are answered and it has a last chance."""
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
        """Wait for room in the server's limits and in the budget; None where its time is over."""
        async with self._pace.turn:
            while True:
                self._server.go_on()
                if await self.common.waited():
                    continue
                alone = self._server.is_lost or self._server.is_unwell
                if alone and self._pace.active:
                    await self._pace.one_less()
                    continue
                if self._ledger.has_room(worst):
                    break
                if not self._pace.active:
                    self._server.stop(self._ledger.stopped())
                    continue
                await self._pace.one_less()
            started = await self._pace.start(likely, self._server.sleep)
            tried.until = min(tried.until, started + self._deadline)
            if self._server.is_stopped or started >= tried.until:
                self._pace.end(likely, 0)
                self._server.go_on()
                return None
            self._ledger.start(worst)  # whose room can't have shrunk: nobody else starts
            return started

    async def _request(
        self, body: Json, worst: Spent, seconds: float
    ) -> tuple[Reply | Failure, Spent]:
        """One request: its reply or what to do about its error, and what it took."""
        self._served.requests["sent"] += 1
        try:
            async with asyncio.timeout(min(self._timeout, seconds)):
                response = await self._send(body)
            self._pace.heed(response.headers)
            content = in_utf8(response.content, response.charset_encoding)
            reply = self._parameters.read(content)
        except Exception as error:
            headers = getattr(getattr(error, "response", None), "headers", None)
            if headers is not None:
                self._pace.heed(headers)
            failure = classify(error, self._access)
            if failure is None:
                raise
            self._served.requests[failure.kind] += 1
            return failure, worst if failure.maybe_paid else Spent()
        return reply, self._service.counted(reply, worst, self._ledger.price_in(reply.tier))

    async def _send(self, body: Json) -> Any:
        """The server's response, unread.

        Not by the client's `create`, which takes a third of a request's time to go over
        messages that are plain text. The key of idempotency is not sent, but would be drawn anew.
        """
        import httpx2

        return await self._service.client.post(
            self._parameters.endpoint.removeprefix("/v1"),
            cast_to=httpx2.Response,
            body=body,
            options={"idempotency_key": "unused"},
        )

    def _make_way(self, failure: Failure, started: float) -> None:
        """Ask for less where the server has too much, and for nothing while it is away."""
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
            self._service.note(f"the server asks to wait {in_words(failure.wait)}: {asked}")

    def _learn(self, chat: Sequence[Message], body: Json, failure: Failure, sample: int) -> bool:
        """Whether the request can be made again in another form, which may be learnt by now."""
        learnt = self._parameters.learn(body, failure.param, failure.reason)
        if learnt == "" and self._parameters.body(chat, sample) == body:
            return False
        return learnt is not None
