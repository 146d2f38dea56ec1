"""Beside other work PyTorch's threads sleep rather than spin for each other."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aqa.contention import Waiting, sharing_processors

BUSY = "while True: pass"
linux_only = pytest.mark.skipif(
    not Path("/proc/self/schedstat").exists(), reason="threads' waiting is counted on Linux alone"
)
# Many small operations, as in decoding; the time of one round beside two busy loops.
WORK = """
import subprocess, sys, threading, time
import torch
from aqa.contention import sharing_processors
torch.set_num_threads(2)
weights = [torch.randn(576, 1536) for _ in range(20)]
def seconds(rounds):
    begin = time.perf_counter()
    for _ in range(rounds):
        states = torch.randn(8, 576)
        for weight in weights:
            states = torch.nn.functional.gelu(states @ weight) @ weight.T
    return (time.perf_counter() - begin) / rounds
seconds(2)
loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
try:
    spinning = seconds(4)
    with sharing_processors():
        seconds(20)
        sharing, threads = seconds(20), threading.active_count()
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
    loop = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
    finally:
        loop.kill()
        loop.wait()
        os.sched_setaffinity(0, allowed)


def work(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


@linux_only
@pytest.mark.slow
def test_waiting_for_a_processor_is_measured() -> None:
    with competitor(min(os.sched_getaffinity(0))):
        waiting = Waiting()
        work(1.0)
        assert waiting.since() > 0.1


@linux_only
def test_a_thread_that_sleeps_waits_for_nothing() -> None:
    waiting = Waiting()
    time.sleep(0.5)
    assert waiting.since() < 0.25


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
        [sys.executable, "-c", WORK], capture_output=True, text=True, env=environment, check=True
    )
    spinning, sharing, threads, threads_after = map(float, done.stdout.split())
    assert sharing < spinning / 2
    assert threads > threads_after == 1


@linux_only
def test_who_set_the_way_of_waiting_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class TwoThreads:
        @staticmethod
        def get_num_threads() -> int:
            return 2

    monkeypatch.setitem(sys.modules, "torch", TwoThreads)
    before = threading.active_count()
    with sharing_processors():
        assert threading.active_count() == before + 1
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    with sharing_processors():
        assert threading.active_count() == before
