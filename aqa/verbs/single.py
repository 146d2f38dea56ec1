"""What is the work of one process, and what actors of Ray may do for it."""

from typing import NoReturn

from aqa.backends.base import Backend, Remote
from aqa.backends.ensemble.backend import EnsembleBackend
from aqa.backends.local.ray_environment import prepare_ray
from aqa.config.options import RunConfig
from aqa.errors import UsageError
from aqa.processes import process_count


def check_single(work: str) -> None:
    """See that this `work` is not begun in several processes, each of which would do all of it.

    Raises:
        UsageError: it is.
    """
    if process_count() > 1:
        refuse_several(work)


def refuse_several(work: str) -> NoReturn:
    """Say that this `work` is not shared out.

    Raises:
        UsageError: always.
    """
    raise UsageError(
        f"{work} is the work of one process; start it without torchrun, srun, workers.count or"
        " workers.engine, or unset RANK and WORLD_SIZE"
    )


def answering_type(config: RunConfig, reader_type: type[Backend]) -> type[Backend]:
    """The reader itself, or one that actors of Ray load, where the config asks for it.

    Raises:
        MissingExtraError: there is no Ray.
        UsageError: its answers come from elsewhere.
    """
    if config.workers.engine != "ray":
        return reader_type
    if issubclass(reader_type, Remote | EnsembleBackend):
        refuse_several(f"a prediction by {config.backend.name}")
    prepare_ray()
    from aqa.backends.local.ray_workers import on_ray

    return on_ray(reader_type)
