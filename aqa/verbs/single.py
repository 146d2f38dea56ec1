"""Verbs that are the work of one process."""

from aqa.errors import UsageError
from aqa.processes import process_count


def check_single(verb: str) -> None:
    """See that a verb is not started in several processes, each of which would do all of it.

    Raises:
        UsageError: it is.
    """
    count = process_count()
    if count > 1:
        raise UsageError(
            f"`aqa {verb}` works in one process, and {count} were started (WORLD_SIZE = {count});"
            " start it without torchrun, or unset RANK and WORLD_SIZE"
        )
