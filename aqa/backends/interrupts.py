"""Graceful stops: a signal requests one, and work ends where nothing is lost."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from aqa.processes import process_count

SAME_SECONDS = 5.0  # signals this close together count as one
STOP_SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
    if hasattr(signal, name)
]

_stops: list[Callable[[], None]] = []  # one for each piece of work in progress
_replaced: dict[int, Any] = {}  # the handlers that ours stand in for; empty without ours


@contextmanager
def stops_at_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """On Ctrl-C or another of STOP_SIGNALS, call `stop`: work then ends at the next safe point.

    A closed terminal (SIGHUP) counts, unless it is ignored, as under `nohup`. A later signal
    aborts, unless it comes within five seconds: SLURM and torchrun send several. In a single
    process, a second Ctrl-C always aborts. Pieces of work may overlap and end in any order; a
    signal stops them all.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _stops.append(stop)
    _install()
    try:
        yield
    finally:
        _stops.remove(stop)
        if not _stops:
            _uninstall()


@contextmanager
def resumed() -> Iterator[None]:
    """Advance work that is paused in between, when signals concern whatever the caller does."""
    had_ours = bool(_replaced)
    if _stops:
        _install()
    try:
        yield
    finally:
        if not had_ours:
            _uninstall()


def _install() -> None:
    if _replaced or threading.current_thread() is not threading.main_thread():
        return
    first: list[float] = []

    def handle(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not _stops:  # all work ended in other threads, which can't change handlers
            _uninstall()
            signal.raise_signal(number)
        elif not first:
            first.append(now)
            for stop in _stops:
                stop()
        elif now - first[0] > SAME_SECONDS or (number == signal.SIGINT and process_count() == 1):
            breaks_off = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, breaks_off)
            signal.raise_signal(number)

    for number in STOP_SIGNALS:
        if number == getattr(signal, "SIGHUP", None) and signal.getsignal(number) is signal.SIG_IGN:
            continue
        _replaced[number] = signal.signal(number, handle)


def _uninstall() -> None:
    if threading.current_thread() is threading.main_thread():
        while _replaced:
            signal.signal(*_replaced.popitem())
