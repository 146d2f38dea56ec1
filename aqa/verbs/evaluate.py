"""The verb evaluate: turn predictions and references into scores, files and a report."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from aqa.config.paths import expand_home
from aqa.data import Source
from aqa.data.formats import check_files
from aqa.data.leaks import SEEN, find_leaks, with_seen
from aqa.errors import DataError, UsageError
from aqa.evaluation import score_files, scoring
from aqa.evaluation.contracts import Contract, check_promise, make_contract
from aqa.evaluation.inputs import Anew, Predicted, Scoring, file_of, read_references
from aqa.evaluation.judge.judging import check_passages
from aqa.evaluation.judge.labels import Labels, Sampled, read_labels, read_sampled
from aqa.evaluation.judge.options import JudgeOptions
from aqa.evaluation.labelling import COLUMNS, check_two, choose, difference_by_labels, write_choice
from aqa.evaluation.predictions import check_there
from aqa.evaluation.results import Report
from aqa.evaluation.risk_control import Promise
from aqa.evaluation.run_variants import check_stress, split_by_prompt, with_cards, with_prompts
from aqa.evaluation.score_files import SCORES_BESIDE
from aqa.metrics import possible_scores
from aqa.metrics.base import MetricOptions
from aqa.progress import Progress
from aqa.records import Example
from aqa.runs.files import write_json
from aqa.runs.names import JUDGE, METRICS
from aqa.spent import CostEstimate


@dataclass(frozen=True, slots=True)
class EvaluationInputs:
    """What to evaluate: predictions, in files or in memory, and the data that they answer.

    Without `data`, the references in the files are used. The metric "judge" asks the `judge`.
    With `training` data, the examples of `data` that are not in it are also scored separately.
    With `stress`, the stress conditions in the run folders are scored, too. A folder of runs by
    prompt means all of them.
    """

    predictions: Sequence[Predicted]
    scoring: Scoring
    data: Source | None = None
    judge: JudgeOptions = field(default_factory=JudgeOptions)
    training: Source | None = None
    stress: bool = False

    @property
    def asks_a_judge(self) -> bool:
        """Whether a model judges the answers."""
        return scoring.JUDGE in self.scoring.metrics

    @property
    def sources(self) -> list[Path]:
        """All files that are read."""
        data = self.data
        named = (data.path, data.passages, data.corpus) if data is not None else ()
        training = () if self.training is None else (self.training.path,)
        names = (*named, *training, self.judge.labels)
        paths = [Path(name) for name in names if isinstance(name, str | Path)]
        return [*filter(None, map(file_of, self.predictions)), *paths]


@dataclass(frozen=True, slots=True)
class Outputs:
    """The files that an evaluation writes; None for those that it does not.

    A judge keeps its verdicts in a folder beside `scores`, and so needs that path.
    """

    scores: Path | None = None
    report: Path | None = None
    per_example: Path | None = None
    contract: Path | None = None
    sheet: Path | None = None

    @property
    def by_name(self) -> dict[str, Path]:
        """The files by what they contain."""
        named = {"scores": self.scores, "report": self.report, "per example": self.per_example}
        named |= {"contract": self.contract, "answers to label": self.sheet}
        return {what: path for what, path in named.items() if path is not None}

    @property
    def by_flag(self) -> dict[str, Path]:
        """The files by the flag that names them; scores written beside --output have no flag."""
        beside = self.contract is not None or self.sheet is not None
        flags = {"report": "--report", "per example": "--per-example"}
        flags |= {"scores": SCORES_BESIDE} if beside else {}
        return {flags.get(what, "--output"): path for what, path in self.by_name.items()}


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """The result of an evaluation: the report, and the contract and sheet if asked for."""

    report: Report
    contract: Contract | None
    sheet: list[list[str | float]] | None


def scores_beside(file: Path) -> Path:
    """Return the path of the scores beside predictions or in their run folder."""
    return (file if file.is_dir() else file.parent) / METRICS


def evaluate(
    evaluated: EvaluationInputs,
    outputs: Outputs,
    progress: Progress,
    limits: Mapping[str, float] = {},
    promise: Promise | None = None,
    to_label: int | None = None,
) -> EvaluationResult:
    """Score predictions and write the scores; no reader is ever loaded.

    `limits` are the worst acceptable scores: here only their names are checked;
    `score_files.check_limits` compares the values. With a `promise`, the contract that keeps it
    is also written; with `to_label`, a sheet of that many answers for people to judge.

    Raises:
        AqaError: predictions, data and options do not fit together; nothing is written then.
    """
    work, references, sampled = _prepared(evaluated, outputs, progress, limits)
    if promise is not None:
        check_promise(promise, work.predictions, possible_scores(work.scoring.metrics))
    if to_label is not None or sampled:
        check_two(work.predictions)
    if work.scoring.judge is not None:
        work.scoring.judge.check_access()
    report = scoring.evaluate(work.predictions, references, work.scoring, progress)
    report = with_prompts(report, evaluated.predictions, work.scoring.seed)
    if evaluated.stress:
        report = with_cards(report, work.scoring, progress)
    if sampled:
        report = replace(report, labelled=difference_by_labels(report, sampled))
    score_files.check_directions(limits, report)
    contract = None if promise is None else make_contract(report, promise)
    sheet = None if to_label is None else _to_label(report, to_label, work, references, progress)
    if sheet is not None and outputs.sheet is not None:
        write_choice(outputs.sheet, sheet)
    if outputs.report is not None:
        from aqa.evaluation.report import write_report

        title = Path(str(evaluated.data.path)).name if evaluated.data is not None else ""
        write_report(outputs.report, report, references, title)
    if outputs.scores is not None:
        write_json(outputs.scores, report.to_json(), locked=False)
    if outputs.per_example is not None:
        score_files.write_per_example(outputs.per_example, report)
    if contract is not None:
        progress.note(f"Contract: {contract}.")
        if outputs.contract is not None:
            write_json(outputs.contract, contract.to_json(), locked=False)
    return EvaluationResult(report, contract, sheet)


def _to_label(
    report: Report,
    count: int,
    evaluated: EvaluationInputs,
    references: Iterable[Example] | None,
    progress: Progress,
) -> list[list[str | float]]:
    if evaluated.data is not None and evaluated.data.passages is None:
        check_passages({system.name: system.manifest for system in report.systems})
    sheet = choose(report, count, evaluated.scoring.seed, references or ())
    if len(sheet) < count:
        progress.note(f"only {len(sheet):,} answers tell the systems apart; all are on the sheet")
    if lacking := sum(not row[COLUMNS.index("passages")] for row in sheet):
        progress.note(
            f"{lacking} of the {len(sheet)} answers to label have no passages to judge them by;"
            " give the data that hold these with --data"
        )
    return sheet


def estimate_cost(
    evaluated: EvaluationInputs,
    outputs: Outputs,
    progress: Progress,
    limits: Mapping[str, float] = {},
) -> CostEstimate:
    """Estimate what the judge of `evaluate` would cost; UsageError without a judge."""
    work, references, _ = _prepared(evaluated, outputs, progress, limits)
    return scoring.estimate_judge(work.predictions, references, work.scoring)


def _marking_seen(
    training: Source, data: Source, references: Iterable[Example], progress: Progress
) -> Iterable[Example]:
    """Mark the examples that are also in the training data, and note how many there are."""
    with progress.task("Looking for the data in the training data"):
        leaks = find_leaks(read_references(training, progress), references)
    names = (Path(str(source.path)).name for source in (data, training))
    progress.note(leaks.note(*names))
    return Anew(partial(with_seen, references, leaks))


def _prepared(
    evaluated: EvaluationInputs, outputs: Outputs, progress: Progress, limits: Mapping[str, float]
) -> tuple[EvaluationInputs, Iterable[Example] | None, Mapping[tuple[str, str], Sampled]]:
    """Check paths, limits and data, and make the judge; also return references and labels."""
    score_files.check_places(outputs.by_flag, evaluated.sources)
    scoring = evaluated.scoring
    predictions = split_by_prompt(evaluated.predictions)
    data, training = evaluated.data, evaluated.training
    for file in filter(None, map(file_of, predictions)):
        check_there(file)
    for source in filter(None, (data, training)):
        check_files(source)
    if evaluated.stress:
        check_stress(predictions, data)
    if scoring.plan is not None and len(predictions) < 2:
        raise UsageError("--plan needs two systems or more, whose difference is to be detected")
    score_files.check_limit_names(limits, possible_scores(scoring.metrics))
    labels, sampled = _read_labels(evaluated)
    references = None if data is None else read_references(data, progress)
    if training is not None:
        if data is None or references is None:
            raise UsageError("--train looks for the training questions in the data; add --data")
        references = _marking_seen(training, data, references, progress)
        scoring = replace(scoring, slices=list(dict.fromkeys((*scoring.slices, SEEN))))
    options = scoring.metric_options or MetricOptions()
    scoring = replace(scoring, metric_options=replace(options, progress=progress))
    if evaluated.asks_a_judge:
        if outputs.scores is None:
            raise UsageError(
                "a judge's verdicts cost money; name a folder to keep them in (output_dir)"
            )
        from aqa.evaluation.judge.panel import make_judge

        folder = outputs.scores.parent / JUDGE
        joined = data is not None and data.passages is not None
        judge = make_judge(evaluated.judge, folder, progress, joined)
        scoring = replace(scoring, judge_labels=labels, judge=judge)
    return replace(evaluated, predictions=predictions, scoring=scoring), references, sampled


def _read_labels(
    evaluated: EvaluationInputs,
) -> tuple[Labels | None, Mapping[tuple[str, str], Sampled]]:
    """Read people's labels of the answers: of a random sample, or of the --label sheet."""
    labels = evaluated.judge.labels
    file = None if labels is None else expand_home(labels)
    sampled = {} if file is None else read_sampled(file)
    if file is None or sampled:
        return None, sampled
    if not evaluated.asks_a_judge:
        raise DataError(
            f"{file} has no column probability; to estimate a difference, choose the answers with"
            " --label; to check a judge, add judge to --metrics"
        )
    return read_labels(file), {}
