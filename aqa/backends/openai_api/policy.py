"""Decide what follows from a failed request: ask again, fail its question, or stop the run."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from aqa.backends.event_loop import Ask, answers
from aqa.backends.openai_api.attempts import ATTEMPTS, Attempts
from aqa.backends.openai_api.failures import Failure
from aqa.backends.openai_api.pacing import Pace
from aqa.backends.openai_api.retry_delays import back_off, format_duration
from aqa.errors import AqaError, ModelError
from aqa.records import Prediction, Prompt

FATAL = 2  # failures in a row that concern all requests, before the run stops
FEWEST = 4  # the fewest failures in a row before a server is probed
PROBES = 10  # failed probes after which a server is down; about two minutes, with their pauses
FIRST_PROBES = 3  # the same if it was never reached; about three seconds
ALIKE = 4  # questions that failed alike, with no answer meanwhile, before the run stops
MANY = 40  # the same for questions' own failures, once there was an answer
SHOWN_WAIT = 60.0  # seconds; longer waits are shown to the user
SHOWN = 100  # characters of a text that is not an answer
KEPT = "what was answered is kept; run the same command again to resume"
AGAIN = "with --retry-errors for what failed"
OPTIONS = "see --model and the options of the backend"
LATER = "try again later, or see whether backend.base_url and the limits of the account are right"


class Policy:
    """What the requests of a run reveal about its server, and what to do about failures.

    After a round of failures without an answer, the server is probed: one request at a time, with
    growing pauses. After `PROBES` failures it is down, and questions give up; one that was reached
    and can't be any more has `patience` seconds to start again.

    A question that gives up is held until it is known whether it is the only one. If another is
    answered, it is asked once more. If `ALIKE` are held and nothing else is in flight, the run
    stops, and the next run asks them again. If a resumed run stops like this without any answer, it
    records them as failed, or every later run would stop there too.
    """

    def __init__(
        self, pace: Pace, note: Callable[[str], None], has_answered: bool, patience: float
    ) -> None:
        """`has_answered`: an earlier session of the run had answers."""
        self._pace, self._note, self._has_answered = pace, note, has_answered
        self._patience = patience
        self._answered_now = False  # in this session
        self._was_reached = self._is_away = False
        self._failed = self._fatal = 0  # requests in a row
        self._probing_since, self._probes = math.inf, 0
        self._held: dict[asyncio.Future[bool], Failure] = {}
        self._row: list[Failure] = []  # questions' own, alike and in a row, without an answer
        self._is_doubtful = False  # whether so many failed alike that others probably would
        self._read = self._done = self._room = 0
        self._all_read = False
        self._shown_until = 0.0  # the end of a wait that was shown
        self._error: AqaError | None = None  # why the run stops
        self._stopped = asyncio.Event()

    def answers(
        self,
        loop: asyncio.AbstractEventLoop,
        prompts: Iterable[Prompt],
        ask: Ask[Prediction],
        most: int,
    ) -> Iterator[tuple[Prompt, Prediction]]:
        """Ask like `event_loop.answers`, `most` at a time plus the few that are held.

        Raises:
            AqaError: the run stops; or all that was left failed alike, which is yielded first.
        """
        self._read = self._done = 0
        self._room, self._all_read = most + ALIKE, False

        def counted() -> Iterator[Prompt]:  # in another thread
            for prompt in prompts:
                self._read += 1
                yield prompt
            loop.call_soon_threadsafe(self._end_of_prompts)

        async def watched(prompt: Prompt) -> Prediction:
            try:
                return await ask(prompt)
            finally:
                self._done += 1
                self._settle()

        yield from answers(loop, counted(), watched, self._room)
        self.raise_if_stopped()

    def _end_of_prompts(self) -> None:
        self._all_read = True
        self._settle()

    @property
    def is_down(self) -> bool:
        """Whether the server has failed so often that questions need no further attempts."""
        if self._is_away and self._was_reached:  # it may start again
            return time.monotonic() > self._probing_since + self._patience
        return self._probes >= (PROBES if self._was_reached else FIRST_PROBES)

    @property
    def is_careful(self) -> bool:
        """Whether nothing may start while a request is in flight."""
        return self._is_doubtful or self._is_probing

    @property
    def _is_probing(self) -> bool:
        return self._probing_since < math.inf

    @property
    def _in_vain(self) -> bool:
        return self._has_answered and not self._answered_now

    def answered(self) -> None:
        """Note that a question was answered: those that are held failed alone."""
        self._has_answered = self._answered_now = True
        self._row.clear()
        self._recover()
        self._release(True)

    def _recover(self) -> None:
        """Note that the server works, whatever it said."""
        self._was_reached, self._is_away = True, False
        self._failed = self._fatal = self._probes = 0
        self._probing_since = math.inf

    async def failed(self, failure: Failure, tried: Attempts, started: float) -> bool:
        """Note that a request failed; return whether to ask its question again."""
        self._observe(failure, started)
        self._settle()
        tried.failures[failure.kind] += 1
        tried.last = failure
        over = tried.failures[failure.kind] >= ATTEMPTS.get(failure.kind, math.inf)
        if failure.is_own:  # answers are paid for, so a server that may only give misfits waits
            again = not over and (self._has_answered or failure.kind == "empty")
        else:
            pause = 0.0 if self._is_probing else back_off(tried.failures.total())
            tried.ready = time.monotonic() + max(failure.wait or 0.0, pause)
            over |= tried.is_final and failure.kind in ATTEMPTS
            again = not over and not self.is_down and tried.ready <= tried.until
        return again or await self.give_up(tried)

    def _observe(self, failure: Failure, started: float) -> None:
        """Send less if the server is overloaded, probe it if it fails, stop if it refuses all."""
        if failure.is_own:
            self._recover()
            return
        self._is_away = failure.kind == "unreachable"
        self._was_reached |= not self._is_away
        self._fatal += failure.kind == "fatal"
        if self._fatal >= FATAL:
            self.stop(ModelError(f"{failure.reason}; {KEPT}"))
        if failure.kind in ("busy", "late"):
            self._pace.slow_down(started)
        if failure.kind == "busy" and (wait := failure.wait):
            self._pace.hold(wait)
            now = time.monotonic()
            if wait >= SHOWN_WAIT and now > self._shown_until:
                self._shown_until = now + wait
                self._note(f"the server asks to wait {format_duration(wait)}: {failure.reason}")
        if failure.may_pass:
            self._probe(failure, started)

    def _probe(self, failure: Failure, started: float) -> None:
        """Count a failure that may pass; if there are only such, send one request at a time."""
        self._failed += 1
        if self._is_probing:
            self._probes += started >= self._probing_since
        elif failure.kind == "unreachable" or self._failed >= max(self._pace.limit, FEWEST):
            self._probing_since = time.monotonic()
        if self._is_probing and not self.is_down:
            self._pace.hold(back_off(self._probes + 1))

    async def give_up(self, tried: Attempts) -> bool:
        """Return whether to ask a question once more whose attempts, or whose time, are over.

        Unless it surely is the only one, it is first held until others are answered.
        """
        assert tried.last is not None
        failure = tried.last
        if failure.kind == "unreachable" and self._is_away:
            advice = f" any more; {KEPT}" if self._was_reached else "; is backend.base_url right?"
            self.stop(ModelError(failure.reason + advice))
        self.raise_if_stopped()
        if failure.is_own and self._has_answered:
            if self._row and self._row[0].group != failure.group:
                self._row.clear()
            self._row.append(failure)
            self._settle()
            return False
        others_are_answered = await self._hold(failure)
        may_pass = not tried.is_final and failure.kind not in ("own", "late")
        tried.is_final |= not failure.is_own
        return others_are_answered and may_pass and time.monotonic() < tried.until

    async def _hold(self, failure: Failure) -> bool:
        """Wait until it is known whether a question failed alone; True if another was answered."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._held[future] = failure
        try:
            self._settle()
            return await future
        finally:
            self._held.pop(future, None)

    def _release(self, answered: bool) -> None:
        """Tell the questions that are held whether another was answered."""
        for future in self._held:
            if not future.done():
                future.set_result(answered)
        self._held.clear()
        self._is_doubtful = len(self._row) >= MANY

    def _settle(self) -> None:
        """Decide whether what is held goes on waiting for an answer to another question.

        If too many failed alike, nothing starts until no request is in flight; then the run stops.
        """
        alike, all_are_held = self._alike(), self._all_are_held()
        too_many = len(alike) >= ALIKE or len(self._row) >= MANY
        # At the end of a run that was resumed in vain, all are tried.
        tries_the_rest = self._in_vain and self._all_read and not all_are_held
        self._is_doubtful = too_many and not tries_the_rest
        if self._is_doubtful:
            if not self._pace.active:
                self._stop_for(alike, all_are_held)
        elif all_are_held:
            self._end_with_held()
        elif self._held and len(self._held) >= self._room:  # they differ, and block others
            self._release(False)

    def _alike(self) -> list[Failure]:
        """Return the failures of the largest group of held questions that failed alike."""
        held = self._held.values()
        sizes = Counter(failure.group for failure in held)
        largest = max(sizes, key=sizes.__getitem__, default="")
        return [failure for failure in held if failure.group == largest]

    def _all_are_held(self) -> bool:
        """Whether some are held, and all others of the run have an answer or a failure."""
        return self._all_read and 0 < len(self._held) == self._read - self._done

    def _stop_for(self, alike: list[Failure], all_are_held: bool) -> None:
        """Stop the run; unless the next one should ask what is held again, that has failed."""
        error = ModelError(self._reason(alike))
        if self._in_vain or (all_are_held and self._has_answered):
            self._release(False)
        self.stop(error)

    def _end_with_held(self) -> None:
        """End the run with what is held as failed; if access was denied before any answer, stop."""
        denied = [failure.reason for failure in self._held.values() if failure.kind == "denied"]
        if denied and not self._has_answered:
            self.stop(ModelError(f"{denied[0]}; {KEPT}"))
        self._release(False)

    def _reason(self, alike: list[Failure]) -> str:
        """Say why the run stops: because of questions that failed alike, or so many in a row."""
        hint = f"{KEPT}, {AGAIN}" if self._in_vain or len(alike) < ALIKE else KEPT
        if len(alike) < ALIKE:
            failed = f"{len(self._row)} questions in a row failed with the same message"
            return f"{failed}: {self._row[-1].reason}; {hint}"
        first, count = alike[0], len(alike)
        if first.kind in ("denied", "fatal"):
            return f"{first.reason}; {hint}"
        if self._has_answered:
            failed = f"{count} questions failed, and none was answered meanwhile"
            return f"{failed}: {first.reason}; {hint}"
        quoted = f' (it said: "{first.rejected[:SHOWN]}")' if first.rejected else ""
        advice = OPTIONS if first.is_own else LATER
        return f"no answer yet, and {count} questions failed: {first.reason}{quoted}; {advice}"

    def stop(self, error: AqaError) -> None:
        """Stop all requests; the first error is the one reported."""
        self._error = self._error or error
        self._stopped.set()
        for future in self._held:
            if not future.done():
                future.set_exception(self._error)
        self._held.clear()

    def raise_if_stopped(self) -> None:
        """Raise the error that stopped the run, if any."""
        if self._error is not None:
            raise self._error

    async def sleep(self, seconds: float) -> None:
        """Wait, unless the run stops meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        except TimeoutError:
            return
        self.raise_if_stopped()
