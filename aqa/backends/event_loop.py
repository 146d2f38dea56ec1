"""Run asynchronous requests in a thread, and yield their answers to synchronous code."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from aqa.backends.interrupts import stops_at_interrupt
from aqa.errors import AqaError
from aqa.records import Prompt

GRACE = 3.0  # seconds that requests in flight get after Ctrl-C; they may already cost money
AHEAD = 4  # one prompt is queued for every AHEAD in flight

AnswerT = TypeVar("AnswerT")  # for example a Prediction
Answer = tuple[Prompt, AnswerT] | BaseException
Ask = Callable[[Prompt], Awaitable[AnswerT]]


@contextmanager
def running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Run an event loop in a thread; at the end, cancel what still runs in it."""
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
    """Cancel all other tasks in the loop and wait for them to end."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _close() -> None:
    await cancel_all()
    await asyncio.get_running_loop().shutdown_default_executor()


class RequestWorkers(Generic[AnswerT]):
    """Workers in the loop, each of which asks queued prompts one after another.

    A worker takes its next prompt at once, before the other thread has taken the answer. Waking the
    loop is slow, so only idle workers need it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ask: Ask[AnswerT], most: int) -> None:
        self._loop, self._ask, self._most = loop, ask, most
        self._ready: SimpleQueue[Prompt] = SimpleQueue()
        self._working: set[asyncio.Task[None]] = set()
        self._open = True
        self.done: SimpleQueue[Answer[AnswerT]] = SimpleQueue()

    def add(self, prompt: Prompt) -> None:
        """Queue a prompt; called from the other thread."""
        self._ready.put(prompt)
        if len(self._working) < self._most:
            self._loop.call_soon_threadsafe(self._start)

    def close(self) -> None:
        """Stop workers from taking more prompts."""
        self._open = False

    async def finish(self) -> None:
        """After `close`, give requests in flight `GRACE` seconds, then cancel them."""
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
            # A prompt queued between the last look and this point has woken nobody.
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
    loop: asyncio.AbstractEventLoop, prompts: Iterable[Prompt], ask: Ask[AnswerT], limit: int
) -> Iterator[tuple[Prompt, AnswerT]]:
    """Ask `limit` prompts at a time and yield answers as they arrive; reads prompts as needed.

    After `ask` raises an AqaError, no more prompts are read; requests in flight are awaited and
    yielded, then the error is raised. The same goes for Ctrl-C, with a time limit of `GRACE`.
    """
    workers = RequestWorkers(loop, ask, limit)
    waiting = iter(prompts)
    in_flight, stop, has_more = 0, None, True
    interruption = stops_at_interrupt(lambda: workers.done.put(KeyboardInterrupt()))
    try:
        with interruption:
            while True:
                while has_more and stop is None and in_flight < limit + limit // AHEAD:
                    prompt = next(waiting, None)
                    if prompt is None:
                        has_more = False
                        break
                    workers.add(prompt)
                    in_flight += 1
                if not in_flight:
                    break
                answer = workers.done.get()
                in_flight -= 1
                if isinstance(answer, tuple):
                    yield answer
                elif isinstance(answer, AqaError):
                    stop = stop or answer
                else:
                    raise answer
        if stop is None and not workers.done.empty():
            raise KeyboardInterrupt  # Ctrl-C came with the last answer
    except KeyboardInterrupt:
        workers.close()
        asyncio.run_coroutine_threadsafe(workers.finish(), loop).result()
        while not workers.done.empty():  # arrived, but not yet yielded
            if isinstance(answer := workers.done.get(), tuple):
                yield answer
        raise
    finally:
        workers.close()
    if stop is not None:
        raise stop
