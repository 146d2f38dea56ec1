"""What the requests of a run tell about the server as a whole, and whether going on helps."""

import asyncio
import time
from collections.abc import Callable

from aqa.backends.openai_api.errors import Failure
from aqa.errors import AqaError, ModelError

KEPT = "what was answered is kept; run the same command again to resume"
FATAL = 2  # errors in a row that concern every request, after which the run stops
FAILS = 4  # errors of the server's in a row, at least, before fewer requests try it
FIRST_CONTACT = 3.0  # seconds of refused connections, before the server was ever there
BUSY = 120.0  # seconds at most without an answer: twice the minute that servers count by
IN_VAIN = 3  # waits as long as the server asked for, at least, that no answer came after


class ServerState:
    """Shared by all requests; stops the run where each of them would fail.

    `request_timeout` are the seconds that an answer may take, and that a server that was there may
    be away, to be restarted for instance. `stopping` is called when the run stops.
    """

    def __init__(self, request_timeout: float, stopping: Callable[[], None]) -> None:
        self._timeout, self._stopping = request_timeout, stopping
        self._lost_since: float | None = None
        self._was_there = False
        self._fatal = 0
        self._failed_in_a_row = 0  # requests that ended in an error of the server's
        self._unwell_since: float | None = None
        self.tries = 0  # requests since then
        self._quiet_since: float | None = None  # of the last answer, or the first failure
        self._in_vain, self._asked_until = 0, 0.0
        self.sent_away = 0  # examples since then, as it was busy; not those given up
        self._stop: AqaError | None = None
        self._stopped = asyncio.Event()
        self.refused_connections = 0  # in a row

    @property
    def is_lost(self) -> bool:
        """Whether the last one to try found no server; then one at a time tries."""
        return self._lost_since is not None

    @property
    def is_too_busy(self) -> bool:
        """Whether it has long answered nobody, however often it was waited for as it asked."""
        now = time.monotonic()
        patience = min(self._timeout, BUSY)
        return self._in_vain >= IN_VAIN and now - (self._quiet_since or now) > patience

    @property
    def is_unwell(self) -> bool:
        """Whether it failed whatever it was asked last; then one at a time tries."""
        return self._unwell_since is not None

    def answered(self) -> None:
        """An answer came."""
        self._found()
        self._fatal = self._failed_in_a_row = self.tries = 0
        self._unwell_since = None
        self._quiet_since, self._in_vain, self.sent_away = time.monotonic(), 0, 0

    def heed(self, failure: Failure, started: float, at_a_time: int) -> None:
        """Take the error of a request to heart, which had so many others beside it."""
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
        """An example is given up; AqaError once the server is away."""
        if self.is_lost:
            self.stop(self._away(reason))
        self.go_on()

    def _found(self) -> None:
        self._lost_since, self.refused_connections, self._was_there = None, 0, True

    def _lose(self, failure: Failure) -> None:
        self._lost_since = self._lost_since or time.monotonic()
        self.refused_connections += 1
        if self.patience_left() <= 0:
            self.stop(self._away(failure.reason))

    def patience_left(self) -> float:
        """Seconds that a lost server has to come back."""
        patience = self._timeout if self._was_there else min(FIRST_CONTACT, self._timeout)
        return patience - (time.monotonic() - (self._lost_since or time.monotonic()))

    def _away(self, reason: str) -> ModelError:
        if self._was_there:
            return ModelError(f"{reason} any more; {KEPT}")
        return ModelError(f"{reason}; is backend.base_url right?")

    def stop(self, error: AqaError) -> None:
        """Let nobody go on; the first error is the one that is told."""
        self._stop = self._stop or error
        self._stopped.set()
        self._stopping()

    @property
    def is_stopped(self) -> bool:
        """Whether nobody may go on."""
        return self._stop is not None

    def go_on(self) -> None:
        """Raise what stopped the run, if anything did."""
        if self._stop is not None:
            raise self._stop

    async def sleep(self, seconds: float) -> None:
        """Wait, unless the run is stopped meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        except TimeoutError:
            return
        self.go_on()
