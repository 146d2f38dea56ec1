"""Checkpoints that count only when they are whole, and stopping a training politely."""

import json
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from aqa.errors import RunError

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


def check_optimizer(checkpoint: Path, deepspeed: bool, processes: int) -> None:
    """See whether the optimizer's state in a checkpoint can be taken up.

    transformers begins with a new one in silence where it finds none of its own kind; DeepSpeed's
    lies in a part for each process.

    Raises:
        RunError: it is of another kind, or of another number of processes.
    """
    parts = len([*checkpoint.glob("global_step*/*optim_states.pt")])
    if bool(parts) != deepspeed or (parts and parts != processes):
        written = f"{parts} processes under DeepSpeed" if parts else "a training without DeepSpeed"
        raise RunError(
            f"{checkpoint}: its optimizer was written by {written}; go on in the same way, or begin"
            " anew with --fresh"
        )


@contextmanager
def stops_at_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Let Ctrl-C, or a scheduler's SIGTERM, ask for a stop at the end of the step.

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
