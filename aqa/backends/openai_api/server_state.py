"""What a run's requests reveal about the server, and whether it is worth continuing."""

import asyncio
import time
from collections.abc import Callable

from aqa.backends.openai_api.errors import Failure
from aqa.errors import AqaError, ModelError

KEPT = "what was answered is kept; run the same command again to resume"
FATAL = 2  # errors in a row that concern all requests, before the run stops
FAILS = 4  # the fewest server errors in a row before requests are reduced
FIRST_CONTACT = 3.0  # seconds of refused connections, if the server was never reached
BUSY = 120.0  # the most seconds without an answer: twice the minute of rate limits
IN_VAIN = 3  # the fewest waits, as the server asked, that brought no answer


class ServerState:
    """Shared by all requests; stops the run if each of them would fail.

    `request_timeout` is the number of seconds that an answer may take, and that a server which has
    been reached may be away, for example to restart. `stopping` is called when the run stops.
    """

    def __init__(self, request_timeout: float, stopping: Callable[[], None]) -> None:
        self._timeout, self._stopping = request_timeout, stopping
        self._lost_since: float | None = None
        self._was_there = False
        self._fatal = 0
        self._failed_in_a_row = 0  # requests that ended in a server error
        self._unwell_since: float | None = None
        self.tries = 0  # requests since then
        self._quiet_since: float | None = None  # when the last answer, or the first failure, came
        self._in_vain, self._asked_until = 0, 0.0
        self.sent_away = 0  # examples turned away since then as it was busy, except failed ones
        self._stop: AqaError | None = None
        self.stopped = asyncio.Event()
        self.refused_connections = 0  # in a row

    @property
    def is_lost(self) -> bool:
        """Whether the last request found no server; then requests go one at a time."""
        return self._lost_since is not None

    @property
    def is_too_busy(self) -> bool:
        """Whether it has long answered nobody, although we waited as often as it asked."""
        now = time.monotonic()
        patience = min(self._timeout, BUSY)
        return self._in_vain >= IN_VAIN and now - (self._quiet_since or now) > patience

    @property
    def is_unwell(self) -> bool:
        """Whether all recent requests failed; then requests go one at a time."""
        return self._unwell_since is not None

    def answered(self) -> None:
        """Note that an answer arrived."""
        self._found()
        self._fatal = self._failed_in_a_row = self.tries = 0
        self._unwell_since = None
        self._quiet_since, self._in_vain, self.sent_away = time.monotonic(), 0, 0

    def record_failure(self, failure: Failure, started: float, at_a_time: int) -> None:
        """Note the error of a request, one of `at_a_time` concurrent ones."""
        if failure.unreachable:
            self._lose(failure)
            return
        self._found()
        now = time.monotonic()
        if failure.kind == "retry":
            self._failed_in_a_row += 1
            if self._unwell_since is not None:
                self.tries += started >= self._unwell_since
            elif self._failed_in_a_row >= max(at_a_time, FAILS):
                self._unwell_since = now
        self._quiet_since = self._quiet_since or now
        if started >= self._asked_until:
            self._in_vain += 1
            self._asked_until = now + (failure.wait or 0.0)
        if failure.kind == "run" and not failure.perhaps_alone:
            self._fatal += 1
            if self._fatal >= FATAL:
                self.stop(ModelError(f"{failure.reason}; {KEPT}"))

    def lost(self, reason: str) -> None:
        """Note that an example is given up; AqaError if the server is away."""
        if self.is_lost:
            self.stop(self._away(reason))
        self.raise_if_stopped()

    def _found(self) -> None:
        self._lost_since, self.refused_connections, self._was_there = None, 0, True

    def _lose(self, failure: Failure) -> None:
        self._lost_since = self._lost_since or time.monotonic()
        self.refused_connections += 1
        if self.patience_left() <= 0:
            self.stop(self._away(failure.reason))

    def patience_left(self) -> float:
        """Return the seconds that a lost server still has to come back."""
        patience = self._timeout if self._was_there else min(FIRST_CONTACT, self._timeout)
        return patience - (time.monotonic() - (self._lost_since or time.monotonic()))

    def _away(self, reason: str) -> ModelError:
        if self._was_there:
            return ModelError(f"{reason} any more; {KEPT}")
        return ModelError(f"{reason}; is backend.base_url right?")

    def stop(self, error: AqaError) -> None:
        """Stop all requests; the first error is the one reported."""
        self._stop = self._stop or error
        self.stopped.set()
        self._stopping()

    def raise_if_stopped(self) -> None:
        """Raise the error that stopped the run, if any."""
        if self._stop is not None:
            raise self._stop

    async def sleep(self, seconds: float) -> None:
        """Wait, unless the run stops meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await self.stopped.wait()
        except TimeoutError:
            return
        self.raise_if_stopped()
