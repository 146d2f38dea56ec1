"""What is the work of one process."""

from aqa.errors import UsageError
from aqa.processes import process_count


def check_single(work: str) -> None:
    """See that this `work` is not begun in several processes, each of which would do all of it.

    Raises:
        UsageError: it is.
    """
    count = process_count()
    if count > 1:
        raise UsageError(
            f"{work} is the work of one process, and {count} were started (WORLD_SIZE = {count});"
            " start it without torchrun, or unset RANK and WORLD_SIZE"
        )
