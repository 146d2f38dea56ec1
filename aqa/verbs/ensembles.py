"""Ensembles in `predict`: the backend is connected with the runs of its members."""

from pathlib import Path

from aqa.backends.base import Backend
from aqa.backends.ensemble.backend import EnsembleBackend
from aqa.config.options import RunConfig
from aqa.errors import UsageError
from aqa.progress import Progress
from aqa.prompting.build import Inputs
from aqa.prompting.templates import load_template
from aqa.spent import CostEstimate
from aqa.verbs.members import AskedMembers
from aqa.verbs.predict import PredictResult, Questions, Resume, check, kept_answers
from aqa.verbs.predict import dry_run as dry_run_reader
from aqa.verbs.predict import predict as predict_reader
from aqa.verbs.session import result_of


def predict(
    config: RunConfig,
    reader_type: type[Backend],
    folder: Path,
    progress: Progress,
    resume: Resume,
    command: str = "",
) -> PredictResult:
    """Answer every example as `aqa.verbs.predict` does; an ensemble asks its members first.

    Raises:
        AqaError: as there; or members can't be asked.
    """
    if not issubclass(reader_type, EnsembleBackend):
        return predict_reader(config, reader_type, folder, progress, resume, command)
    questions = check(config, reader_type, progress)
    connect(questions, folder, progress, resume)
    rows = kept_answers(questions, folder, progress, resume, command)
    return result_of(rows)


def connect(questions: Questions, folder: Path | None, progress: Progress, resume: Resume) -> None:
    """Let an ensemble ask its members, whose runs lie in its folder; others need nothing.

    Raises:
        AqaError: members can't be asked, or there is no folder.
    """
    reader = questions.reader
    if not isinstance(reader, EnsembleBackend):
        return
    if folder is None:
        raise UsageError(
            "an ensemble keeps the answers of its members in a run folder; name one (output_dir)"
        )
    reader.connect(AskedMembers(questions, folder, progress, resume).ask)


def dry_run(
    config: RunConfig,
    reader_type: type[Backend],
    folder: Path,
    progress: Progress,
    resume: Resume,
) -> CostEstimate:
    """Tell what a prediction would cost; of an ensemble, what its members would.

    Raises:
        AqaError: bad data or prompt; or no server is asked.
    """
    if not issubclass(reader_type, EnsembleBackend):
        return dry_run_reader(config, reader_type, folder, progress, resume)
    reader = reader_type(config, progress)
    reader.check()
    inputs = Inputs(config, load_template(config.prompt), progress)
    questions = Questions(config, reader, inputs)
    return AskedMembers(questions, folder, progress, resume).estimate()
