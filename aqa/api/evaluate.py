"""`aqa.evaluate`: score and compare predictions."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union

from aqa.api.config import Data, PathLike, as_data_path, as_path, as_rows
from aqa.api.displayable import Displayable
from aqa.api.flag_translation import SCORED, TranslatingProgress, translate_errors, translate_flags
from aqa.api.predict import run_folder
from aqa.api.predictions import Predictions
from aqa.config.ranges import LABELS, LEVEL, POINTS, check_kind
from aqa.data import Source
from aqa.display.console import watched_progress
from aqa.errors import RunError, UsageError
from aqa.evaluation.alignment import System
from aqa.evaluation.comparison import Comparison
from aqa.evaluation.contracts import Contract, parse_promise
from aqa.evaluation.difference_tables import difference_tables
from aqa.evaluation.findings import describe_findings
from aqa.evaluation.inputs import Predicted, Scoring, read_references
from aqa.evaluation.judge.options import JudgeOptions
from aqa.evaluation.labelling import COLUMNS
from aqa.evaluation.long_table import long_table
from aqa.evaluation.planning import Need
from aqa.evaluation.predictions import NamedPredictions, answered_row
from aqa.evaluation.results import Report
from aqa.evaluation.score_files import check_places
from aqa.evaluation.stress import StressCard
from aqa.evaluation.tables import score_table
from aqa.progress import SilentProgress
from aqa.records import Prediction, Score
from aqa.runs.files import made_folder
from aqa.runs.names import CONTRACT, METRICS, TO_LABEL
from aqa.tables import Table, plain_value
from aqa.verbs.evaluate import EvaluationInputs, Outputs
from aqa.verbs.evaluate import evaluate as run_evaluate

if TYPE_CHECKING:
    from pandas import DataFrame

ONE_SYSTEM = "predictions"  # the name of an unnamed system

# One system's answers: a file or run folder, a stream, answers by id, rows as in files, or a pandas
# table of these.
Answers: TypeAlias = Union[
    PathLike,
    Predictions,
    Mapping[str, str | Prediction | None],
    Iterable[Prediction | Mapping[str, Any]],
    "DataFrame",
]


@translate_errors(SCORED)
def evaluate(
    predictions: Mapping[str, Answers] | Answers | Sequence[PathLike],
    data: Data | Source | None = None,
    metrics: Sequence[str] = (),
    *,
    training: Data | Source | None = None,
    stress: bool = False,
    plan: float | None = None,
    label: int | None = None,
    choose_threshold: str | None = None,
    level: float = 95.0,
    wrong_under: str = "em=100",
    scoring: Scoring | None = None,
    judge: JudgeOptions | None = None,
    output_dir: PathLike | None = None,
    quiet: bool = False,
) -> "Evaluation":
    """Score the answers of one or more systems against the same references, and compare them.

    Args:
        predictions: systems by name, each a file in any format, a run folder, the stream of
            `aqa.predict`, a mapping of ids to texts or `aqa.Prediction`s, a stream of these, or
            a pandas table. A single system needs no name, and files have default names.
        data: the examples with the references, as for `aqa.predict`, or an `aqa.Source`, which
            can name columns and splits; by default the references in the predictions.
        metrics: such as ("em", "f1", "rougeL"); by default those for the languages.
        training: the training data: examples of `data` that occur in it are scored separately.
        stress: also score the stress conditions in run folders; fills `cards`.
        plan: a difference in points: estimate how many questions show it; fills `needs`.
        label: how many answers of two systems to choose for people to judge; fills `to_label`.
        choose_threshold: find the confidence below which to abstain, such as "risk=5"; fills
            `contract`.
        level: the confidence level of that contract, in %.
        wrong_under: the score and limit below which an answer is wrong, such as "f1=50".
        scoring: how to score: profile, Unicode form, no-answer phrases, slices, baseline, ...
        judge: who judges, for the metric "judge", and the file of people's `labels`.
        output_dir: the folder for metrics.json, silence.json, to_label.csv and a judge's
            verdicts; without it, nothing is written.
        quiet: hide progress, which terminals and notebooks show by default.

    Raises:
        AqaError: predictions or data can't be read, do not fit each other, or were made with
            different evidence; or they can't support what is asked for.
    """
    POINTS.check("plan", plan)
    LABELS.check("label", label)
    LEVEL.check("level", level)
    source = data if isinstance(data, Source | None) else _source(data)
    training = training if isinstance(training, Source | None) else _source(training, "number")
    scoring = scoring or Scoring()
    check_kind("scoring", scoring, (Scoring,), "an aqa.Scoring")
    check_kind("judge", judge or JudgeOptions(), (JudgeOptions,), "an aqa.JudgeOptions")
    scoring = replace(scoring, metrics=metrics) if metrics else scoring
    scoring = scoring if plan is None else replace(scoring, plan=plan)
    risk = None if choose_threshold is None else str(choose_threshold)
    promise = parse_promise(risk, level, str(wrong_under))
    systems = _systems(predictions)
    evaluated = EvaluationInputs(
        systems, scoring, source, judge or JudgeOptions(), training, stress
    )
    progress = TranslatingProgress(watched_progress(quiet), SCORED)
    folder = None if output_dir is None else as_path(output_dir)
    with nullcontext() if folder is None else made_folder(folder):
        outputs = _outputs(folder, promise is not None, label is not None)
        result = run_evaluate(evaluated, outputs, progress, {}, promise, label)
    return Evaluation(result.report, result.contract, result.sheet, source)


def _outputs(folder: Path | None, makes_contract: bool, makes_sheet: bool) -> Outputs:
    if folder is None:
        return Outputs()
    names = {"contract": CONTRACT} if makes_contract else {}
    names |= {"sheet": TO_LABEL} if makes_sheet else {}
    return Outputs(folder / METRICS, **{name: folder / file for name, file in names.items()})


def _source(data: Data, on_duplicate_id: Literal["error", "number"] = "error") -> Source:
    return Source(as_data_path(data), on_duplicate_id=on_duplicate_id, needs_passages=False)


def _systems(predictions: Any) -> list[Predicted]:
    predictions = as_rows(predictions)
    if isinstance(predictions, Predictions) and predictions.folder is None:
        return [_system(ONE_SYSTEM, predictions)]
    if isinstance(predictions, str | os.PathLike | Predictions):
        return [_file(predictions)]
    if isinstance(predictions, Mapping):
        if any(isinstance(item, Prediction) for item in predictions.values()):
            return [_system(ONE_SYSTEM, predictions)]
        return [_system(str(name), answers) for name, answers in predictions.items()]
    items = list(predictions) if isinstance(predictions, Iterable) else []
    if items and all(isinstance(item, Prediction | Mapping) for item in items):
        return [_system(ONE_SYSTEM, items)]
    if not items or not all(isinstance(item, str | os.PathLike | Predictions) for item in items):
        raise UsageError(
            "predictions must be systems by name, such as {'mine': answers, 'theirs':"
            " 'theirs.json'}, a stream of aqa.Prediction, or paths"
        )
    return [_file(item) for item in items]


def _system(name: str, answers: Any) -> Predicted:
    if isinstance(answers, Predictions) and answers.folder is None:
        rows = {row["id"]: answered_row(row) for row in answers.rows()}
        return System(name, name, rows, answers.evidence_plan)
    if isinstance(answers, str | os.PathLike | Predictions):
        return NamedPredictions(name, _file(answers))  # the manifest is used, too
    return NamedPredictions(name, as_rows(answers))


def _file(source: PathLike | Predictions) -> Path:
    path = run_folder(source)
    if not path.exists():
        raise RunError(
            f"{path}: no such file or run folder of predictions; give answers by id under the name"
            " of their system, as in {'mine': {'id': 'text'}}"
        )
    return path


@dataclass(eq=False, repr=False)
class Evaluation(Displayable):
    """The results of an evaluation.

    `scores` holds a `Score` by system and metric, with its `value`, 0..100, the ends `low` and
    `high` of its 95 % interval, if it has one, and the values `per_example`. `comparisons` say
    which of two systems is better, and whether the difference is significant. `warnings` are
    sentences on what did not fit, `findings` the results in words. `contract` is the contract of
    `choose_threshold`.
    """

    report: Report
    contract: Contract | None
    _sheet: list[list[str | float]] | None
    _source: Source | None

    @property
    def scores(self) -> dict[str, Mapping[str, Score]]:
        """The scores by system and metric."""
        return {system.name: system.scores for system in self.report.systems}

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """All pairs of systems, or each system with the baseline, by metric."""
        return self.report.comparisons

    @property
    def warnings(self) -> tuple[str, ...]:
        """What did not fit, in sentences."""
        return tuple(translate_flags(text, SCORED) for text in self.report.warnings)

    @property
    def findings(self) -> tuple[str, ...]:
        """The results in sentences, as the command shows them below its tables."""
        return tuple(translate_flags(text, SCORED) for text in describe_findings(self.report))

    @property
    def cards(self) -> tuple[StressCard, ...]:
        """Each reader's results under stress, with `stress`."""
        return self.report.stress

    @property
    def needs(self) -> tuple[Need, ...]:
        """How many questions each difference needs, with `plan`."""
        return self.report.needs

    def to_label(self) -> "DataFrame":
        """Make a pandas table of the answers to label, with `label`.

        Raises:
            UsageError: none were asked for.
        """
        from pandas import DataFrame

        if self._sheet is None:
            raise UsageError("no answers were chosen; call aqa.evaluate with label=20 or the like")
        return DataFrame(self._sheet, columns=COLUMNS)

    def to_json(self) -> dict[str, Any]:
        """Return what metrics.json contains."""
        return self.report.to_json()

    def to_frame(self) -> "DataFrame":
        """Make a pandas table of all scores, unrounded, as `aqa evaluate --csv` writes it.

        There is a row for each system and metric, and for each group of a slice (`slice`, `group`).
        Rows with a system under `minus` are differences from it, with their p values.
        """
        from pandas import DataFrame

        table = long_table(self.report)
        rows = [[plain_value(cell) for cell in row.cells] for row in table.rows]
        rows = [[None if value == "" else value for value in row] for row in rows]
        return DataFrame(rows, columns=[column.name for column in table.columns])

    @translate_errors(SCORED)
    def write_report(self, path: PathLike) -> None:
        """Write a self-contained HTML file with charts and every example.

        Raises:
            RunError: it can't be written there, or another program's file is there.
        """
        from aqa.evaluation.report import write_report

        file, source = as_path(path), self._source
        check_places({"--report": file}, ())
        examples = None if source is None else read_references(source, SilentProgress())
        title = "" if source is None else Path(str(source.path)).name
        write_report(file, self.report, examples, title)

    def _tables(self) -> Iterator[Table]:
        yield score_table(self.report)
        yield from difference_tables(self.report)

    def _sentences(self) -> tuple[str, ...]:
        return self.findings
