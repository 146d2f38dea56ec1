import json
from pathlib import Path

import pytest

from aqa.backends.local.checkpoints import STATE, last_checkpoint


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
