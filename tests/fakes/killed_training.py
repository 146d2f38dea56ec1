"""Trainings that die as by `kill -9`: each in a child process that kills itself at a moment.

Called with a JSON list of cases; prints the signal that ended each child.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any


def main(cases: list[dict[str, Any]]) -> None:
    import torch

    torch.set_num_threads(1)
    import aqa.backends.llama_qlora.training  # noqa: F401  (imported once, for all children)

    for case in cases:
        child = os.fork()
        if child == 0:
            try:
                train(**case)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        print(os.WTERMSIG(status) if os.WIFSIGNALED(status) else "not killed")


def train(
    model: str, template: str, folder: str, settings: list[str], step: int, while_saving: bool
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
    training = Training(make_reader(model, *settings), load_template(template), Path(folder))
    training.run(at_step)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
