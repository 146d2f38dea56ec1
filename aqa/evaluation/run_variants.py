"""Evaluate folders with several runs: by prompt, and under stress."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from aqa.config.paths import resolve_path
from aqa.data import Source
from aqa.errors import DataError, UsageError
from aqa.evaluation import scoring as scores
from aqa.evaluation.inputs import Predicted, Scoring, file_of
from aqa.evaluation.predictions import NamedPredictions, evidence_of
from aqa.evaluation.prompts import Scores, across_prompts
from aqa.evaluation.results import Report, SystemScores
from aqa.evaluation.stress import (
    CONFLICT,
    STRESS,
    TWO_SOURCES,
    ScoredRun,
    compare_readers,
    make_card,
)
from aqa.metrics.statistics.clusters import Clusters
from aqa.progress import Progress, SilentProgress
from aqa.runs.fingerprints import EVIDENCE_RULES
from aqa.runs.folder import read_manifest
from aqa.runs.names import STRESS as STRESS_FOLDER
from aqa.runs.variants import conditions_begun, prompt_runs, stress_runs

METRICS = ("em", "f1")  # of a card, unless the user asks for others
NEED_MORE = {"judge", "evidence"}  # models, or a slice


def split_by_prompt(predictions: Sequence[Predicted]) -> list[Predicted]:
    """Replace a folder of runs by prompt with its runs."""
    expanded: list[Predicted] = []
    for predicted in predictions:
        name, runs = _runs_of(predicted)
        named = [NamedPredictions(f"{name}/{prompt}", run) for prompt, run in runs.items()]
        expanded += named if name else runs.values() or [predicted]
    return expanded


def _runs_of(predicted: Predicted) -> tuple[str, dict[str, Path]]:
    """Return a reader's runs by prompt, if there are several, and its given name, if any."""
    path = file_of(predicted)
    runs = {} if path is None else prompt_runs(path)
    return (predicted.name if runs and isinstance(predicted, NamedPredictions) else ""), runs


def with_prompts(report: Report, predictions: Sequence[Predicted], seed: int) -> Report:
    """Add results across prompts, if a reader has runs with several."""
    systems = {Path(system.file): system for system in report.systems}
    readers: dict[str, Scores] = {}
    for predicted in predictions:
        given_name, runs = _runs_of(predicted)
        if not runs:
            continue
        folder = next(iter(runs.values())).parent
        name = given_name or resolve_path(folder).name
        readers[str(folder) if name in readers else name] = {
            prompt: scores.example_values(systems[run]) for prompt, run in runs.items()
        }
    if not readers or not all(all(prompts.values()) for prompts in readers.values()):
        return report  # there are only corpus-level scores
    clusters = report.clusters or Clusters.apart(len(report.ids))
    return replace(report, prompts=across_prompts(readers, clusters, seed))


def with_cards(report: Report, scoring: Scoring, progress: Progress) -> Report:
    """Add the systems' cards, from the stress conditions in their run folders.

    All readers are scored together in each condition, so that different evidence is refused.
    Questions that a run has not answered yet are left out.

    Raises:
        DataError: a system is not a run folder with conditions.
    """
    runs = {
        system.name: _runs_in(Path(system.file), bool(system.manifest)) for system in report.systems
    }
    card_scoring = _card_scoring(report, scoring)
    answers = _score(runs, card_scoring, progress)
    clusters = report.clusters or Clusters.apart(len(report.ids))
    cards = []
    for system in report.systems:
        indices = _common_questions([system])
        card = make_card(
            system.name,
            _plain(report, system, card_scoring.metrics).at(indices),
            answers[system.name],
            clusters.at(indices),
            report.profile,
            _passages(runs[system.name]),
            scoring.seed,
        )
        cards.append(card)
    warnings = [note for reader, folders in runs.items() for note in _unfinished(reader, folders)]
    for system in report.systems:
        begun = conditions_begun(_folder_of(Path(system.file)))
        warnings += [
            f"{system.name}: its run under {name} has no answers yet; it is left out"
            for name in begun
            if name not in runs[system.name]
        ]
    for card in cards:
        lost = [name for name in runs[card.reader] if name not in card.conditions]
        warnings += [
            f"{card.reader}: its run under {name} has no question of the plain run; it is left out"
            for name in lost
        ]
    between = compare_readers(answers, report.ids, clusters, scoring.baseline, scoring.seed)
    compared = {**report.slice_comparisons, **({STRESS: between} if between else {})}
    warnings = [*report.warnings, *warnings]
    return replace(
        report, stress=tuple(cards), slice_comparisons=compared, warnings=tuple(warnings)
    )


def check_stress(predictions: Sequence[Predicted], data: Source | None) -> None:
    """Raise UsageError for data, DataError for predictions without runs under stress."""
    if data is not None:
        raise UsageError(
            "--stress needs the answers that are right under each condition, which --data lacks;"
            " leave --data out"
        )
    for file in filter(None, map(file_of, predictions)):
        _runs_in(file)


def _card_scoring(report: Report, scoring: Scoring) -> Scoring:
    """Score like the plain runs, by cheap metrics only and without other analyses."""
    metrics = [name for name in scoring.metrics if name not in NEED_MORE] or METRICS
    without = replace(scoring, slices=(), baseline=None, plan=None, judge=None, judge_labels=None)
    return replace(without, metrics=metrics, profile=report.profile)


def _score(
    runs: Mapping[str, Mapping[str, Path]], scoring: Scoring, progress: Progress
) -> dict[str, dict[str, ScoredRun]]:
    answers: dict[str, dict[str, ScoredRun]] = {reader: {} for reader in runs}
    conditions = dict.fromkeys(condition for folders in runs.values() for condition in folders)
    with progress.task("Scoring under stress", total=len(conditions), unit="conditions") as task:
        for condition in conditions:
            folders = {name: run[condition] for name, run in runs.items() if condition in run}
            if condition in (CONFLICT, TWO_SOURCES):
                _check_rules(condition, list(folders.values()))
            named: list[Predicted] = [NamedPredictions(*reader) for reader in folders.items()]
            scored = scores.evaluate(named, None, scoring, SilentProgress())
            indices = _common_questions(scored.systems)
            for system in scored.systems:
                answers[system.name][condition] = _scored_run(scored, system).at(indices)
            task.advance(1)
    return answers


def _check_rules(condition: str, folders: Sequence[Path]) -> None:
    """Raise DataError if versions of aqa drew other answers for some readers than for others."""
    fingerprints = [read_manifest(folder).get("fingerprint", {}) for folder in folders]
    rules = [fingerprint.get(EVIDENCE_RULES, 0) for fingerprint in fingerprints]
    if len(set(rules)) > 1:
        old = folders[rules.index(min(rules))].parent.parent
        raise DataError(
            f"{old} was asked under {condition} by an earlier version of aqa, which drew other"
            " answers; predict with that reader again, into another --output-dir"
        )


def _unfinished(reader: str, runs: Mapping[str, Path]) -> Iterator[str]:
    for name, folder in runs.items():
        status = read_manifest(folder).get("status", "done")
        if status != "done":
            yield f"{reader}: its run under {name} is unfinished ({status}), and counts so far"


def _common_questions(systems: Sequence[SystemScores]) -> list[int]:
    """Indices of the questions that all systems were asked, even if some failed."""
    rows = zip(*(system.rows for system in systems), strict=True)
    return [index for index, answers in enumerate(rows) if None not in answers]


def _scored_run(report: Report, system: SystemScores) -> ScoredRun:
    flags = [evidence_of(row).get("gold_in_evidence") for row in system.rows]
    shares = [100.0 * flag for flag in flags if isinstance(flag, bool)]
    values = scores.example_values(system)
    read = fmean(shares) if shares else None
    return ScoredRun(report.ids, system.predictions, report.references, values, read)


def _plain(report: Report, system: SystemScores, metrics: Sequence[str]) -> ScoredRun:
    plain = _scored_run(report, system)
    wanted = {*metrics, *({"rouge_w"} if "f1" in metrics else ())}
    by_metric = {name: values for name, values in plain.scores.items() if name in wanted}
    if not by_metric:
        raise UsageError(
            "--stress compares scores of single examples, which"
            f" {', '.join(metrics)} {'do' if len(metrics) > 1 else 'does'} not give; add em or f1"
            " to --metrics"
        )
    return replace(plain, scores=by_metric)


def _runs_in(file: Path, is_run: bool = True) -> Mapping[str, Path]:
    folder = _folder_of(file)
    runs = stress_runs(folder) if is_run else {}
    if not runs:
        raise DataError(f"{folder} holds no run under stress; {_way_to_stress(folder)}")
    return runs


def _folder_of(file: Path) -> Path:
    return file if file.is_dir() else file.parent


def _way_to_stress(folder: Path) -> str:
    """Say what to name instead of a folder, or how to make runs under stress."""
    if STRESS_FOLDER in (folder.name, folder.parent.name):
        return f"name {folder.parent if folder.name == STRESS_FOLDER else folder.parent.parent}"
    manifest = read_manifest(folder)
    config = manifest.get("config")
    backend = config["backend"]["name"] if isinstance(config, dict) else ""
    if backend == "ensemble":
        return "an ensemble can't be put under stress; name runs of its members"
    flag = "--stress position,noise,missing"
    if manifest.get("verb") == "train":
        return f"make some with `aqa predict {backend} --model {folder} {flag}`, and name that run"
    return f"make some with `aqa predict ... {flag}` and the same --output-dir"


def _passages(runs: Mapping[str, Path]) -> int:
    """The number of passages among which the gold one was moved."""
    for name, folder in runs.items():
        plan: Any = read_manifest(folder).get("evidence") if name.startswith("position") else None
        stress = plan.get("stress") if isinstance(plan, dict) else None
        count = stress.get("passages") if isinstance(stress, dict) else None
        if isinstance(count, int):
            return count
    return 20
