"""A training whose processes are all killed (`kill -9`) after so many steps, once these are saved.

Run: a launcher, such as torchrun, then killed_processes.py STEPS ARGUMENTS-OF-AQA
"""

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


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
