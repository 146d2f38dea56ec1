"""The verb train: train a reader on examples and write weights and scores to a run folder."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

from aqa.backends.base import Merged, TrainJob
from aqa.backends.cuts import Cuts
from aqa.config.load import as_raw
from aqa.config.options import RunConfig, TrainingOptions
from aqa.config.paths import resolve_path
from aqa.data.leaks import find_leaks
from aqa.errors import RunError
from aqa.evaluation.alignment import System
from aqa.evaluation.inputs import Scoring
from aqa.evaluation.predictions import answered_row
from aqa.evaluation.results import Report
from aqa.evaluation.scoring import evaluate
from aqa.metrics.base import MetricOptions
from aqa.processes import is_first_process, process_count, process_rank
from aqa.progress import Progress
from aqa.prompting.build import Unfit, describe_sources
from aqa.records import Prompt
from aqa.runs.files import Facts, hash_files, write_json
from aqa.runs.folder import Run, check_begun, check_previous, hold, open_run, write_inherited
from aqa.runs.journal import Journal
from aqa.runs.names import LOCK, METRICS
from aqa.verbs.model_card import CardFacts, write_card
from aqa.verbs.train_plan import TrainingPlan
from aqa.verbs.train_progress import DevScores, Steps, training_table

MERGE_PROMPTS = 32  # on which the adapter and the merged model are compared


@dataclass(frozen=True, slots=True)
class TrainResult:
    """The result of a training, with dev scores by name before (if asked for) and after."""

    backend: str
    folder: Path
    weights: Path
    before: Mapping[str, float]
    report: Report | None
    merged: Merged | None = None
    exported: Merged | None = None


@dataclass(frozen=True, slots=True)
class DryRun(Facts):
    """What a training would do: optimizer steps, token counts of prompts and answers, memory.

    `validation_in_training_data` counts the validation examples that are also in the training
    data; see `Leaks`.
    """

    config: Mapping[str, Any]
    counts: Mapping[str, int]
    prompt_and_answer_tokens: Mapping[str, float]
    cut: Mapping[str, int]
    validation_in_training_data: Mapping[str, int] | None
    trainable_parameters: int
    all_parameters: int
    estimated_memory_gib: float


def dry_run(config: RunConfig, progress: Progress) -> DryRun:
    """Measure what a training would do, without writing anything."""
    plan = TrainingPlan(config, progress)
    cuts, dev_cuts = Cuts(), Cuts()
    dev = len(plan.dev_prompts(dev_cuts, []))
    dev_cuts.tell(progress)
    with progress.task("Measuring prompts", total=plan.data.total) as task:
        lengths, examples = [], set()
        unanswerable = 0
        for prompt in plan.train_prompts(cuts):
            unanswerable += not any(prompt.answers or ())
            lengths.append(plan.reader.length(prompt) or 0)
            examples.add(prompt.index)
            task.advance()
    cuts.tell(progress)
    cuts.check_left(len(lengths))
    rows = len(examples if config.training.targets == "random" else lengths)
    steps = optimizer_steps(config.training, rows)
    estimate, leaked = plan.reader.estimate(), None
    if plan.dev is not None:
        with progress.task("Looking for validation examples in the training data"):
            leaks = find_leaks(*plan.both())
        progress.note(leaks.note("the validation data", "the training data"))
        leaked = leaks.counts()
    train = {"train": len(lengths), "train_unanswerable": unanswerable}
    return DryRun(
        as_raw(config),
        {**train, "dev": dev, "steps": steps},
        {"min": min(lengths), "median": median(lengths), "max": max(lengths)},
        {"shortened": cuts.shortened, "left_out": cuts.left_out},
        leaked,
        estimate.trainable_parameters,
        estimate.all_parameters,
        round(estimate.memory_bytes / 2**30, 2),
    )


def optimizer_steps(options: TrainingOptions, rows: int) -> int:
    """Return how many steps a training takes that sees this many rows in an epoch."""
    if options.max_steps > 0:
        return options.max_steps
    batches = ceil(rows / (options.per_device_train_batch_size * process_count()))
    return ceil(options.num_train_epochs * ceil(batches / options.gradient_accumulation_steps))


def train(
    config: RunConfig,
    folder: Path,
    progress: Progress,
    resume: bool = False,
    fresh: bool = False,
    command: str = "",
) -> TrainResult:
    """Fine-tune a reader; write weights, dev predictions, scores and manifest to the folder.

    Raises:
        AqaError: bad data, prompt or model, before anything is written; or a run folder that is
            in use, or holds a training that is neither resumed nor started over.
        KeyboardInterrupt: the user stopped it; `resume` continues.
    """
    check_begun(folder, resume)
    if fresh:
        _check_outside(config.backend.model, folder)
    plan = TrainingPlan(config, progress)
    plan.note_same_questions()
    fingerprint = plan.fingerprint()
    with open_run(folder, "train") if is_first_process() else _open_beside(folder) as run:
        check_previous(run, fingerprint, resume, fresh)
        run.start(
            {
                "verb": "train",
                "command": command,
                "config": as_raw(config),
                "fingerprint": fingerprint,
                "evidence": (plan.dev or plan.data).evidence_plan(),
                "hardware": plan.reader.hardware(),
                "sources": describe_sources(config, plan.reader, plan.data, plan.dev),
                "counts": {"train": plan.data.total},
                "history": run.previous.get("history", []) if resume else [],
            }
        )
        with run.recording():
            return _train(plan, run, resume)


def _check_outside(model: str, folder: Path) -> None:
    """Raise RunError if --fresh would delete the model that the training starts from."""
    path = resolve_path(model)
    is_here = bool(model) and path.exists()
    if is_here and resolve_path(folder) in (path, *path.parents):
        raise RunError(
            f"{folder} holds {model}, from which the training starts, and --fresh would delete it;"
            " name another --output-dir"
        )


@contextmanager
def _open_beside(folder: Path) -> Iterator[Run]:
    """Open the run for a process beside the first one, which alone writes the manifest.

    Its lock keeps it from using another training's rows there.
    """
    lock = hold(folder, name=f"{LOCK}.{process_rank()}")
    try:
        yield Run(folder, writes=False)
    finally:
        lock.release()


def _train(plan: TrainingPlan, run: Run, resume: bool) -> TrainResult:
    cuts, dev_cuts = Cuts(), Cuts()
    unfit: list[Unfit] = []
    dev = plan.dev_prompts(dev_cuts, unfit)
    dev_cuts.tell(plan.progress)
    dev_scores = DevScores(len(dev), unfit, plan.config.evaluation.profile, plan.progress)
    with ExitStack() as stack:
        steps = Steps(plan.progress, stack, run)
        job = TrainJob(
            train=plan.train_part,
            dev=dev,
            score=dev_scores.score,
            folder=run.folder,
            resume=resume,
            cuts=cuts,
            made_from=run.manifest["fingerprint"],
        )
        weights = plan.reader.train(job, steps.tell)
    cuts.tell(plan.progress)
    if not is_first_process():
        return TrainResult(plan.config.backend.name, run.folder, weights, steps.before, None)
    report = _report(plan, run, dev_scores) if dev else None
    card = _card(plan, run, steps.before, report)
    _keep(run, weights, card, resume)
    merged, exported = _merge_and_export(plan, run, dev, card)
    run.update(
        {
            "status": "done",
            "counts": {
                "train": plan.data.total,
                "left_out": cuts.left_out,
                "shortened": cuts.shortened,
                "dev": len(dev),
            },
        }
    )
    name = plan.config.backend.name
    return TrainResult(name, run.folder, weights, steps.before, report, merged, exported)


def _card(
    plan: TrainingPlan, run: Run, before: Mapping[str, float], report: Report | None
) -> CardFacts:
    scores = None
    if report is not None:
        title = f"Validation scores, {len(report.ids)} questions"
        scores = training_table(before, report.systems[0].scores, title)
    reader, name = plan.reader, resolve_path(run.folder).name
    backend, sources = plan.config.backend.name, run.manifest["sources"]
    return CardFacts(name, backend, reader.base, reader.merges, sources, scores)


def _keep(run: Run, weights: Path, card: CardFacts, resume: bool) -> None:
    """Record the weights in the manifest; write beside them how they read, and a card.

    Runs identify weights by their hash, card included, so those of a training that had already
    ended are not touched.
    """

    def is_recorded() -> bool:
        return resume and hash_files(weights) == run.previous.get("weights_sha256")

    if not is_recorded():
        config, sources = run.manifest["config"], run.manifest["sources"]
        write_inherited(weights, config, sources["prompt"]["sha256"])
        write_card(weights, card)
    # What an earlier session merged and exported still belongs to these weights.
    names = ("merged", "merged_sha256", "exported") if is_recorded() else ()
    results = {key: run.previous[key] for key in names if key in run.previous}
    run.update({"weights_sha256": hash_files(weights), **results})


def _report(plan: TrainingPlan, run: Run, dev_scores: DevScores) -> Report:
    rows = dict(sorted(dev_scores.rows.items()))
    with Journal(run.folder, {"verb": "train"}, fresh=True) as journal:
        for index, row in rows.items():
            journal.append(index, row)
        path = journal.write_predictions(max(rows) + 1)
    evaluation = plan.config.evaluation
    metrics = ["em", "f1", *(["bertscore"] if evaluation.bert_model else [])]
    options = MetricOptions(
        evaluation.bert_model, evaluation.bert_num_layers, progress=plan.progress
    )
    scoring = Scoring(metrics, evaluation.profile, metric_options=options)
    answered = {row["id"]: answered_row(row) for row in rows.values()}
    system = System(resolve_path(run.folder).name, str(path), answered)
    report = evaluate([system], None, scoring, plan.progress)
    write_json(run.folder / METRICS, report.to_json())
    run.update({"predictions_sha256": hash_files(path)})
    return report


def _merge_and_export(
    plan: TrainingPlan, run: Run, dev: Sequence[Prompt], card: CardFacts
) -> tuple[Merged | None, Merged | None]:
    if not (plan.config.merge or plan.config.export):
        return None, None
    compared = (dev or list(islice(plan.train_prompts(Cuts()), MERGE_PROMPTS)))[:MERGE_PROMPTS]
    merged = plan.reader.merge(run.folder, compared)
    write_card(merged.folder, card)
    facts = {"compared": merged.compared, "different": merged.different}
    run.update({"merged": facts, "merged_sha256": hash_files(merged.folder)})
    if plan.config.export is None:
        return merged, None
    kind = plan.config.export.partition(":")[2] or "f16"
    exported = plan.reader.export(merged.folder, kind, compared)
    facts = {"compared": exported.compared, "different": exported.different}
    run.update({"exported": {"file": exported.folder.name, **facts}})
    return merged, exported
