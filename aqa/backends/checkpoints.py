"""Checkpoints that count only when they are whole, and stopping a training politely."""

import json
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

STATE = "trainer_state.json"  # the last file that transformers writes into a checkpoint


def last_checkpoint(folder: Path) -> Path | None:
    """Give the newest whole checkpoint; remove what a killed process left half written."""
    whole: list[tuple[int, Path]] = []
    for path in folder.glob("checkpoint-*"):
        try:
            state = json.loads((path / STATE).read_text(encoding="utf-8"))
            whole.append((int(state["global_step"]), path))
        except (OSError, ValueError, KeyError, TypeError):
            shutil.rmtree(path, ignore_errors=True)
    return max(whole, default=(0, None))[1]


@contextmanager
def stops_at_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Let the first Ctrl-C ask for a stop at the end of the step; a second one breaks off."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.getsignal(signal.SIGINT)

    def ask(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        stop()

    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
