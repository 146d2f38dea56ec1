"""Avoid spinning threads when other processes use the same processors.

PyTorch's threads wait for each other by spinning for milliseconds (GNU OpenMP). That is fastest on
an idle machine, but once a thread loses its processor to another process, all others spin for it,
at every operation: one competitor can cost a factor of ten. The library hardly spins while it
manages more threads than there are processors. So during competition, an additional idle team of
threads is kept, which makes all threads of this process sleep instead; ending it undoes that.
Small operations are then faster in one thread than in several that wait for each other.

Competition is measured: Linux counts how long each thread was ready to run but had to wait for a
processor. Without such counts, nothing is changed.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_TASKS = Path("/proc/self/task")
_SPUN_BY_USER = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}  # environment variables of OpenMP
_SECONDS = 0.2  # between measurements
_BUSY = 0.05  # share of that time that a thread waited; more is competition
_CALM_LOOKS = 10  # consecutive measurements without competition before threads spin again
_competing = threading.Event()  # set while others compete, if somebody watches


class Waiting:
    """How long this process's threads waited for a processor while ready to run."""

    def __init__(self) -> None:
        self._before = _nanoseconds_waited()

    def since(self) -> float:
        """Return the waiting time of the longest-waiting thread since the last call, in seconds."""
        now = _nanoseconds_waited()
        waited = [count - self._before.get(thread, 0) for thread, count in now.items()]
        self._before = now
        return max(waited, default=0) / 1e9


@contextmanager
def sharing_processors() -> Iterator[None]:
    """Make PyTorch's threads sleep instead of spin while other processes compete.

    Only with torch imported and using several threads, GNU OpenMP and Linux, and if the
    environment does not set OpenMP's way of waiting; otherwise it does nothing.
    """
    torch = sys.modules.get("torch")
    if (
        torch is None
        or torch.get_num_threads() == 1
        or _SPUN_BY_USER & os.environ.keys()
        or not _nanoseconds_waited()
    ):
        yield
        return
    stop = threading.Event()
    watch = threading.Thread(target=_watch, args=(torch, stop), daemon=True)
    watch.start()
    try:
        yield
    finally:
        stop.set()
        watch.join()


@contextmanager
def small_operations() -> Iterator[None]:
    """Compute in a single thread if other processes compete when this is entered.

    Enter it again every few operations, inside `sharing_processors`.
    """
    if not _competing.is_set():
        yield
        return
    torch = sys.modules["torch"]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _watch(torch: Any, stop: threading.Event) -> None:
    waiting, calm = Waiting(), 0
    idle_teams: list[threading.Thread] = []
    end = threading.Event()
    while not stop.wait(_SECONDS):
        calm = 0 if waiting.since() > _BUSY * _SECONDS else calm + 1
        if not calm and not idle_teams:
            end = threading.Event()
            idle_teams = _start_idle_teams(torch, end)
            _competing.set()
        elif calm == _CALM_LOOKS:
            _competing.clear()
            end.set()
            idle_teams.clear()
    _competing.clear()
    end.set()
    for team in idle_teams:
        team.join()


def _start_idle_teams(torch: Any, end: threading.Event) -> list[threading.Thread]:
    """Start enough teams that, with the working one, there are more threads than processors."""
    threads = torch.get_num_threads()

    def idle() -> None:
        torch.set_num_threads(threads)  # in case another thread has set it to one
        torch.ones(1 << 20).add_(1)  # large enough to start all threads of the team
        end.wait()

    count = max(len(os.sched_getaffinity(0)) // threads, 1)
    teams = [threading.Thread(target=idle, daemon=True) for _ in range(count)]
    for team in teams:
        team.start()
    return teams


def _nanoseconds_waited() -> dict[str, int]:
    """Return the waiting time by thread; empty if the system does not count it."""
    waited: dict[str, int] = {}
    with suppress(OSError):
        for thread in _TASKS.iterdir():
            with suppress(OSError, IndexError, ValueError):  # the thread may have ended
                waited[thread.name] = int((thread / "schedstat").read_bytes().split()[1])
    return waited
