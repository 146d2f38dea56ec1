"""The verb predict in several processes launched together."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from aqa.backends import make_reader
from aqa.backends.base import Remote
from aqa.backends.ensemble.backend import EnsembleBackend
from aqa.config.options import RunConfig
from aqa.errors import FolderInUseError
from aqa.processes import is_first_process
from aqa.progress import Progress
from aqa.runs.folder import hold, read_manifest
from aqa.runs.names import LOCK
from aqa.verbs.launch import refuse_several
from aqa.verbs.predict import PredictResult, Questions, Resume, checked_inputs, kept_answers
from aqa.verbs.session import result_of
from aqa.verbs.shared_work import follow


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
        with _leading(folder, launch) as leads:
            try:
                if leads:
                    return result_of(kept_answers(questions, folder, progress, going_on, command))
            except FolderInUseError:
                if not follows:  # otherwise another follower may just have looked for a leader
                    raise
        follows = True


@contextmanager
def _leading(folder: Path, launch: str) -> Iterator[bool]:
    """Yield whether this process may lead: False if another one of its launch does, or will.

    So if the folder is in use nevertheless, it is not by this launch.
    """
    name = f"{LOCK}.{launch}"
    try:
        lock = hold(folder, name)
    except FolderInUseError:
        lock = None
    try:
        yield lock is not None
    finally:
        if lock is not None:
            (folder / name).unlink(missing_ok=True)
            lock.release()
