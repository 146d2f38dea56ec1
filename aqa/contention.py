"""Other work on the same processors: threads that wait for each other must not spin then.

PyTorch's threads wait for each other by spinning for milliseconds (GNU OpenMP). That is fastest on
an idle machine, but once a thread loses its processor to another process, all others spin for it,
at every operation: one competitor can cost a factor of ten. The library spins only for a moment
while it manages more threads than there are processors. So an idle team of threads, kept while
others compete, makes all threads of this process sleep instead, and ending it undoes that.
Small operations then end sooner in one thread than in several that wait for each other.

Competition is measured, not guessed: Linux counts how long each thread was ready to run but had to
wait for a processor. Where it does not, nothing is changed.
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
_SECONDS = 0.2  # between two looks
_BUSY = 0.05  # share of that time for which a thread had to wait: more is competition
_CALM_LOOKS = 10  # without competition, in a row, before threads spin again
_competing = threading.Event()  # whether others compete, while somebody watches


class Waiting:
    """How long threads of this process waited for a processor while they were ready to run."""

    def __init__(self) -> None:
        self._before = _nanoseconds_waited()

    def since(self) -> float:
        """Seconds since the last call, of the thread that waited longest."""
        now = _nanoseconds_waited()
        waited = [count - self._before.get(thread, 0) for thread, count in now.items()]
        self._before = now
        return max(waited, default=0) / 1e9


@contextmanager
def sharing_processors() -> Iterator[None]:
    """Within it, PyTorch's threads sleep rather than spin as long as other processes compete.

    It needs torch to be imported and to use several threads, GNU OpenMP and Linux; else it does
    nothing, as where the environment sets OpenMP's way of waiting.
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
    """Within it, this thread computes alone if other processes compete as it begins.

    To be entered anew every few operations, within `sharing_processors`.
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
    """As many teams as make more threads, with the one at work, than there are processors."""
    threads = torch.get_num_threads()

    def idle() -> None:
        torch.set_num_threads(threads)  # a new thread has one while another computes alone
        torch.ones(1 << 20).add_(1)  # large enough for all threads of a team
        end.wait()

    count = max(len(os.sched_getaffinity(0)) // threads, 1)
    teams = [threading.Thread(target=idle, daemon=True) for _ in range(count)]
    for team in teams:
        team.start()
    return teams


def _nanoseconds_waited() -> dict[str, int]:
    """By thread; empty where the system does not count them."""
    waited: dict[str, int] = {}
    with suppress(OSError):
        for thread in _TASKS.iterdir():
            with suppress(OSError, IndexError, ValueError):  # it may have ended
                waited[thread.name] = int((thread / "schedstat").read_bytes().split()[1])
    return waited
