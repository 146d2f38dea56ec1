"""Communication between the processes of a training run; does nothing in a single process."""

import atexit
import pickle
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import torch.distributed as distributed

from aqa.backends.local.sharding import Lockstep
from aqa.processes import is_first_process, process_count, process_rank
from aqa.records import Prediction, Prompt

T = TypeVar("T")
Answers = Iterator[tuple[Prompt, Prediction]]

SHARES = 4  # parts of an evaluation per process, if all are equally fast
POLL_SECONDS = 0.05
EXIT_SECONDS = 0.02  # between checks of the threads of an exiting process
EXIT_LOOKS = 250  # the most checks
_evaluations = count()  # the same number in all processes


@atexit.register
def let_threads_finish() -> None:
    """Wait until two checks in a row see no Gloo thread at work; one may wait for Python.

    A Gloo thread wakes the thread that waits for a tensor, and then frees the tensor, for which it
    needs Python. If Python shuts down in between, as happens on a busy machine, the process aborts.
    """
    calm = 0 if distributed.is_initialized() else 2
    for _ in range(EXIT_LOOKS):
        if calm == 2:
            return
        time.sleep(EXIT_SECONDS)
        at_work = any(map(_is_at_work, Path("/proc/self/task").glob("*/stat")))
        calm = 0 if at_work else calm + 1


def _is_at_work(stat: Path) -> bool:
    with suppress(OSError):  # the thread may be gone
        state = stat.read_text(encoding="utf-8")
        return "(pt_gloo" in state and ") S " not in state
    return False


def any_process(flag: bool) -> bool:
    """Whether the flag is set in any process; a collective call."""
    return any(all_gather(flag))


def all_gather(value: T) -> list[T]:
    """Return the values of all processes, in order of rank; a collective call."""
    if not distributed.is_initialized():
        return [value]
    values: list[Any] = [None] * process_count()
    distributed.all_gather_object(values, value)
    return values


class SharedEvaluation:
    """Prompts that all processes answer together, each taking a part at a time.

    The first process yields all answers as they arrive; the others yield none.
    """

    def __init__(
        self,
        prompts: Sequence[Prompt],
        generate: Callable[[Sequence[Prompt]], Answers],
        stopped: Callable[[], bool],
    ) -> None:
        self._generate, self._stopped = generate, stopped
        size = max(len(prompts) // (process_count() * SHARES), 1)
        self._parts = [prompts[start : start + size] for start in range(0, len(prompts), size)]
        # The store by which the processes found each other: in training, all are alive or all are
        # ended.
        self._store = distributed.distributed_c10d._get_default_store()
        self._key = f"aqa/evaluation/{next(_evaluations)}"
        self._awaited = set(range(len(self._parts)))

    def answers(self) -> Answers:
        """Answer until all are answered; KeyboardInterrupt if any process was asked to stop."""
        while not self._ends() and (number := self._take()) < len(self._parts):
            answers = until(self._ends, self._generate(self._parts[number]))
            if is_first_process():
                self._awaited.discard(number)
                yield from answers
                yield from self._arrived()
            else:
                pickled = pickle.dumps([answer for _, answer in answers])
                # The stubs allow only str.
                self._store.set(f"{self._key}/{number}", pickled)  # type: ignore[arg-type]
        while is_first_process() and self._awaited and not self._ends():
            time.sleep(POLL_SECONDS)
            yield from self._arrived()
        if any_process(self._stopped()):
            raise KeyboardInterrupt

    def _take(self) -> int:
        taken: int = self._store.add(self._key, 1)
        return taken - 1

    def _ends(self) -> bool:
        """Whether any process was asked to stop; tells the others."""
        key = f"{self._key}/stopped"
        if self._stopped():
            self._store.set(key, "1")
            return True
        return bool(self._store.check([key]))

    def _arrived(self) -> Answers:
        """Yield what other processes have answered since the last call; the bytes are our own."""
        for number in sorted(self._awaited):
            key = f"{self._key}/{number}"
            if self._store.check([key]):
                self._awaited.discard(number)
                answers = pickle.loads(self._store.get(key))  # noqa: S301
                self._store.delete_key(key)
                by_id = {prompt.id: prompt for prompt in self._parts[number]}
                yield from ((by_id[answer.id], answer) for answer in answers)


def answers_in_step(
    prompts: Sequence[Prompt], generate: Callable[[Sequence[Prompt]], Answers], lockstep: Lockstep
) -> Answers:
    """Answer prompts with sharded weights; the first process yields all answers.

    Raises:
        KeyboardInterrupt: any process was asked to stop.
    """
    by_id = {prompt.id: prompt for prompt in prompts}
    mine: list[Prediction] = []
    with lockstep.together():
        answers = generate(prompts[process_rank() :: process_count()])
        for prompt, answer in until(lambda: lockstep.ends, answers):
            if is_first_process():
                yield prompt, answer
            else:
                mine.append(answer)
    if lockstep.ends:
        raise KeyboardInterrupt
    for part in all_gather(mine):
        if is_first_process():
            yield from ((by_id[answer.id], answer) for answer in part)


def until(ends: Callable[[], bool], items: Iterable[T]) -> Iterator[T]:
    """Yield items until `ends` is true after one."""
    for item in items:
        yield item
        if ends():
            return
