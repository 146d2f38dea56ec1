"""Choose who answers: this process, several launched together, or Ray actors."""

from datetime import timedelta
from os import environ
from threading import Lock
from typing import NoReturn, Self, cast
from uuid import uuid4

from aqa.backends import find_backend
from aqa.backends.base import Backend, Remote
from aqa.backends.ensemble.backend import EnsembleBackend
from aqa.backends.local.ray_environment import prepare_ray
from aqa.config.options import RunConfig
from aqa.errors import RunError, UsageError
from aqa.processes import is_first_process, process_count, process_rank
from aqa.progress import Progress

LAUNCH = "AQA_LAUNCH"  # the environment variable that holds the launch's name
MEET_SECONDS = 300
_stores: list[object] = []  # keeps the first process's store alive, which serves the others


def check_single(work: str) -> None:
    """Raise UsageError if several processes would each do the same `work`."""
    if process_count() > 1:
        refuse_several(work)


def refuse_several(work: str) -> NoReturn:
    """Raise the UsageError that this `work` can't be shared between processes."""
    raise UsageError(
        f"{work} runs in one process only; start it without torchrun, srun, workers.count or"
        " workers.engine, or unset RANK and WORLD_SIZE"
    )


def answering_reader(config: RunConfig, progress: Progress, stays: bool = False) -> Backend:
    """Make the reader; with `workers.engine: ray`, one that Ray actors load.

    With `stays`, weights are loaded once for all runs (see `KeepLoaded`), except for servers.

    Raises:
        MissingExtraError: Ray is not installed.
        UsageError: Ray can't be used with this reader.
    """
    reader_type = find_backend(config.backend.name)
    is_local = not issubclass(reader_type, Remote | EnsembleBackend)
    if config.workers.engine == "ray":
        if not is_local:
            refuse_several(f"a prediction by {config.backend.name}")
        prepare_ray()
        from aqa.backends.local.ray_workers import on_ray

        reader_type = on_ray(reader_type)
    if stays and is_local:
        reader_type = cast(type[Backend], type(reader_type.__name__, (KeepLoaded, reader_type), {}))
    return reader_type(config, progress)


def launch_name() -> str | None:
    """A name that only the processes of this launch share; None for a single process.

    Raises:
        RunError: the processes do not find each other.
        UsageError: the environment does not say how they could.
    """
    if process_count() == 1:
        return None
    if LAUNCH not in environ:
        if "TORCHELASTIC_RUN_ID" not in environ and "SLURM_STEP_ID" in environ:
            parts = ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT")
            environ[LAUNCH] = "-".join(environ.get(part, "0") for part in parts)
        else:
            environ[LAUNCH] = _agreed_name()
    return environ[LAUNCH]


def _agreed_name() -> str:
    """A name that the first process makes up and shares through torch's store."""
    if "MASTER_ADDR" not in environ or "MASTER_PORT" not in environ:
        raise UsageError(
            f"process {process_rank() + 1} of {process_count()} (RANK and WORLD_SIZE) does not"
            " know where to find the others (MASTER_ADDR, MASTER_PORT); start them by torchrun or"
            " srun, or unset RANK and WORLD_SIZE"
        )
    from torch.distributed import DistError, TCPStore  # type: ignore[attr-defined]

    serves = is_first_process() and environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    key = f"aqa-{environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
    try:
        store = TCPStore(
            environ["MASTER_ADDR"],
            int(environ["MASTER_PORT"]),
            is_master=serves,
            wait_for_workers=False,
            timeout=timedelta(seconds=MEET_SECONDS),
        )
        _stores.append(store)
        if is_first_process():
            store.set(key, uuid4().hex)
        return str(store.get(key).decode())
    except DistError as error:
        raise RunError(
            f"process {process_rank() + 1} of {process_count()} can't reach the first one at"
            f" {environ['MASTER_ADDR']}:{environ['MASTER_PORT']}; check the network between them"
        ) from error


class KeepLoaded(Backend):
    """Mixed into a reader: it is loaded when first entered, and stays loaded until freed.

    It answers one run at a time: concurrent runs would share its memory and mix up answers.
    """

    def __init__(self, config: RunConfig, progress: Progress) -> None:
        super().__init__(config, progress)
        self._answers, self._is_loaded = Lock(), False

    def __enter__(self) -> Self:
        if not self._answers.acquire(blocking=False):
            raise RunError(
                "this reader is answering another aqa.predict; take the rest of those answers"
                " first, or close() them"
            )
        try:
            if not self._is_loaded:
                super().__enter__()
                self._is_loaded = True
        except BaseException:
            self._answers.release()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        """Stay loaded for the next run."""
        self._answers.release()

    def used_with(self, progress: Progress) -> Self:
        """Send notes to this progress from now on."""
        self._progress = progress
        return self

    def free(self) -> None:
        """Free the memory; the next run loads the reader again."""
        if self._is_loaded:
            self._is_loaded = False
            super().__exit__(None, None, None)
