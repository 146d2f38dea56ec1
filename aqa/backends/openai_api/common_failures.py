"""Decide whether a failure concerns one example or all, by what happens to the others."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from aqa.backends.event_loop import Ask, answers
from aqa.backends.openai_api.server_state import KEPT, ServerState
from aqa.errors import AqaError, ModelError
from aqa.records import Prediction, Prompt

ALIKE = 4  # similar failures, with no answer meanwhile, before the run stops
MANY = 40  # the same for examples' own failures, once there was an answer
SHOWN = 100  # characters of a text that is not an answer
AGAIN = "with --retry-errors for what failed"
OPTIONS = "see --model and the options of the backend"
LATER = "try again later, or see whether backend.base_url and the limits of the account are right"
VARYING = re.compile(r"[0-9a-f]{8,}|\d+", re.IGNORECASE)  # ids and numbers in a server's message

# own: about the question, for example a refused prompt; trouble: the server does not answer; doubt:
# a refusal that should concern every request, but may come from a gateway for this one only.
Sort = Literal["own", "trouble", "doubt"]
Waiting = asyncio.Future[bool | None]  # whether another was answered; None: the run stops


@dataclass(frozen=True, slots=True)
class Suspect:
    """A failed example that waits until it is known whether it failed alone."""

    sort: Sort
    reason: str
    said: str = ""  # by the model instead of an answer

    @property
    def kind(self) -> str:
        """Equal for similar failures: for a question's own, the message without numbers."""
        return VARYING.sub("#", self.reason) if self.sort == "own" else self.sort


class CommonFailures:
    """Stops a run in which every question fails, and only such a run.

    A failed example that may not be the only one waits. If another is answered meanwhile, it failed
    alone. If `ALIKE` are waiting and nothing else is in flight, the run stops, and the next run
    asks them again. If a resumed run stops like this without any answer, it records them as failed,
    or every later run would stop there too.
    """

    def __init__(self, server: ServerState, in_flight: Callable[[], int]) -> None:
        """`in_flight` counts requests."""
        self._server, self._in_flight = server, in_flight
        self._answered_now = False  # in this session
        self.has_answered = False  # in this run, perhaps in an earlier session
        self._waiting: dict[Waiting, Suspect] = {}
        self._row, self._row_kind = 0, ""  # similar own failures in a row, without an answer
        self._row_reason = ""
        self._read = self._done = self._room = 0
        self._all_read = False
        self._at_last: AqaError | None = None
        self._clear = asyncio.Event()
        self._clear.set()

    def answers(
        self,
        loop: asyncio.AbstractEventLoop,
        prompts: Iterable[Prompt],
        ask: Ask[Prediction],
        most: int,
    ) -> Iterator[tuple[Prompt, Prediction]]:
        """Ask like `event_loop.answers`, `most` at a time plus the few that wait here.

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
                self.settle()

        yield from answers(loop, counted(), watched, self._room)
        if self._at_last is not None:
            raise self._at_last

    def answered(self) -> None:
        """Note that a question was answered: those that wait failed alone."""
        self.has_answered = self._answered_now = True
        self._row = 0
        self.release(True)

    async def own(self, reason: str, said: str = "") -> bool:
        """Note a failure of the question's own; before the first answer, wait for others.

        Returns True if another was answered meanwhile.
        """
        suspect = Suspect("own", reason, said)
        if not self.has_answered:
            return await self.others_are_answered(suspect)
        self._row = self._row + 1 if suspect.kind == self._row_kind else 1
        self._row_kind, self._row_reason = suspect.kind, reason
        self.settle()
        return False

    async def waited(self) -> bool:
        """Wait while so many failed alike that others probably would; return whether it waited."""
        if self._clear.is_set():
            return False
        self.settle()
        await self._clear.wait()
        return True

    def settle(self) -> None:
        """Draw conclusions from the examples that wait or are in flight."""
        kinds = Counter(suspect.kind for suspect in self._waiting.values())
        if kinds["trouble"] and self._server.is_too_busy:
            # Include those that it turned away: each would wait as long again.
            kinds["trouble"] += self._server.sent_away
        waiting, left = len(self._waiting), self._read - self._done
        are_all = waiting > 0 and waiting == left and self._all_read
        if max(kinds.values(), default=0) >= ALIKE or self._row >= MANY:
            # At the end of a resumed run, all are tried.
            rest = self._all_read and self._goes_on_in_vain
            self._clear.set() if rest else self._clear.clear()
            if not self._in_flight() and (are_all or not rest):
                self._end_run(kinds, are_all)
            return
        self._clear.set()
        if are_all:
            doubts = [s.reason for s in self._waiting.values() if s.sort == "doubt"]
            if doubts and not self.has_answered:
                self._server.stop(ModelError(f"{doubts[0]}; {KEPT}"))
            self.release(False)
        elif waiting and waiting >= self._room:  # they differ, and block others
            self.release(False)

    @property
    def _goes_on_in_vain(self) -> bool:
        return self.has_answered and not self._answered_now

    def _end_of_prompts(self) -> None:
        self._all_read = True
        self.settle()

    async def others_are_answered(self, suspect: Suspect) -> bool:
        """Wait until it is known whether an example failed alone; True if it did."""
        self._server.raise_if_stopped()
        future: Waiting = asyncio.get_running_loop().create_future()
        self._waiting[future] = suspect
        try:
            self.settle()
            was_answered = await future
        finally:
            self._waiting.pop(future, None)
        if was_answered is None:
            self._server.raise_if_stopped()
        return bool(was_answered)

    def _end_run(self, kinds: Counter[str], are_all: bool) -> None:
        ((kind, count),) = kinds.most_common(1) or [("", 0)]
        error = ModelError(self._sentence(kind, count))
        if are_all and self.has_answered:
            self._at_last = error
            self.release(False)
            return
        if self._goes_on_in_vain:
            self.release(False)
        self._server.stop(error)

    def _sentence(self, kind: str, count: int) -> str:
        if count < ALIKE:
            row = f"{self._row} questions in a row failed with the same message: {self._row_reason}"
            return f"{row}; {KEPT}, {AGAIN}"
        suspect = next(s for s in self._waiting.values() if s.kind == kind)
        kept = f"{KEPT}, {AGAIN}" if self._goes_on_in_vain else KEPT
        if suspect.sort == "doubt":
            return f"{suspect.reason}; {kept}"
        if self.has_answered:
            failed = f"{count} questions failed, and none was answered meanwhile"
            return f"{failed}: {suspect.reason}; {kept}"
        said = f' (it said: "{suspect.said[:SHOWN]}")' if suspect.said else ""
        failed = f"no answer yet, and {count} questions failed: {suspect.reason}{said}"
        return f"{failed}; {OPTIONS if suspect.sort == 'own' else LATER}"

    def release(self, was_answered: bool | None) -> None:
        """Tell all waiting requests whether another was answered; None: the run stops."""
        for future in self._waiting:
            if not future.done():
                future.set_result(was_answered)
        self._waiting.clear()
        if self._row < MANY or was_answered is None:
            self._clear.set()
