"""Stopping politely: a signal asks for it, and the work ends where nothing is lost."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stops_at_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Let Ctrl-C, or a scheduler's SIGTERM, ask for a stop at the next good moment.

    The same signal once more breaks off. torchrun answers Ctrl-C with both.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: FrameType | None) -> None:
        breaks_off = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, breaks_off)
        stop()

    for number in previous:
        signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
