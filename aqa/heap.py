"""Memory that tensors had goes to other tensors, instead of back to the system each time.

glibc gives every large block back as it is freed, and Linux fills each page of a new one with zeros
at its first use: on a virtual machine that took a seventh of all time that prediction took.
"""

import ctypes
import os
import sys
from typing import Any

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # numbers of mallopt
_LARGE = 1 << 28  # bytes of a block that goes back when it is freed,
_SPARE = 1 << 30  # or of free memory at the heap's end
_CHOSEN_BY_USER = ("MALLOC_", "GLIBC_TUNABLES")  # beginnings of variables


def keep_freed_blocks() -> None:
    """Let blocks that are freed stay in this process; only where glibc manages memory."""
    libc = _glibc()
    if libc is not None and not any(name.startswith(_CHOSEN_BY_USER) for name in os.environ):
        libc.mallopt(_MMAP_THRESHOLD, _LARGE)
        libc.mallopt(_TRIM_THRESHOLD, _SPARE)


def give_back_freed_blocks() -> None:
    """Give what is free to the system after all."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> Any:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "gnu_get_libc_version") else None
