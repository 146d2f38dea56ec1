"""Run a server, and end all its processes once the process that started this one is gone.

A standalone program that needs only the standard library. Its arguments are the seconds that the
server's processes have to end when asked to, and the server's command. Its standard input is a pipe
that closes when its parent ends, for whatever reason. It prints the server's process id. It has its
own session, so Ctrl-C on the terminal reaches neither.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

LOOK = 0.2  # seconds between checks
DIE_WITH_PARENT, ADOPT_ORPHANS = 1, 36  # Linux: PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER


def supervise(grace: float, command: list[str]) -> int:
    """Run the command until it ends, the pipe closes, or a signal arrives."""
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *got: asked.append(got[0]))
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
    while server.poll() is None and not asked and os.getppid() == starter:
        if select.select([0], [], [], LOOK)[0]:
            break
    code = server.poll()
    _end(server, grace)
    return 0 if code is None else abs(code)


def _control(option: int, value: int) -> None:
    """Call prctl, which only Linux has."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _end(server: "subprocess.Popen[bytes]", grace: float) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(server.pid, signal.SIGTERM)
    until = time.monotonic() + grace
    while _left(server) and time.monotonic() < until:
        time.sleep(LOOK / 4)
    while left := _left(server):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(server.pid, signal.SIGKILL)
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(LOOK / 4)


def _left(server: "subprocess.Popen[bytes]") -> set[int]:
    """Return the running descendants of this process, and reap those that have ended."""
    server.poll()
    found = descendants()
    for process in found:
        with suppress(ChildProcessError):
            if process != server.pid and os.waitpid(process, os.WNOHANG)[0]:
                found = found - {process}
    if sys.platform != "linux" and server.poll() is None:
        found |= {server.pid}
    return found


def descendants() -> set[int]:
    """Return all descendants in /proc, including orphans."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            # After the name, which may contain anything: the state, and the parent's id.
            words = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            parents[int(folder.name)] = int(words[1])
    found: set[int] = set()
    below = {os.getpid()}
    while below:
        below = {child for child, parent in parents.items() if parent in below} - found
        found |= below
    return found


if __name__ == "__main__":
    sys.exit(supervise(float(sys.argv[1]), sys.argv[2:]))
