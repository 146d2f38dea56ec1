"""`aqa.train`: fine-tune a reader and score it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aqa.api.config import Data, PathLike, Settings, as_path
from aqa.api.displayable import Displayable
from aqa.api.flag_translation import TRAINED, TranslatingProgress, translate_errors
from aqa.api.reader import resolve
from aqa.config.ensemble_options import EnsembleOptions
from aqa.config.options import RunConfig
from aqa.display.console import watched_progress
from aqa.records import Score
from aqa.tables import Table
from aqa.verbs.ensemble_training import train as train_ensemble
from aqa.verbs.train import train as run_train
from aqa.verbs.train_progress import training_table


@translate_errors(TRAINED)
def train(
    reader: str | RunConfig,
    data: Data | None = None,
    dev_data: Data | None = None,
    *,
    settings: Settings | None = None,
    output_dir: PathLike | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> "Training":
    """Fine-tune a reader; write weights, dev predictions, scores and manifest to the run folder.

    Args:
        reader: a config from `aqa.load_config`, or the name of a backend ("t5", "llama") if
            settings such as "backend.model" give the rest.
        data: the examples to train on, as for `aqa.predict`; by default what the config names.
        dev_data: examples by which to choose and score the best weights.
        settings: config values by dotted key, such as {"training.num_train_epochs": 3}.
        output_dir: the run folder; by default the config's, or runs/train-BACKEND.
        resume: continue from the last checkpoint in the run folder.
        quiet: hide progress, which terminals and notebooks show by default.

    Raises:
        AqaError: something is wrong with data, config, prompt or model, before anything is
            written; or the run folder is in use, or holds a training that is not resumed.
    """
    config = resolve(reader, None, settings, data, dev_data, trains=True)
    folder = as_path(
        config.output_dir or f"runs/train-{config.backend.name}"
        if output_dir is None
        else output_dir
    )
    progress = TranslatingProgress(watched_progress(quiet), TRAINED)
    if isinstance(config.backend, EnsembleOptions):
        learned = train_ensemble(config, folder, progress, resume, command="aqa.train")
        return Training(learned.folder, learned.weights, {}, {}, findings=learned.findings)
    trained = run_train(config, folder, progress, resume, command="aqa.train")
    merged = None if trained.merged is None else trained.merged.folder
    scores = {} if trained.report is None else dict(trained.report.systems[0].scores)
    return Training(trained.folder, trained.weights, dict(trained.before), scores, merged)


@dataclass(frozen=True, slots=True, repr=False)
class Training(Displayable):
    """The result of a training.

    `folder` is the run folder, to be passed as `model` to `aqa.predict`. `before` and `scores` are
    the untrained and the trained model's scores on the dev data, by metric; empty without dev
    data. `merged` is the folder of the merged adapter and base, if asked for. `findings` say what
    an ensemble gains and consists of.
    """

    folder: Path
    weights: Path
    before: Mapping[str, float]
    scores: Mapping[str, Score]
    merged: Path | None = None
    findings: tuple[str, ...] = ()

    def _tables(self) -> list[Table]:
        return [training_table(self.before, self.scores, "")] if self.scores else []

    def _sentences(self) -> tuple[str, ...]:
        return (f"trained: {self.folder}", *self.findings)
