"""The verb train: examples to prompts to a trainable reader to a run folder."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from aqa.atomic_files import write_json
from aqa.backends.base import (
    Backend,
    LearnsTokenizer,
    Mergeable,
    Merged,
    Trainable,
    TrainEstimate,
    TrainJob,
)
from aqa.config import as_raw
from aqa.errors import ConfigError, ModelError, RunError
from aqa.evaluate import Scoring, evaluate
from aqa.hashes import hash_files
from aqa.inputs import Inputs, Unfit, describe_sources
from aqa.journal import Journal, failure_row, journal_row
from aqa.metrics import MetricOptions, score_pairs
from aqa.options import RunConfig
from aqa.processes import is_first_process, process_count
from aqa.progress import Progress, Task
from aqa.prompts import load_template
from aqa.records import Example, Prediction, Prompt, TrainStep
from aqa.runs import METRICS, Run, open_run
from aqa.scored import Report

MERGE_PROMPTS = 32  # whose answers by adapter and merged model are compared


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a training came to: scores of the dev data by name, before (if asked for) and after."""

    backend: str
    folder: Path
    weights: Path
    before: Mapping[str, float]
    report: Report | None
    merged: Merged | None = None


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a training would do. Lengths are tokens of prompt and answer."""

    config: Mapping[str, Any]
    counts: Mapping[str, int]
    lengths: Mapping[str, float]
    cut: Mapping[str, int]
    estimate: TrainEstimate


@dataclass(slots=True)
class Cuts:
    """How many prompts lost text or the answer itself, had no gold passage, or can not fit."""

    shortened: int = 0
    lost_gold: int = 0
    without_gold: int = 0
    unfit: list[Unfit] = field(default_factory=list)

    def tell(self, progress: Progress) -> None:
        """Say what was cut, if anything was."""
        if self.shortened:
            progress.note(f"{self.shortened} prompts lost passages or text to fit")
        if self.lost_gold:
            progress.note(
                f"{self.lost_gold} of them lost the passage with the answer; raise"
                " backend.max_seq_length, or give fewer passages"
            )
        if self.without_gold:
            progress.note(
                f"{self.without_gold} examples are left out: no passage holds their answer, or"
                " evidence.train left the gold one out"
            )
        if self.unfit:
            first = self.unfit[0].error
            progress.note(f"{len(self.unfit)} examples can't fit and are left out: {first}")


class Plan:
    """Data, template and reader of one training, checked before anything expensive."""

    def __init__(self, config: RunConfig, reader_type: type[Backend], progress: Progress) -> None:
        reader = reader_type(config, progress)
        if not isinstance(reader, Trainable):
            raise ModelError(
                f"{config.backend.name} can't be trained here: its weights are not ours; use"
                " `aqa predict` with it, or train t5 or llama-qlora"
            )
        self.config = config
        self.progress = progress
        self.reader = reader
        template = load_template(config.prompt)
        self.data = Inputs(config, template, progress)
        self.dev = Inputs(config, template, progress, dev=True) if config.data.dev_path else None
        self._check()
        if isinstance(reader, LearnsTokenizer):
            reader.learn_tokenizer(self.data.texts())
        reader.check()
        self.data.check_room(reader)

    def _check(self) -> None:
        if self.config.merge and not isinstance(self.reader, Mergeable):
            raise ConfigError(
                f"{self.config.backend.name} trains no adapter that could be merged; leave --merge"
                " out: its model is whole"
            )
        template, unanswerable = self.data.template, self.data.found.unanswerable
        evidence = self.config.evidence.train
        lost = evidence.passages == "mixed" and evidence.unanswerable_probability > 0
        if (unanswerable or lost) and not template.no_answer:
            raise ConfigError(
                f"{unanswerable or 'some'} questions have no answer, but the template"
                f" {template.name} has no no_answer phrase to train on; add one, or take another"
                " template"
            )
        training = self.config.training
        evaluates = self.dev is not None and training.eval_strategy != "no"
        if training.early_stopping_patience and not evaluates:
            raise ConfigError(
                "training.early_stopping_patience needs evaluations; give --dev-data and set"
                " training.eval_strategy to epoch or steps, or leave it out"
            )
        for kind, inputs in (("training", self.data), ("validation", self.dev)):
            found = inputs.found if inputs else None
            if found is not None and found.unlabelled:
                raise ConfigError(
                    f"{found.unlabelled} of {found.count} {kind} examples have no reference"
                    " answer; name the column with --field answers=NAME"
                )

    def train_prompts(self, cuts: Cuts) -> Iterator[Prompt]:
        """Prompts with their targets, and with the evidence of a training."""
        examples = self.data.training_examples()
        yield from self._prompts(self.data, examples, cuts, with_target=True)
        cuts.without_gold = self.data.left_out

    def dev_prompts(self, cuts: Cuts) -> list[Prompt]:
        """Prompts of the validation data, without targets."""
        return [] if self.dev is None else list(self._prompts(self.dev, self.dev.examples(), cuts))

    def _prompts(
        self,
        inputs: Inputs,
        examples: Iterable[tuple[int, Example]],
        cuts: Cuts,
        with_target: bool = False,
    ) -> Iterator[Prompt]:
        for prompt in inputs.prompts(self.reader, examples, cuts.unfit, with_target):
            cuts.shortened += prompt.evidence.shortened
            cuts.lost_gold += bool(prompt.gold_ranks) and prompt.gold_in_evidence is False
            yield prompt

    def progressing(self, prompts: Iterable[Prompt]) -> Iterator[Prompt]:
        """The same prompts, with a bar beside them."""
        with self.progress.task("Tokenizing", total=self.data.total) as task:
            for prompt in prompts:
                yield prompt
                task.advance()

    def fingerprint(self) -> dict[str, Any]:
        """What must be the same for a training to be resumed."""
        return {
            **self.data.fingerprint(self.reader),
            "dev": self.dev.found.sha256 if self.dev else None,
            "limits": [self.config.data.limit, self.config.data.dev_limit],
            "options": self.config.backend.model_dump(),
            "training": self.config.training.model_dump(
                exclude={"per_device_train_batch_size", "gradient_accumulation_steps"}
            ),
            "batch": self._batch_size(),
            "training_evidence": self.config.evidence.train.model_dump(),
            "seed": self.config.seed,
        }

    def _batch_size(self) -> int:
        """Rows of one optimizer step; they may be spread over other processes by a resumed run."""
        training = self.config.training
        rows = training.per_device_train_batch_size * training.gradient_accumulation_steps
        return rows * process_count()


def dry_run(config: RunConfig, reader_type: type[Backend], progress: Progress) -> DryRun:
    """Tell what a training would do; write nothing."""
    plan = Plan(config, reader_type, progress)
    cuts = Cuts()
    with progress.task("Measuring prompts", total=plan.data.total) as task:
        lengths = []
        for prompt in plan.train_prompts(cuts):
            lengths.append(plan.reader.length(prompt))
            task.advance()
    lengths = lengths or [0]
    return DryRun(
        config=as_raw(config),
        counts={
            "train": len(lengths),
            "train_unanswerable": plan.data.found.unanswerable,
            "dev": plan.dev.total if plan.dev else 0,
        },
        lengths={"min": min(lengths), "median": median(lengths), "max": max(lengths)},
        cut={"shortened": cuts.shortened, "left_out": len(cuts.unfit)},
        estimate=plan.reader.estimate(),
    )


def train(
    config: RunConfig,
    reader_type: type[Backend],
    folder: Path,
    progress: Progress,
    resume: bool = False,
    fresh: bool = False,
    command: str = "",
) -> TrainResult:
    """Fine-tune a reader; leave weights, dev predictions, scores and manifest in the folder.

    Raises:
        AqaError: bad data, prompt or model, before anything is written; or a run folder that is
            in use, or holds a training that is neither resumed nor begun anew.
        KeyboardInterrupt: the user stopped it; `resume` goes on.
    """
    plan = Plan(config, reader_type, progress)
    fingerprint = json_like(plan.fingerprint())
    with open_run(folder, "train") as run:
        check_previous(run, fingerprint, resume, fresh)
        run.start(
            {
                "verb": "train",
                "command": command,
                "config": as_raw(config),
                "fingerprint": fingerprint,
                "evidence": (plan.dev or plan.data).evidence_plan(),
                "sources": describe_sources(config, plan.reader, plan.data, plan.dev),
                "counts": {"train": plan.data.found.count},
                "history": run.previous.get("history", []) if resume else [],
            }
        )
        with run.recording():
            return _train(plan, run, resume)


def check_previous(run: Run, fingerprint: Mapping[str, Any], resume: bool, fresh: bool) -> None:
    """Refuse to overwrite a training, or to resume another one.

    Raises:
        RunError: says what is there and what to do.
    """
    if not run.previous or fresh:
        return
    if not resume:
        raise RunError(
            f"{run.folder} holds a training ({run.previous.get('status')}); go on with --resume,"
            " begin anew with --fresh, or name another --output-dir"
        )
    theirs = run.previous.get("fingerprint", {})
    different = [key for key in fingerprint if fingerprint[key] != theirs.get(key)]
    if different:
        raise RunError(
            f"{run.folder} holds another training: {', '.join(different)} differ; name another"
            " --output-dir, or begin anew with --fresh"
        )


def _train(plan: Plan, run: Run, resume: bool) -> TrainResult:
    assert isinstance(plan.reader, Trainable)
    cuts, dev_cuts = Cuts(), Cuts()
    dev = plan.dev_prompts(dev_cuts)
    dev_cuts.tell(plan.progress)
    judge = Judge(dev, dev_cuts, plan.config.evaluation.profile, plan.progress)
    with ExitStack() as stack:
        steps = Steps(plan.progress, stack, run)
        job = TrainJob(
            train=lambda: plan.progressing(plan.train_prompts(cuts)),
            dev=dev,
            score=judge.score,
            folder=run.folder,
            resume=resume,
        )
        weights = plan.reader.train(job, steps.tell)
    cuts.tell(plan.progress)
    if not is_first_process():
        return TrainResult(plan.config.backend.name, run.folder, weights, steps.before, None)
    run.update({"weights_sha256": hash_files(weights)})
    report = _report(plan, run, judge) if dev else None
    merged = None
    if plan.config.merge and isinstance(plan.reader, Mergeable):
        compared = dev or list(islice(plan.train_prompts(Cuts()), MERGE_PROMPTS))
        merged = plan.reader.merge(run.folder, compared[:MERGE_PROMPTS])
        facts = {"compared": merged.compared, "different": merged.different}
        run.update({"merged": facts, "merged_sha256": hash_files(merged.folder)})
    run.update(
        {
            "status": "done",
            "counts": {
                "train": plan.data.found.count,
                "left_out": len(cuts.unfit),
                "shortened": cuts.shortened,
                "dev": len(dev),
            },
        }
    )
    return TrainResult(plan.config.backend.name, run.folder, weights, steps.before, report, merged)


def _report(plan: Plan, run: Run, judge: "Judge") -> Report:
    """Write the dev predictions and their scores."""
    with Journal(run.folder, {"verb": "train"}, fresh=True) as journal:
        for index, row in sorted(judge.rows.items()):
            journal.append(index, row)
        path = journal.write_predictions(max(judge.rows) + 1)
    evaluation = plan.config.evaluation
    metrics = ["em", "f1", *(["bertscore"] if evaluation.bert_model else [])]
    options = MetricOptions(model=evaluation.bert_model, num_layers=evaluation.bert_num_layers)
    scoring = Scoring(metrics, evaluation.profile, metric_options=options)
    report = evaluate([path], None, scoring, plan.progress)
    write_json(run.folder / METRICS, report.to_json())
    run.update({"predictions_sha256": hash_files(path)})
    return report


class Judge:
    """Scores generated answers of the dev prompts; keeps the rows of the last time."""

    def __init__(self, dev: Iterable[Prompt], cuts: Cuts, profile: str, progress: Progress) -> None:
        self._prompts = {prompt.id: prompt for prompt in dev}
        self._failed = {
            unfit.index: failure_row(unfit.example, unfit.error) for unfit in cuts.unfit
        }
        self._profile = profile
        self._progress = progress
        self.rows: dict[int, dict[str, Any]] = {}

    def score(self, predictions: Iterable[Prediction]) -> Mapping[str, float]:
        """Mean scores by name, 0..100; examples that can't fit count 0."""
        self.rows = dict(self._failed)
        with self._progress.task("Evaluating", total=len(self._prompts)) as task:
            for prediction in predictions:
                prompt = self._prompts[prediction.id]
                self.rows[prompt.index] = journal_row(prompt, prediction)
                task.advance()
        rows = self.rows.values()
        scores = score_pairs(
            [row["predicted_answer"] for row in rows],
            [row["answers"] for row in rows],
            self._profile,
        )
        return {name: score.value for name, score in scores.items()}


class Steps:
    """Draws the steps of a training and keeps its evaluations."""

    def __init__(self, progress: Progress, stack: ExitStack, run: Run) -> None:
        self._progress = progress
        self._stack = stack
        self._task: Task | None = None
        self._done = 0
        self._run = run
        self._history: list[dict[str, Any]] = run.manifest["history"]

    @property
    def before(self) -> dict[str, float]:
        """The scores of the untrained model, where it was evaluated."""
        first = next((past for past in self._history if past["step"] == 0), {})
        return {name: value for name, value in first.items() if name not in ("step", "epoch")}

    def tell(self, step: TrainStep) -> None:
        """Take a step's or an evaluation's figures."""
        if step.scores:
            evaluation = {"step": step.step, "epoch": step.epoch, **step.scores}
            earlier = [past for past in self._history if past["step"] < step.step]
            self._history = [*earlier, evaluation]
            self._run.update({"history": self._history})
            told = ", ".join(f"{name} {value:.2f}" for name, value in step.scores.items())
            self._progress.note(f"step {step.step}: {told}")
            return
        if self._task is None:
            task = self._progress.task("Training", step.total_steps, "steps")
            self._task = self._stack.enter_context(task)
        figures = {
            "loss": step.loss,
            "learning rate": step.learning_rate,
            "tokens/s": step.tokens_per_second,
        }
        shown = {name: value for name, value in figures.items() if value is not None}
        self._task.advance(step.step - self._done, shown)
        self._done = step.step


def json_like(value: Mapping[str, Any]) -> dict[str, Any]:
    """The same value as it is after a trip through JSON, so that it can be compared."""
    return json.loads(json.dumps(value))  # type: ignore[no-any-return]
