"""`aqa.predict`: answer every question of the data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from aqa.api.config import Data, PathLike, Settings, as_path
from aqa.api.flag_translation import ASKED, TranslatingProgress, translate_errors
from aqa.api.predictions import Predictions
from aqa.api.reader import AnyReader, Reader, resolve
from aqa.config.options import RunConfig
from aqa.config.ranges import POINTS, Choice, check_list
from aqa.config.stress_conditions import parse_conditions
from aqa.display.console import watched_progress
from aqa.errors import UsageError
from aqa.evaluation.sequential_testing import StopRule
from aqa.verbs.ensembles import connect
from aqa.verbs.predict import Resume, check, kept_answers
from aqa.verbs.variants import Variants, answers_of, check_variants, make_variants

SCORES = ("em", "f1")  # by which a run may be decided


@translate_errors(ASKED)
def predict(
    reader: AnyReader,
    data: Data | None = None,
    *,
    model: PathLike | None = None,
    settings: Settings | None = None,
    output_dir: PathLike | None = None,
    redo: Literal["nothing", "failures", "everything"] = "nothing",
    prompts: Sequence[PathLike] = (),
    stress: Sequence[str] = (),
    abstain_below: PathLike | None = None,
    allow_other_reader: bool = False,
    stop_when_decided: PathLike | Predictions | None = None,
    margin: float | None = None,
    decide_by: Literal["em", "f1"] = "f1",
    quiet: bool = False,
) -> Predictions:
    """Answer every question of the data.

    Data, config and prompt are checked at once; the model is loaded, or a server asked, when the
    first answer is taken.

    Args:
        reader: the name of a backend ("t5", "llama", "gpt4"), a config from `aqa.load_config`, or
            an `aqa.Reader`, which stays loaded for the next call.
        data: a path or a data set's name, `aqa.Example`s, rows as dicts in any shape that files
            may have, a pandas table or a `datasets.Dataset`; by default what the config names.
        model: a run folder, an adapter, a model folder, a hub name, or "package:NAME/FILE".
        settings: config values by dotted key, such as {"evidence.top_k": 5}.
        output_dir: the run folder. Each answer is in its journal before the next is asked for, and
            answers of earlier calls are not asked for again. Without it, nothing is written.
        redo: what to ask again of an earlier call.
        prompts: templates, by name or path; each makes a run in the run folder.
        stress: conditions, such as "position" or "missing", under which to ask the questions as
            well, each in its own run in the run folder (see `aqa.evaluate`).
        abstain_below: a contract file; less confident answers are withheld.
        allow_other_reader: allow a contract that was made with another reader.
        stop_when_decided: a run to compare with, wave by wave, until one is surely better.
        margin: also stop once they surely differ by fewer points.
        decide_by: the score that decides.
        quiet: hide progress, which terminals and notebooks show by default.

    Raises:
        AqaError: something is wrong with data, config, prompt, model or run folder; also while
            answers are taken.
    """
    Choice(("nothing", "failures", "everything")).check("redo", redo)
    check_list("prompts", prompts)
    check_list("stress", stress)
    config = resolve(reader, model, settings, data)
    if config.workers.processes > 1:
        raise UsageError(
            "workers.count only works with the command aqa predict; in Python, leave it out or set"
            " workers.engine to ray"
        )
    progress = TranslatingProgress(watched_progress(quiet), ASKED)
    folder = None if output_dir is None else as_path(output_dir)
    several = bool(stress) or len(prompts) > 1
    if several and stop_when_decided is not None:
        raise UsageError("stop_when_decided works on a single run; leave out prompts and stress")
    contract = None if abstain_below is None else as_path(abstain_below)
    stop = _stop_rule(stop_when_decided, margin, decide_by)
    resume = Resume(redo == "everything", redo == "failures", contract, allow_other_reader, stop)
    resume.check_files()
    if folder is None and (prompts or stress or contract or stop):
        raise UsageError(
            "prompts, stress, abstain_below and stop_when_decided need a run folder; give"
            " output_dir"
        )
    if prompts:
        config.note_asked((), ("prompt",))
    loaded = reader.kept(config, progress) if isinstance(reader, Reader) else None
    streams = reader.streams if isinstance(reader, Reader) else None
    if folder is not None and several:
        variants = variants_of(config, folder, prompts, stress)
        checked = check_variants(variants, progress, loaded)
        rows = answers_of(checked, progress, resume, "aqa.predict")
        return Predictions(checked.questions, rows, folder, streams)
    if prompts:
        config = config.model_copy(update={"prompt": str(as_path(prompts[0]))})
    questions = check(config, progress, loaded)
    connect(questions, folder, progress, resume)
    if folder is None:
        return Predictions([questions], questions.unkept_answers(progress), None, streams)
    answers = kept_answers(questions, folder, progress, resume, "aqa.predict")
    return Predictions([questions], answers, folder, streams)


def variants_of(
    config: RunConfig, folder: Path, prompts: Sequence[PathLike], stress: Sequence[str]
) -> Variants:
    """Plan the runs of several prompts or conditions; AqaError for an invalid one."""
    conditions = parse_conditions(",".join(stress)) if stress else []
    return make_variants(config, folder, [str(as_path(prompt)) for prompt in prompts], conditions)


def run_folder(run: PathLike | Predictions) -> Path:
    """Return a run's folder, or a file of predictions; UsageError for answers in neither."""
    if not isinstance(run, Predictions):
        return as_path(run)
    if run.folder is None:
        raise UsageError("these answers have no run folder; call aqa.predict with output_dir")
    for _ in run.rows():  # so that all answers are in the folder
        pass
    return run.folder


def _stop_rule(
    run: PathLike | Predictions | None, margin: float | None, score: Literal["em", "f1"]
) -> StopRule | None:
    POINTS.check("margin", margin)
    Choice(SCORES).check("decide_by", score)
    return StopRule.asked(None if run is None else run_folder(run), margin, score)
