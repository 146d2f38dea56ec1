"""Keep freed tensor memory in the process for other tensors, instead of returning it.

By default glibc returns every large block when it is freed, and Linux zeroes each page of a new
one on first use: on a virtual machine that took a seventh of the time of prediction.
"""

import ctypes
import os
import sys
from typing import Any

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # numbers of mallopt
_LARGE = 1 << 28  # bytes of a block that is returned when freed ...
_SPARE = 1 << 30  # ... or of free memory at the heap's end
_CHOSEN_BY_USER = ("MALLOC_", "GLIBC_TUNABLES")  # prefixes of environment variables


def keep_freed_blocks() -> None:
    """Keep freed blocks in this process, if glibc manages memory."""
    libc = _glibc()
    if libc is not None and not any(name.startswith(_CHOSEN_BY_USER) for name in os.environ):
        libc.mallopt(_MMAP_THRESHOLD, _LARGE)
        libc.mallopt(_TRIM_THRESHOLD, _SPARE)


def give_back_freed_blocks() -> None:
    """Return free memory to the system."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> Any:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "gnu_get_libc_version") else None
