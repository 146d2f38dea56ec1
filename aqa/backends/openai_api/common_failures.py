"""Whether an example failed alone or as all others would: told by what becomes of the others."""

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

ALIKE = 4  # examples that fail alike, with no answer meanwhile, before the run stops
MANY = 40  # the same of failures that are the examples' own, once there was an answer
SHOWN = 100  # characters of a text that is no answer
AGAIN = "with --retry-errors for what failed"
OPTIONS = "see --model and the options of the backend"
LATER = "try again later, or see whether backend.base_url and the limits of the account are right"
VARYING = re.compile(r"[0-9a-f]{8,}|\d+", re.IGNORECASE)  # ids and numbers in a server's words

# own: of the question, such as a prompt that is refused; trouble: the server gives no answer;
# doubt: a refusal that should concern every request, but may be a gateway's of this question.
Sort = Literal["own", "trouble", "doubt"]
Waiting = asyncio.Future[bool | None]  # whether another one was answered; None: the run stops


@dataclass(frozen=True, slots=True)
class Suspect:
    """An example that failed, and waits to be told whether it did so alone."""

    sort: Sort
    reason: str
    said: str = ""  # by the model in the place of an answer

    @property
    def kind(self) -> str:
        """What is equal for failures that are alike: of refused questions, the words."""
        return VARYING.sub("#", self.reason) if self.sort == "own" else self.sort


class CommonFailures:
    """Stops a run in which every question fails, and only such a one.

    A failed example that may not be the only one waits. If another one is answered meanwhile, it
    failed alone. If `ALIKE` wait and nothing is under way any more, the run stops, and they are
    asked again by the next one. A run that goes on and so ends again, with no answer at all, keeps
    them as failed, lest every further one end there, too.
    """

    def __init__(self, server: ServerState, in_flight: Callable[[], int]) -> None:
        """`in_flight` counts requests."""
        self._server, self._in_flight = server, in_flight
        self._answered_now = False  # anything of this session
        self.has_answered = False  # anything of this run, perhaps in an earlier session
        self._waiting: dict[Waiting, Suspect] = {}
        self._row, self._row_kind = 0, ""  # own failures alike without an answer between
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
        """Ask as `event_loop.answers` does, beside `most` at a time the few that wait here.

        Raises:
            AqaError: the run stops; or all that was left failed alike, and is given first.
        """
        self._read = self._done = 0
        self._room, self._all_read = most + ALIKE, False
        counted = self._counted(prompts, loop)
        yield from answers(loop, counted, self._watched(ask), self._room)
        if self._at_last is not None:
            raise self._at_last

    def _counted(
        self, prompts: Iterable[Prompt], loop: asyncio.AbstractEventLoop
    ) -> Iterator[Prompt]:
        """The prompts, which another thread reads."""
        for prompt in prompts:
            self._read += 1
            yield prompt
        loop.call_soon_threadsafe(self._end_of_prompts)

    def _watched(self, ask: Ask[Prediction]) -> Ask[Prediction]:
        async def watch(prompt: Prompt) -> Prediction:
            try:
                return await ask(prompt)
            finally:
                self._done += 1
                self.settle()

        return watch

    def answered(self) -> None:
        """A question was answered: those that wait failed alone."""
        self.has_answered = self._answered_now = True
        self._row = 0
        self.release(True)

    async def own(self, reason: str, said: str = "") -> bool:
        """Take note of a failure that is the question's, before the first answer perhaps not.

        Gives True where another one was answered meanwhile.
        """
        suspect = Suspect("own", reason, said)
        if not self.has_answered:
            return await self.others_are_answered(suspect)
        self._row = self._row + 1 if suspect.kind == self._row_kind else 1
        self._row_kind, self._row_reason = suspect.kind, reason
        self.settle()
        return False

    async def waited(self) -> bool:
        """Wait while so many failed alike that the rest probably would; tell whether that was."""
        if self._clear.is_set():
            return False
        self.settle()
        await self._clear.wait()
        return True

    def settle(self) -> None:
        """See what those that wait, and those that are under way, now tell."""
        kinds = Counter(suspect.kind for suspect in self._waiting.values())
        if kinds["trouble"] and self._server.is_too_busy:
            # Those that it sent away are not tried one by one: each would wait as long again.
            kinds["trouble"] += self._server.sent_away
        waiting, left = len(self._waiting), self._read - self._done
        are_all = waiting > 0 and waiting == left and self._all_read
        if max(kinds.values(), default=0) >= ALIKE or self._row >= MANY:
            # The last ones of a run that goes on are all tried.
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
        elif waiting and waiting >= self._room:  # they differ, and keep others from being asked
            self.release(False)

    @property
    def _goes_on_in_vain(self) -> bool:
        return self.has_answered and not self._answered_now

    def _end_of_prompts(self) -> None:
        self._all_read = True
        self.settle()

    async def others_are_answered(self, suspect: Suspect) -> bool:
        """Wait until it is known whether an example failed alone; True: others did not."""
        self._server.go_on()
        future: Waiting = asyncio.get_running_loop().create_future()
        self._waiting[future] = suspect
        try:
            self.settle()
            was_answered = await future
        finally:
            self._waiting.pop(future, None)
        if was_answered is None:
            self._server.go_on()
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
            row = f"{self._row} questions in a row failed in the same words: {self._row_reason}"
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
        """Tell all that wait whether another one was answered; None: the run stops."""
        for future in self._waiting:
            if not future.done():
                future.set_result(was_answered)
        self._waiting.clear()
        if self._row < MANY or was_answered is None:
            self._clear.set()
