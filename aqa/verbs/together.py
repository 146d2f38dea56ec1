"""The verb predict in several processes of one launch."""

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
from aqa.verbs.launch import refuse_several
from aqa.verbs.predict import PredictResult, Questions, Resume, checked_inputs, kept_answers
from aqa.verbs.session import result_of
from aqa.verbs.shared_work import follow

SAY_SECONDS = 10.0  # that one which takes the lead may need to say so


def predict_together(
    config: RunConfig, folder: Path, progress: Progress, resume: Resume, command: str, launch: str
) -> PredictResult | None:
    """Answer as one of the processes of a launch; the one that leads in the end gives the result.

    Raises:
        AqaError: as `predict`; or the reader, or how it is asked, is the work of one process.
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
            # Another process may have taken the lead; else another launch works there.
            if not follows and not _is_led(folder, launch):
                raise
            follows = True


def _is_led(folder: Path, launch: str) -> bool:
    """Whether one of this launch leads; one that has just begun to may not have said so yet."""
    end = time.monotonic() + SAY_SECONDS
    while read_manifest(folder).get("launch") != launch:
        if time.monotonic() > end:
            return False
        time.sleep(POLL_SECONDS)
    return True
