"""Graceful stops: a signal requests one, and work ends where nothing is lost."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from aqa.processes import process_count

SAME_SECONDS = 5.0  # signals this close together count as one
STOP_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name)
]


@contextmanager
def stops_at_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """On Ctrl-C, SIGTERM or SIGUSR1, call `stop` so that work ends at the next safe point.

    A later signal aborts, unless it comes within five seconds: SLURM and torchrun send several. In
    a single process, a second Ctrl-C always aborts.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    first: list[float] = []

    def ask(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not first:
            first.append(now)
            stop()
        elif now - first[0] > SAME_SECONDS or (number == signal.SIGINT and process_count() == 1):
            breaks_off = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            signal.signal(number, breaks_off)
            signal.raise_signal(number)

    for number in previous:
        signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
