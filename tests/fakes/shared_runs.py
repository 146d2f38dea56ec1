"""One prediction in several processes, any of which may be killed."""

import multiprocessing
import os
import traceback
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from aqa.config.options import RunConfig
from aqa.errors import AqaError
from aqa.progress import SilentProgress
from aqa.verbs import shared_work
from aqa.verbs.distributed_prediction import predict_distributed
from aqa.verbs.launch import LAUNCH
from aqa.verbs.predict import Resume

GO_ON = Resume()
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["shared_runs", "numpy"])


def work(config: RunConfig, folder: Path, told: Mapping[str, str], resume: Resume) -> None:
    """Predict as one of several processes; the exit code is the command's."""
    os.environ.update(told)
    shared_work.LEAD_SECONDS = 1.0  # instead of a minute
    try:
        launch = told[LAUNCH]
        predict_distributed(config, folder, SilentProgress(), resume, "", launch)
    except AqaError as error:
        traceback.print_exc()
        raise SystemExit(error.exit_code) from error


class Launch:
    """Processes started together, as by torchrun or srun."""

    def __init__(
        self,
        config: RunConfig,
        folder: Path,
        count: int,
        resume: Resume = GO_ON,
    ) -> None:
        name = uuid4().hex
        self.processes = [
            CONTEXT.Process(
                target=work,
                args=(
                    config,
                    folder,
                    {"RANK": str(rank), "WORLD_SIZE": str(count), LAUNCH: name},
                    resume,
                ),
            )
            for rank in range(count)
        ]
        for process in self.processes:
            process.start()

    def living(self) -> list[int]:
        """The ranks of those still running."""
        return [rank for rank, process in enumerate(self.processes) if process.is_alive()]

    def kill(self, rank: int) -> None:
        """Kill one with -9."""
        self.processes[rank].kill()
        self.processes[rank].join()

    def exit_codes(self) -> list[int | None]:
        """Wait for all; return -9 for those killed."""
        for process in self.processes:
            process.join()
        return [process.exitcode for process in self.processes]
