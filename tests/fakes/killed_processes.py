"""A training of which all processes are killed (`kill -9`) after so many steps."""

import os
import signal
import sys


def main(steps: int, *words: str) -> None:
    """Run `aqa` and kill this process in the step after those, when all have reached it."""
    import torch
    from transformers import Trainer

    from aqa.__main__ import main as run

    train = Trainer.training_step

    def step(self, *arguments, **more):  # type: ignore[no-untyped-def]
        if self.state.global_step == steps:
            torch.distributed.barrier()
            os.kill(os.getpid(), signal.SIGKILL)
        return train(self, *arguments, **more)

    Trainer.training_step = step
    sys.argv = ["aqa", *words]
    run()
