import json
import os
import signal
import threading
from pathlib import Path

import pytest

from aqa.backends.checkpoints import STATE, last_checkpoint, stops_at_interrupt


def make(folder: Path, step: int, state: str | None) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "adapter_model.safetensors").write_bytes(b"weights")
    if state is not None:
        (path / STATE).write_text(state, encoding="utf-8")
    return path


def whole(step: int) -> str:
    return json.dumps({"global_step": step})


def test_the_newest_by_number_not_by_name(tmp_path: Path) -> None:
    for step in (2, 100, 90):
        make(tmp_path, step, whole(step))
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-100"


@pytest.mark.parametrize(
    "state",
    [None, "", whole(4)[:-1], "{}", '{"global_step": null}', "[]"],
    ids=["no state", "empty", "cut off", "no step", "step is null", "a list"],
)
def test_half_a_checkpoint_is_removed_and_ignored(tmp_path: Path, state: str | None) -> None:
    older = make(tmp_path, 2, whole(2))
    half = make(tmp_path, 4, state)
    assert last_checkpoint(tmp_path) == older
    assert not half.exists()
    assert (older / "adapter_model.safetensors").exists()


@pytest.mark.parametrize("exists", [True, False])
def test_no_checkpoint(tmp_path: Path, exists: bool) -> None:
    assert last_checkpoint(tmp_path if exists else tmp_path / "missing") is None


def test_the_first_interrupt_asks_and_the_second_breaks_off() -> None:
    asked = []
    before = signal.getsignal(signal.SIGINT)
    with stops_at_interrupt(lambda: asked.append(True)):
        os.kill(os.getpid(), signal.SIGINT)
        assert asked == [True]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert asked == [True]
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_leaves_the_signal_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    found = []

    def work() -> None:
        with stops_at_interrupt(lambda: None):
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before]
