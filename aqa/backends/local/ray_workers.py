"""A reader whose weights are loaded by Ray actors, on this machine or a cluster.

The driver makes the prompts, hands them out in windows, and collects the answers.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import ray
from ray.exceptions import ObjectLostError, RayActorError, RayError, RayTaskError

from aqa.backends.base import Backend
from aqa.backends.local.batches import windows
from aqa.backends.local.ray_cluster import Cluster, Loaded
from aqa.errors import AqaError, ModelError, RunError
from aqa.records import Prediction, Prompt

MAX_DEATHS = 3  # give up after this many deaths in a row at the same questions
LEAVE_SECONDS = 60.0  # for idle actors to free what they loaded


def on_ray(reader_type: type[Backend]) -> type[Backend]:
    """Derive a reader whose weights Ray actors load; here it only makes prompts."""
    members = {"reader_type": reader_type}
    return cast(type[Backend], type(reader_type.__name__, (OnRay, reader_type), members))


@dataclass(slots=True)
class Work:
    """Unanswered prompts by index, and how many actors in a row died at them.

    Without prompts, the work is to load the reader.
    """

    prompts: dict[int, Prompt] | None = None
    deaths: int = 0


@dataclass(slots=True)
class Worker:
    """An actor, its current work, if any, and a reference to the results."""

    rank: int
    actor: Any = None
    work: Work | None = None
    gives: Any = None


class OnRay(Backend):
    """The part of a derived reader that lets actors answer."""

    reader_type: ClassVar[type[Backend]]
    _cluster: Cluster | None = None
    _workers: tuple[Worker, ...] = ()

    def __enter__(self) -> Self:
        self._again: deque[Work] = deque()  # left by actors that died
        self._workers = tuple(map(Worker, range(self.config.workers.count)))
        with self._undone():
            for worker in self._workers:
                self._start(worker)
        return self

    def __exit__(self, *exc: object) -> None:
        started = [worker for worker in self._workers if worker.actor is not None]
        try:
            with suppress(RayError):
                idle = [worker.actor.close.remote() for worker in started if worker.work is None]
                if idle:
                    ray.wait(idle, num_returns=len(idle), timeout=LEAVE_SECONDS)
            for worker in started:
                with suppress(RayError):
                    ray.kill(worker.actor)
        finally:
            cluster, self._cluster, self._workers = self._cluster, None, ()
            if cluster is not None:
                cluster.leave()

    @contextmanager
    def _undone(self) -> Iterator[None]:
        """End all actors and the connection if the body fails, since nothing else would."""
        try:
            yield
        except BaseException as error:
            OnRay.__exit__(self, type(error), error, error.__traceback__)
            raise

    def hardware(self) -> Mapping[str, str]:
        """The hardware of the actors."""
        return self._hardware

    @cached_property
    def _hardware(self) -> Mapping[str, str]:
        if not ray.is_initialized() and not os.environ.get("RAY_ADDRESS"):
            return super().hardware()  # this machine
        with self._undone():
            actor = self._joined().start(0)
            try:
                hardware: Mapping[str, str] = _got(actor.hardware.remote())
            except RayActorError as error:
                raise RunError(f"no Ray worker started: {_cause(error)}") from error
            finally:
                ray.kill(actor)
        return hardware

    def _joined(self) -> Cluster:
        self._cluster = self._cluster or Cluster(self.reader_type, self.config)
        return self._cluster

    def generate(self, prompts: Iterable[Prompt]) -> Iterator[tuple[Prompt, Prediction]]:
        """Let each actor answer a window at a time; what a dead one left, another answers.

        Raises:
            RunError: several died in a row, while loading or at the same prompts.
        """
        size = self.config.generation.window
        new = windows(prompts, size, lambda prompt: prompt.index)
        coming: Work | None = None
        self._again.clear()
        for worker in self._workers:
            if worker.work and worker.work.prompts:  # abandoned by an earlier call
                ray.kill(worker.actor)
                self._start(worker)
        while True:
            for worker in self._workers:
                coming = coming or self._next(new)
                if coming and worker.work is None:
                    self._ask(worker, coming)
                    coming = None
            coming = coming or self._next(new)
            if not coming and not any(w.work and w.work.prompts for w in self._workers):
                return
            waiting = {worker.gives: worker for worker in self._workers if worker.work}
            for gives in ray.wait([*waiting], num_returns=1)[0]:
                yield from self._taken(waiting[gives])

    def _next(self, new: Iterator[list[Prompt]]) -> Work | None:
        if self._again:
            return self._again.popleft()
        prompts = next(new, None)
        return Work({prompt.index: prompt for prompt in prompts}) if prompts else None

    def _ask(self, worker: Worker, work: Work) -> None:
        assert work.prompts is not None
        prompts, worker.work = [*work.prompts.values()], work
        worker.gives = worker.actor.answer.options(num_returns="streaming").remote(prompts)

    def _start(self, worker: Worker, deaths: int = 0) -> None:
        worker.actor, worker.work = self._joined().start(worker.rank), Work(None, deaths)
        worker.gives = worker.actor.load.remote(Path.cwd(), self.folder)

    def _taken(self, worker: Worker) -> Iterator[tuple[Prompt, Prediction]]:
        """Handle an actor's next result: loaded, an answer, finished, or died."""
        work = worker.work
        assert work is not None
        try:
            if work.prompts is None:
                self._see(_got(worker.gives))
                worker.work = None
                return
            index, prediction = _got(next(worker.gives))
        except StopIteration:
            worker.work = None
        except (RayActorError, ObjectLostError) as error:
            self._replace(worker, work, error)
        else:
            work.deaths = 0
            yield work.prompts.pop(index), prediction

    def _see(self, loaded: Loaded) -> None:
        """Pass on the reader's notes, and check that all actors use the same dtype."""
        for note in loaded.notes:
            self.note(note)
        ours, theirs = (hardware.get("dtype") for hardware in (self.hardware(), loaded.hardware))
        if ours != theirs:
            raise ModelError(
                f"a Ray worker would compute in {theirs} and others in {ours}; set"
                " backend.compute_dtype, or use machines of one kind"
            )

    def _replace(self, worker: Worker, work: Work, error: RayError) -> None:
        deaths = work.deaths + 1
        if deaths == MAX_DEATHS:
            ids = ", ".join(prompt.id for prompt in [*(work.prompts or {}).values()][:3])
            at = f"at the same questions ({ids}, ...)" if ids else "while they loaded"
            raise RunError(
                f"{MAX_DEATHS} Ray workers died {at}, one after the other: {_cause(error)}; run the"
                " same command again to resume"
            )
        self._progress.note(f"worker {worker.rank + 1} of Ray died; it is being restarted")
        if work.prompts:
            self._again.append(Work(work.prompts, deaths))
        self._start(worker, deaths if work.prompts is None else 0)


def _got(reference: Any) -> Any:
    """Fetch an actor's result, or raise its AqaError as it was raised there."""
    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, AqaError):
            raise error.cause from None
        raise


def _cause(error: RayError) -> str:
    """Return the last line of a Ray error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
