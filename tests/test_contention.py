"""When other processes compete, PyTorch's threads sleep instead of spinning."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aqa import contention
from aqa.contention import Waiting, sharing_processors, small_operations

# A loop that ends with its parent.
BUSY = """
import os
parent = os.getppid()
print(flush=True)
while os.getppid() == parent: pass
"""
linux_only = pytest.mark.skipif(
    not Path("/proc/self/schedstat").exists(), reason="threads' waiting is counted on Linux alone"
)
# With two processors, both taken by busy loops: the CPU time of all PyTorch threads except the
# first during ten small operations, after each of which they fall asleep: the time they spin.
# CPU time does not depend on what else the machine does.
WORK = """
import os, subprocess, sys, threading, time
from pathlib import Path
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
import torch
from aqa import contention
contention._CALM_LOOKS = float("inf")  # who sleeps hardly waits for a processor
torch.set_num_threads(2)
numbers = torch.ones(1 << 17)
def others():
    tasks = Path("/proc/self/task").iterdir()
    return [task for task in tasks if task.name != str(os.getpid())]
numbers.add_(1)
team = others()
def worked():
    while any(") S " not in (task / "stat").read_text() for task in team):
        time.sleep(0.001)
    return sum(int((task / "schedstat").read_text().split()[0]) for task in team)
def waiting():
    before = worked()
    for _ in range(10):
        numbers.add_(1)
        after = worked()
    return after - before
loops = [subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=-1) for _ in range(2)]
try:
    spinning, alone = waiting(), len(team)
    with contention.sharing_processors():
        # The watch and a team of two come; if not, they are no more waited for.
        while len(others()) < alone + 3 and time.process_time() < 100:
            numbers.add_(1)
        sharing, threads = waiting(), threading.active_count()
    print(spinning, sharing, threads, threading.active_count())
finally:
    for loop in loops:
        loop.kill()
"""


@contextmanager
def competitor(processor: int) -> Iterator[None]:
    """A busy loop on the processor that this thread is bound to."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {processor})
    loop = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE)
    assert loop.stdout
    try:
        loop.stdout.readline()
        yield
    finally:
        loop.kill()
        loop.communicate()
        os.sched_setaffinity(0, allowed)


def work(seconds: float) -> None:
    """Use this much CPU time, not counting time taken by others."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@linux_only
@pytest.mark.slow
def test_waiting_for_a_processor_is_measured() -> None:
    with competitor(min(os.sched_getaffinity(0))):
        waiting = Waiting()
        work(0.5)
        assert waiting.since() > 0.1


def test_the_thread_that_waited_longest_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def count(**waited: int) -> None:
        for thread, nanoseconds in waited.items():
            (tmp_path / thread).mkdir(exist_ok=True)
            (tmp_path / thread / "schedstat").write_text(f"7000000000 {nanoseconds} 99\n")

    monkeypatch.setattr("aqa.contention._TASKS", tmp_path)
    count(one=5_000_000_000, two=0)
    waiting = Waiting()
    assert waiting.since() == 0
    count(one=5_000_000_000, two=250_000_000, new=100_000_000)
    assert waiting.since() == 0.25
    assert waiting.since() == 0


def test_one_thread_needs_no_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    class OneThread:
        @staticmethod
        def get_num_threads() -> int:
            return 1

    monkeypatch.setitem(sys.modules, "torch", OneThread)
    before = threading.active_count()
    with sharing_processors():
        assert threading.active_count() == before


@linux_only
@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one processor has nobody to wait for")
def test_threads_sleep_beside_busy_loops() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", WORK, BUSY],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    spinning, sharing, threads, threads_after = map(float, done.stdout.split())
    assert sharing < spinning / 4
    assert threads > threads_after == 1


@linux_only
def test_who_set_the_way_of_waiting_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class TwoThreads:
        @staticmethod
        def get_num_threads() -> int:
            return 2

    monkeypatch.setitem(sys.modules, "torch", TwoThreads)
    monkeypatch.setattr("aqa.contention._SECONDS", 600)  # no check, however long this takes
    before = threading.active_count()
    with sharing_processors():
        assert threading.active_count() == before + 1
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    with sharing_processors():
        assert threading.active_count() == before


@pytest.mark.parametrize(("others_compete", "expected"), [(True, 1), (False, 2)])
def test_small_operations_are_done_alone_beside_others(
    monkeypatch: pytest.MonkeyPatch, others_compete: bool, expected: int
) -> None:
    class Threads:
        count = 2

        def get_num_threads(self) -> int:
            return self.count

        def set_num_threads(self, count: int) -> None:
            self.count = count

    torch, competing = Threads(), threading.Event()
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(contention, "_competing", competing)
    if others_compete:
        competing.set()
    with small_operations():
        assert torch.count == expected
    assert torch.count == 2


@pytest.mark.slow
def test_idle_teams_are_whole_while_small_operations_are_done_alone() -> None:
    import torch

    seen: list[int] = []

    class Torch:
        get_num_threads, set_num_threads = torch.get_num_threads, torch.set_num_threads

        @staticmethod
        def ones(_: int) -> torch.Tensor:
            seen.append(torch.get_num_threads())
            return torch.ones(1)

    end, threads = threading.Event(), torch.get_num_threads()
    torch.set_num_threads(2)
    alone = threading.Thread(target=torch.set_num_threads, args=(1,))
    try:
        alone.start()
        alone.join()
        for team in contention._start_idle_teams(Torch, end):
            end.set()
            team.join()
    finally:
        torch.set_num_threads(threads)
    assert set(seen) == {2}
