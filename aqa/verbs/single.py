"""What is the work of one process."""

from typing import NoReturn

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
        f"{work} is the work of one process; start it without torchrun, srun or workers.count, or"
        " unset RANK and WORLD_SIZE"
    )
