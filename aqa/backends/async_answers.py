"""Answers of an event loop in a thread of its own, taken one by one by a loop that is none."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue

from aqa.errors import AqaError
from aqa.records import Prediction, Prompt

Answer = Prediction | AqaError | BaseException


@contextmanager
def running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop in a thread; what still runs in it at the end is cancelled."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="requests", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_default_executor()


def answers(
    loop: asyncio.AbstractEventLoop,
    prompts: Iterable[Prompt],
    ask: Callable[[Prompt], Awaitable[Prediction]],
    room: int,
) -> Iterator[Prediction]:
    """Ask `room` prompts at a time and give each answer as it comes; prompts are read as needed.

    Once `ask` raises an AqaError no more prompts are read; what is in flight is waited for and
    given, and then the error is raised.
    """
    done: SimpleQueue[Answer] = SimpleQueue()
    tasks: set[asyncio.Task[None]] = set()

    async def run(prompt: Prompt) -> None:
        try:
            done.put(await ask(prompt))
        except BaseException as error:  # noqa: BLE001  (raised again where answers are taken)
            done.put(error)

    def start(prompt: Prompt) -> None:
        task = loop.create_task(run(prompt))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    waiting = iter(prompts)
    asked, stop, more = 0, None, True
    try:
        while True:
            while more and stop is None and asked < room:
                prompt = next(waiting, None)
                if prompt is None:
                    more = False
                    break
                loop.call_soon_threadsafe(start, prompt)
                asked += 1
            if not asked:
                break
            answer = done.get()
            asked -= 1
            if isinstance(answer, Prediction):
                yield answer
            elif isinstance(answer, AqaError):
                stop = stop or answer
            else:
                raise answer
    except KeyboardInterrupt:
        yield from _left(done)
        raise
    if stop is not None:
        raise stop


def _left(done: "SimpleQueue[Answer]") -> Iterator[Prediction]:
    """Answers that came, but were not taken yet."""
    while True:
        try:
            answer = done.get_nowait()
        except Empty:
            return
        if isinstance(answer, Prediction):
            yield answer
