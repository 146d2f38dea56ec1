"""The verb predict in several processes launched together."""

import time
from dataclasses import replace
from pathlib import Path

from aqa.backends import make_reader
from aqa.backends.base import Remote
from aqa.backends.ensemble.backend import EnsembleBackend
from aqa.config.options import RunConfig
from aqa.errors import FolderInUseError
from aqa.processes import is_first_process
from aqa.progress import Progress
from aqa.runs.folder import read_manifest
from aqa.runs.segments import POLL_SECONDS
from aqa.runs.shared_queue import is_taken
from aqa.verbs.launch import refuse_several
from aqa.verbs.predict import PredictResult, Questions, Resume, checked_inputs, kept_answers
from aqa.verbs.session import result_of
from aqa.verbs.shared_work import follow

SAY_SECONDS = 60.0  # that a new leader may need to read the journal and announce itself


def predict_distributed(
    config: RunConfig, folder: Path, progress: Progress, resume: Resume, command: str, launch: str
) -> PredictResult | None:
    """Answer as one process of a launch; only the final leader returns the result.

    Raises:
        AqaError: as `predict`; or the reader or its options allow one process only.
    """
    reader = make_reader(config, progress)
    if isinstance(reader, Remote | EnsembleBackend):
        refuse_several(f"a prediction by {config.backend.name}")
    if resume.stop is not None:
        refuse_several("a run with --stop-when-decided")
    inputs = checked_inputs(config, reader, progress)
    questions = Questions(config, reader, inputs, launch)
    follows = not is_first_process()
    while True:
        if follows and not follow(inputs, reader, folder, launch):
            return None
        is_open = read_manifest(folder).get("launch") == launch
        going_on = replace(resume, fresh=False) if is_open else resume
        try:
            return result_of(kept_answers(questions, folder, progress, going_on, command))
        except FolderInUseError:
            # Perhaps another process took the lead; otherwise another launch is working there.
            if not follows and not _is_led(folder, launch):
                raise
            follows = True


def _is_led(folder: Path, launch: str) -> bool:
    """Whether this launch has a leader; a new one may need a moment to announce itself."""
    end = time.monotonic() + SAY_SECONDS
    while read_manifest(folder).get("launch") != launch:
        if is_taken(folder, launch) or time.monotonic() > end:
            return False
        time.sleep(POLL_SECONDS)
    return True
