"""What the requests of a run tell about the server as a whole, and whether going on helps."""

import asyncio
import time

from aqa.backends.openai_api.errors import Failure
from aqa.errors import AqaError, ModelError

FATAL = 2  # errors in a row that concern every request, after which the run stops
ALIKE = 4  # examples that fail in the same words, before any was answered, after which it stops
FIRST_CONTACT = 3.0  # seconds of refused connections, before the server was ever there
KEPT = "what was answered is kept, run it again to go on"


class ServerState:
    """Shared by all requests; stops the run where each of them would fail.

    `request_timeout` are the seconds that an answer may take, and that a server that was there may
    be away, to be restarted for instance.
    """

    def __init__(self, request_timeout: float) -> None:
        self._timeout = request_timeout
        self._lost_since: float | None = None
        self._was_there = False
        self.has_answered = False  # anything of this run, perhaps in an earlier session
        self._fatal = 0
        self._last_failure, self._alike = "", 0
        self._stop: AqaError | None = None
        self._stopped = asyncio.Event()
        self.refused_connections = 0  # in a row

    @property
    def is_lost(self) -> bool:
        """Whether the last one to try found no server; then one at a time tries."""
        return self._lost_since is not None

    def answered(self) -> None:
        """An answer came."""
        self._found()
        self.has_answered = True
        self._fatal = 0

    def heed(self, failure: Failure) -> None:
        """Take an error to heart."""
        if failure.unreachable:
            self._lose(failure)
            return
        self._found()
        if failure.kind == "run":
            self._fatal += 1
            if self._fatal >= FATAL:
                self.stop(ModelError(f"{failure.reason}; {KEPT}"))

    def failed(self, reason: str) -> None:
        """An example is given up; before anything was answered, others may fail just so.

        Raises:
            AqaError: they do, or the server is away.
        """
        if self.is_lost:
            self.stop(self._away(reason))
        elif not self.has_answered:
            self._alike = self._alike + 1 if reason == self._last_failure else 1
            self._last_failure = reason
            if self._alike >= ALIKE:
                self.stop(
                    ModelError(
                        f"no answer yet, and {ALIKE} questions failed in the same words: {reason};"
                        " see --model and the options of the backend"
                    )
                )
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
