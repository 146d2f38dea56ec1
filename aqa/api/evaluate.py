"""`aqa.evaluate`: predictions beside their references."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from aqa.api.config import Path as PathLike
from aqa.api.data import Data, as_data_path
from aqa.api.predict import Predictions
from aqa.data import Source
from aqa.display.console import watched_progress
from aqa.errors import RunError, UsageError
from aqa.evaluation.alignment import System
from aqa.evaluation.comparison import Comparison
from aqa.evaluation.inputs import Predicted, Scoring, read_references
from aqa.evaluation.judge.options import JudgeOptions
from aqa.evaluation.predictions import NamedPredictions, answered_row
from aqa.evaluation.results import Report
from aqa.evaluation.tables import comparison_table, long_table, score_table
from aqa.progress import SilentProgress
from aqa.records import Prediction, Score
from aqa.runs.names import METRICS
from aqa.tables.html import to_html
from aqa.tables.table import plain_value
from aqa.verbs.evaluate import Evaluated, Outputs
from aqa.verbs.evaluate import evaluate as run_evaluate

if TYPE_CHECKING:
    from pandas import DataFrame

ONE_SYSTEM = "predictions"  # the name of a system that has none

# One system's: a file or run folder, a stream, answers by id, or rows as files have them.
Answers: TypeAlias = (
    PathLike
    | Predictions
    | Mapping[str, str | Prediction | None]
    | Iterable[Prediction | Mapping[str, Any]]
)


def evaluate(
    predictions: Mapping[str, Answers] | Answers | Sequence[PathLike],
    data: Data | Source | None = None,
    metrics: Sequence[str] = (),
    *,
    scoring: Scoring | None = None,
    judge: JudgeOptions | None = None,
    output_dir: PathLike | None = None,
    quiet: bool = False,
) -> "Evaluation":
    """Score the answers of one or more systems against the same references, and compare them.

    Args:
        predictions: systems by name, each a file in any shape, a run folder, the stream of
            `aqa.predict`, a mapping of ids to texts or `aqa.Prediction`s, or a stream of these.
            One system needs no name, and files name themselves.
        data: the examples with the references, as of `aqa.predict`, or an `aqa.Source`, which can
            name columns and splits; by default the references that the predictions hold.
        metrics: such as ("em", "f1", "rougeL"); by default those that fit the languages.
        scoring: how to score: profile, Unicode form, no-answer phrases, slices, baseline, ...
        judge: who judges, for the metric "judge".
        output_dir: where metrics.json and a judge's verdicts are written; nothing is without it.
        quiet: show no progress, which terminals and notebooks show otherwise.

    Raises:
        AqaError: predictions or data can't be read, do not fit each other, or were made with
            different evidence.
    """
    source = data if isinstance(data, Source | None) else _source(data)
    asked = scoring or Scoring()
    asked = replace(asked, metrics=tuple(metrics)) if metrics else asked
    evaluated = Evaluated(_systems(predictions), asked, source, judge or JudgeOptions())
    outputs = Outputs()
    if output_dir is not None:
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        outputs = Outputs(Path(output_dir, METRICS))
    return Evaluation(run_evaluate(evaluated, outputs, watched_progress(quiet)), source)


def _source(data: Data) -> Source:
    return Source(as_data_path(data), needs_passages=False)


def _systems(predictions: Any) -> list[Predicted]:
    if isinstance(predictions, str | os.PathLike):
        return [_file(predictions)]
    if isinstance(predictions, Predictions):
        return [_system(ONE_SYSTEM, predictions)]
    if isinstance(predictions, Mapping):
        if any(isinstance(each, Prediction) for each in predictions.values()):
            return [_system(ONE_SYSTEM, predictions)]
        return [_system(str(name), given) for name, given in predictions.items()]
    given = list(predictions) if isinstance(predictions, Iterable) else []
    if given and all(isinstance(each, Prediction | Mapping) for each in given):
        return [_system(ONE_SYSTEM, given)]
    if not given or not all(isinstance(each, str | os.PathLike) for each in given):
        raise UsageError(
            "predictions are systems by name, such as {'mine': answers, 'theirs': 'theirs.json'},"
            " a stream of aqa.Prediction, or paths"
        )
    return [_file(path) for path in given]


def _system(name: str, given: Any) -> Predicted:
    if isinstance(given, Predictions):
        rows = {row["id"]: answered_row(row) for row in given.rows()}
        return System(name, name, rows, given.evidence_plan)
    if isinstance(given, str | os.PathLike):
        return NamedPredictions(name, _file(given))
    return NamedPredictions(name, given)


def _file(path: PathLike) -> Path:
    found = Path(path)
    if not found.exists():
        raise RunError(
            f"{found}: no such file or run folder of predictions; answers by id are given under the"
            " name of their system, as {'mine': {'id': 'text'}}"
        )
    return found


class Evaluation:
    """What an evaluation found.

    `scores` holds by system and metric a `Score` with its `value`, 0..100, the ends `low` and
    `high` of its 95 % interval, where it has one, and the values `per_example`. `comparisons`
    tell of each two systems which is better, and whether chance could do that. `warnings` are
    sentences on what did not fit.
    """

    def __init__(self, report: Report, source: Source | None) -> None:
        self.report = report
        self._source = source

    @property
    def scores(self) -> dict[str, Mapping[str, Score]]:
        """The scores by system and metric."""
        return {system.name: system.scores for system in self.report.systems}

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Each two systems by each metric, or each system with the baseline."""
        return self.report.comparisons

    @property
    def warnings(self) -> tuple[str, ...]:
        """What did not fit, in sentences."""
        return self.report.warnings

    def to_json(self) -> dict[str, Any]:
        """Give what metrics.json holds."""
        return self.report.to_json()

    def to_frame(self) -> "DataFrame":
        """Make a pandas table of all scores, unrounded, as `aqa evaluate --csv` has it.

        There is a row for each system and metric, and for each group of a slice (`slice`, `group`).
        Rows with a system under `minus` hold differences from it, with their p values.
        """
        from pandas import DataFrame

        table = long_table(self.report)
        rows = [[plain_value(cell) for cell in row.cells] for row in table.rows]
        rows = [[None if value == "" else value for value in row] for row in rows]
        return DataFrame(rows, columns=[column.name for column in table.columns])

    def write_report(self, path: PathLike) -> None:
        """Write one HTML file with charts and every example; it needs nothing else.

        Raises:
            RunError: it can't be written there.
        """
        from aqa.evaluation.report import write_report

        source = self._source
        examples = None if source is None else read_references(source, SilentProgress())
        title = "" if source is None else Path(str(source.path)).name
        write_report(Path(path), self.report, examples, title)

    def _repr_html_(self) -> str:
        compared = self.comparisons
        scores = to_html(score_table(self.report))
        return scores + (to_html(comparison_table(compared)) if compared else "")
