"""Find and judge checkpoints, of which only complete ones count."""

import json
import shutil
from pathlib import Path
from typing import Any

from aqa.errors import RunError

STATE = "trainer_state.json"  # the last file that transformers writes to a checkpoint


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint; delete incomplete ones of killed processes."""
    complete: list[tuple[int, Path]] = []
    for path in folder.glob("checkpoint-*"):
        try:
            complete.append((int(_state(path)["global_step"]), path))
        except (OSError, ValueError, KeyError, TypeError):
            shutil.rmtree(path, ignore_errors=True)
    return max(complete, default=(0, None))[1]


def _state(checkpoint: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
    return state


def is_over(checkpoint: Path, patience: int | None) -> bool:
    """Whether the training ended at this checkpoint, by steps or by early stopping.

    transformers would continue, because it checks only after a step.
    """
    state = _state(checkpoint)
    stopper = state.get("stateful_callbacks", {}).get("EarlyStoppingCallback", {})
    waited = stopper.get("attributes", {}).get("early_stopping_patience_counter", 0)
    done: int = state["global_step"]
    return done >= state["max_steps"] or (patience is not None and waited >= patience)


def awaits_evaluation(checkpoint: Path) -> bool:
    """Whether the training ended after writing this checkpoint, but before its evaluation."""
    state = _state(checkpoint)
    control = state.get("stateful_callbacks", {}).get("TrainerControl", {})
    return bool(control.get("args", {}).get("should_evaluate"))


def check_optimizer(checkpoint: Path, kind: str | None, processes: int) -> None:
    """Check that an optimizer of this kind can load the state in a checkpoint.

    The kind is DeepSpeed, FSDP or None. transformers silently starts afresh if there is no state of
    its own kind; DeepSpeed's has one part per process.

    Raises:
        RunError: it is of another kind, or DeepSpeed's with another number of processes.
    """
    parts = len([*checkpoint.glob("global_step*/*optim_states.pt")])
    sharded = [*checkpoint.glob("optimizer_0"), *checkpoint.glob("optimizer.bin")]
    written = "DeepSpeed" if parts else "FSDP" if sharded else None
    if written != kind or (parts and parts != processes):
        by = f"{parts} processes under " if parts else "a training under " if sharded else ""
        raise RunError(
            f"{checkpoint}: its optimizer state was written by"
            f" {by + written if written else 'a training without DeepSpeed or FSDP'}; resume in the"
            " same way, or start over with --fresh"
        )
