"""Paths as users write them, and as the disk has them."""

import errno
import os
from pathlib import Path

from aqa.errors import UsageError

SHOWN = 60  # characters of what is no path


def expand_home(path: str | os.PathLike[str]) -> Path:
    """The path with the home folder for its ~; a name that begins so and is no user's stays.

    Raises:
        UsageError: it is too long for a path, as a text in the place of one is.
    """
    found = Path(os.path.expanduser(path))  # noqa: PTH111  (pathlib's raises for such a name)
    try:
        found.stat()  # from Python 3.14 on `exists` hides the reason
    except (OSError, ValueError) as error:  # the latter of a null byte, told of where it is opened
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            raise UsageError(
                f"{str(path)[:SHOWN]}...: too long for a file name; save it in a file and name that"
            ) from error
    return found


def resolve_path(path: str | os.PathLike[str]) -> Path:
    """The whole path without links; where they lead in a circle it stays (pathlib's raises)."""
    return Path(os.path.realpath(path))
