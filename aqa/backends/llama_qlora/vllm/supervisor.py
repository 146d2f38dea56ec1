"""Run a server, and end all its processes once the process that started this one is gone.

A standalone program. Its arguments are the seconds that the server's processes have to end when
asked to, and the server's command. Its standard input is a pipe that closes when its parent ends,
for whatever reason. It prints the server's process id. It has its own session, so Ctrl-C on the
terminal reaches neither.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil

LOOK = 0.2  # seconds between checks
DIE_WITH_PARENT, ADOPT_ORPHANS = 1, 36  # Linux: PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER


def supervise(grace: float, command: list[str]) -> int:
    """Run the command until it ends, the pipe closes, or a signal arrives."""
    signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *got: signals.append(got[0]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    starter = os.getppid()
    _control(ADOPT_ORPHANS, 1)
    server = subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        start_new_session=True,
        preexec_fn=lambda: _control(DIE_WITH_PARENT, signal.SIGKILL),
    )
    print(server.pid, flush=True)  # noqa: T201
    while server.poll() is None and not signals and os.getppid() == starter:
        if select.select([0], [], [], LOOK)[0]:
            break
    code = server.poll()
    _end(grace, server.pid)
    return 0 if code is None else abs(code)


def _control(option: int, value: int) -> None:
    """Call prctl, which only Linux has."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _end(grace: float, server: int) -> None:
    """Ask the server's processes, orphans included, to end; kill those left after `grace`."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(server, signal.SIGTERM)
    until = time.monotonic() + grace
    while left := psutil.Process().children(recursive=True):
        if time.monotonic() > until:
            for process in left:
                with suppress(psutil.Error):
                    process.kill()
        psutil.wait_procs(left, timeout=LOOK)


if __name__ == "__main__":
    sys.exit(supervise(float(sys.argv[1]), sys.argv[2:]))
