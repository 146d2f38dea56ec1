"""Paths as users write them."""

import os
from pathlib import Path


def at_home(path: str | os.PathLike[str]) -> Path:
    """The path with the home folder for its ~; a name that begins so and is no user's stays."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  (pathlib's raises for such a name)
