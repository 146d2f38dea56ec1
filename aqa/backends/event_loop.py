"""Answers of an event loop in a thread of its own, taken one by one by a loop that is none."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from aqa.backends.interrupts import stops_at_interrupt
from aqa.errors import AqaError
from aqa.records import Prompt

GRACE = 3.0  # seconds that answers under way have after Ctrl-C; they may be paid for already
AHEAD = 4  # to so many that are in flight one more prompt lies ready

AnswerT = TypeVar("AnswerT")  # what a prompt is answered with, such as a Prediction
Answer = tuple[Prompt, AnswerT] | BaseException
Ask = Callable[[Prompt], Awaitable[AnswerT]]


@contextmanager
def running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop in a thread; what still runs in it at the end is cancelled."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="requests", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(_close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def cancel_all() -> None:
    """Cancel all that runs in the loop, and wait for its end."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _close() -> None:
    await cancel_all()
    await asyncio.get_running_loop().shutdown_default_executor()


class Places(Generic[AnswerT]):
    """Places in the loop, each of which asks one prompt after another while some lie ready.

    So a place that falls free goes on at once, before its answer is taken by the other thread; and
    the loop is woken, which takes long, for places that had nothing to do alone.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ask: Ask[AnswerT], most: int) -> None:
        self._loop, self._ask, self._most = loop, ask, most
        self._ready: SimpleQueue[Prompt] = SimpleQueue()
        self._working: set[asyncio.Task[None]] = set()
        self._open = True
        self.done: SimpleQueue[Answer[AnswerT]] = SimpleQueue()

    def add(self, prompt: Prompt) -> None:
        """Lay one more prompt ready; called by the other thread."""
        self._ready.put(prompt)
        if len(self._working) < self._most:
            self._loop.call_soon_threadsafe(self._start)

    def close(self) -> None:
        """Let no place take another prompt."""
        self._open = False

    async def finish(self) -> None:
        """Give what is under way a moment, once no place takes another prompt; then end it."""
        if self._working:
            await asyncio.wait(self._working, timeout=GRACE)
        await cancel_all()

    def _start(self) -> None:
        if len(self._working) < self._most and not self._ready.empty():
            self._working.add(self._loop.create_task(self._work()))

    async def _work(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            while (prompt := self._take()) is not None:
                self.done.put(await self._ask_for(prompt))
        finally:
            self._working.discard(task)
            # A prompt may have come between the last look and leaving: then nobody was woken.
            if self._open:
                self._start()

    def _take(self) -> Prompt | None:
        try:
            return self._ready.get_nowait() if self._open else None
        except Empty:
            return None

    async def _ask_for(self, prompt: Prompt) -> Answer[AnswerT]:
        try:
            return prompt, await self._ask(prompt)
        except BaseException as error:  # noqa: BLE001  (raised again where answers are taken)
            if not isinstance(error, AqaError):
                self.close()
            return error


def answers(
    loop: asyncio.AbstractEventLoop, prompts: Iterable[Prompt], ask: Ask[AnswerT], room: int
) -> Iterator[tuple[Prompt, AnswerT]]:
    """Ask `room` prompts at a time and give each answer as it comes; prompts are read as needed.

    Once `ask` raises an AqaError no more prompts are read; what is in flight is waited for and
    given, and then the error is raised. So with Ctrl-C, but not for long.
    """
    places = Places(loop, ask, room)
    waiting = iter(prompts)
    asked, stop, more = 0, None, True
    interruption = stops_at_interrupt(lambda: places.done.put(KeyboardInterrupt()))
    try:
        with interruption:
            while True:
                while more and stop is None and asked < room + room // AHEAD:
                    prompt = next(waiting, None)
                    if prompt is None:
                        more = False
                        break
                    places.add(prompt)
                    asked += 1
                if not asked:
                    break
                answer = places.done.get()
                asked -= 1
                if isinstance(answer, tuple):
                    yield answer
                elif isinstance(answer, AqaError):
                    stop = stop or answer
                else:
                    raise answer
        if stop is None and not places.done.empty():
            raise KeyboardInterrupt  # with the last answer
    except KeyboardInterrupt:
        places.close()
        asyncio.run_coroutine_threadsafe(places.finish(), loop).result()
        while not places.done.empty():  # what came, but was not taken yet
            if isinstance(answer := places.done.get(), tuple):
                yield answer
        raise
    finally:
        places.close()
    if stop is not None:
        raise stop
