"""Expand and resolve paths that users give."""

import errno
import os
from pathlib import Path

from aqa.errors import UsageError

SHOWN = 60  # characters of a too long path


def expand_home(path: str | os.PathLike[str]) -> Path:
    """Replace a leading ~ or ~user by the home folder, unless there is no such user.

    Raises:
        UsageError: it is too long for a path, such as data given instead of a file name.
    """
    expanded = Path(os.path.expanduser(path))  # noqa: PTH111  (pathlib's raises for such a name)
    try:
        expanded.stat()  # `exists` hides the reason since Python 3.14
    except (OSError, ValueError) as error:  # ValueError: a null byte, reported on opening
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            raise UsageError(
                f"{str(path)[:SHOWN]}...: too long for a file name; save it in a file and name that"
            ) from error
    return expanded


def resolve_path(path: str | os.PathLike[str]) -> Path:
    """Resolve all links; circular ones stay, where pathlib would raise."""
    return Path(os.path.realpath(path))
