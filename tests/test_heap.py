"""Freed blocks are reused instead of returned to the system."""

import os
import platform
import subprocess
import sys

import pytest

# How many pages the system provides while a 64 MiB block is allocated and freed ten times.
WORK = """
import resource
from aqa import heap
if sys.argv[1] == "kept":
    heap.keep_freed_blocks()
for times in range(11):
    b"x" * (1 << 26)
    if not times:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages(way: str, **chosen: str) -> int:
    command = [sys.executable, "-c", f"import sys\n{WORK}", way]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**environment, **chosen}
    )
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told what to keep")
def test_freed_blocks_are_kept_unless_the_user_chose_otherwise() -> None:
    given_back = pages("given back")
    assert pages("kept") < given_back / 5
    assert pages("kept", MALLOC_TRIM_THRESHOLD_="131072") > given_back / 5
