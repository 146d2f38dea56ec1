"""Start and stop the other processes of `--set workers.count=N` on this machine."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

from aqa.errors import UsageError
from aqa.processes import process_count
from aqa.verbs.launch import LAUNCH

LEAVE_SECONDS = 30.0  # for them to exit once all is answered


@contextmanager
def further_processes(count: int) -> Iterator[str]:
    """Run this command in `count` processes, including this one; yield the launch's name.

    They share the processors, unless OMP_NUM_THREADS says how many each may use.

    Raises:
        UsageError: this process is already one of several.
    """
    if process_count() > 1:
        raise UsageError(
            "workers.count starts its own processes; leave it out, or start without torchrun"
        )
    name = uuid4().hex
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // count, 1)))
    alone = ["--set", "workers.count=1", "--quiet"]
    started = []
    try:
        for rank in range(1, count):
            variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, LAUNCH: name}
            started.append(
                subprocess.Popen(  # noqa: S603  (our own command again)
                    [sys.executable, "-m", "aqa", *sys.argv[1:], *alone],
                    env={**os.environ, **{key: str(value) for key, value in variables.items()}},
                )
            )
        yield name
        with suppress(subprocess.TimeoutExpired):  # all is answered, so they may be killed
            for process in started:
                process.wait(LEAVE_SECONDS)
    finally:
        for process in started:
            process.kill()
            process.wait()
