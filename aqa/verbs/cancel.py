"""Cancel a run's open batches at the server."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from aqa.backends import make_reader
from aqa.backends.base import Remote
from aqa.config.options import RunConfig
from aqa.errors import RunError, UsageError
from aqa.progress import Progress
from aqa.verbs.launch import check_single
from aqa.verbs.predict import Questions, Resume, checked_inputs, opened
from aqa.verbs.session import Answering


@dataclass(frozen=True, slots=True)
class CancelResult:
    """Counts after a run's batches were cancelled."""

    examples: int
    answered: int
    failed: int


def cancel(config: RunConfig, folder: Path, progress: Progress, command: str = "") -> CancelResult:
    """Cancel a run's open batches and keep their answers; AqaError if there are none."""
    check_single("--cancel")
    reader = make_reader(config, progress)
    if not isinstance(reader, Remote):
        raise UsageError(f"--cancel ends batches of an API; {config.backend.name} has none")
    inputs = checked_inputs(config, reader, progress)
    if not reader.find_batches(folder, fresh=False):  # before making the folder or a new run.json
        raise RunError(f"{folder}: no batch of this run is open; there is nothing to cancel")
    with opened(Questions(config, reader, inputs), folder, Resume(), command) as session:
        answering = Answering(session)
        with (
            session.recording(),
            progress.task("Collecting") as task,
            closing(answering.cancel(reader)) as answers,
        ):
            for answered in answers:
                task.advance(1, answered.live)
        session.end("cancelled", {})
        return CancelResult(inputs.total, *session.journal.counts(inputs.total))
