"""A training whose process kills itself with -9 at a chosen moment."""

import os
import signal
from pathlib import Path


def die_in_training(
    model: Path, template: Path, folder: Path, settings: list[str], step: int, while_saving: bool
) -> None:
    """Die after `step`, or before the last file of that step's checkpoint is written."""
    from tiny_llama import Training, make_reader
    from transformers import TrainerState

    from aqa.prompting.templates import load_template
    from aqa.records import TrainStep

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def at_step(told: TrainStep) -> None:
        if told.step == step and not told.scores and not while_saving:
            die()

    if while_saving:
        save = TrainerState.save_to_json

        def save_or_die(state: TrainerState, path: str) -> None:
            if state.global_step == step:
                Path(path).write_text("{", encoding="utf-8")
                die()
            save(state, path)

        TrainerState.save_to_json = save_or_die
    Training(make_reader(model, *settings), load_template(str(template)), folder).run(at_step)
