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
    Asked,
    compare_readers,
    make_card,
)
from aqa.metrics.statistics.clusters import Clusters
from aqa.progress import Progress, SilentProgress
from aqa.runs.fingerprints import EVIDENCE_RULES
from aqa.runs.folder import read_manifest
from aqa.runs.names import STRESS as STRESS_FOLDER
from aqa.runs.variants import prompt_runs, stress_runs

METRICS = ("em", "f1")  # of a card, unless the user asks for others
NEED_MORE = {"judge", "evidence"}  # models, or a slice


def each_prompt(predictions: Sequence[Predicted]) -> list[Predicted]:
    """Replace a folder of runs by prompt with its runs."""
    found: list[Predicted] = []
    for each in predictions:
        name, runs = _runs_of(each)
        named = [NamedPredictions(f"{name}/{prompt}", run) for prompt, run in runs.items()]
        found += named if name else runs.values() or [each]
    return found


def _runs_of(each: Predicted) -> tuple[str, dict[str, Path]]:
    """Return a reader's runs by prompt, if there are several, and its given name, if any."""
    path = file_of(each)
    runs = {} if path is None else prompt_runs(path)
    return (each.name if runs and isinstance(each, NamedPredictions) else ""), runs


def with_prompts(report: Report, predictions: Sequence[Predicted], seed: int) -> Report:
    """Add results across prompts, if a reader has runs with several."""
    systems = {Path(system.file): system for system in report.systems}
    readers: dict[str, Scores] = {}
    for each in predictions:
        given, runs = _runs_of(each)
        if not runs:
            continue
        folder = next(iter(runs.values())).parent
        name = given or resolve_path(folder).name
        readers[str(folder) if name in readers else name] = {
            prompt: {
                metric: score.per_example
                for metric, score in systems[run].scores.items()
                if score.per_example
            }
            for prompt, run in runs.items()
        }
    if not all(own for prompts in readers.values() for own in prompts.values()) or not readers:
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
    asked = _asked_alike(report, scoring)
    found = _score(runs, asked, progress)
    clusters = report.clusters or Clusters.apart(len(report.ids))
    cards = []
    for system in report.systems:
        there = _asked_of([system])
        card = make_card(
            system.name,
            _plain(report, system, asked.metrics).at(there),
            found[system.name],
            clusters.at(there),
            report.profile,
            _passages(runs[system.name]),
            scoring.seed,
        )
        cards.append(card)
    warnings = [note for reader, own in runs.items() for note in _unfinished(reader, own)]
    for card in cards:
        lost = [name for name in runs[card.reader] if name not in card.conditions]
        warnings += [
            f"{card.reader}: its run under {name} has no question of the plain run; it is left out"
            for name in lost
        ]
    between = compare_readers(found, report.ids, clusters, scoring.baseline, scoring.seed)
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


def _asked_alike(report: Report, scoring: Scoring) -> Scoring:
    """Score like the plain runs, by cheap metrics only and without other analyses."""
    metrics = [name for name in scoring.metrics if name not in NEED_MORE] or METRICS
    without = replace(scoring, slices=(), baseline=None, plan=None, judge=None, judge_labels=None)
    return replace(without, metrics=metrics, profile=report.profile)


def _score(
    runs: Mapping[str, Mapping[str, Path]], scoring: Scoring, progress: Progress
) -> dict[str, dict[str, Asked]]:
    found: dict[str, dict[str, Asked]] = {name: {} for name in runs}
    names = list(dict.fromkeys(name for own in runs.values() for name in own))
    with progress.task("Scoring under stress", total=len(names), unit="conditions") as task:
        for condition in names:
            folders = {name: own[condition] for name, own in runs.items() if condition in own}
            if condition in (CONFLICT, TWO_SOURCES):
                _check_rules(condition, list(folders.values()))
            given: list[Predicted] = [NamedPredictions(*each) for each in folders.items()]
            scored = scores.evaluate(given, None, scoring, SilentProgress())
            there = _asked_of(scored.systems)
            for system in scored.systems:
                found[system.name][condition] = _asked(scored, system).at(there)
            task.advance(1)
    return found


def _check_rules(condition: str, folders: Sequence[Path]) -> None:
    """Raise DataError if versions of aqa drew other answers for some readers than for others."""
    rules = [read_manifest(one).get("fingerprint", {}).get(EVIDENCE_RULES, 0) for one in folders]
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


def _asked_of(systems: Sequence[SystemScores]) -> list[int]:
    """Indices of the questions that all systems were asked, even if some failed."""
    rows = zip(*(system.rows for system in systems), strict=True)
    return [place for place, own in enumerate(rows) if None not in own]


def _asked(report: Report, system: SystemScores) -> Asked:
    kept = [evidence_of(row).get("gold_in_evidence") for row in system.rows]
    known = [100.0 * one for one in kept if isinstance(one, bool)]
    found = {name: own.per_example for name, own in system.scores.items() if own.per_example}
    read = fmean(known) if known else None
    return Asked(report.ids, system.predictions, report.references, found, read)


def _plain(report: Report, system: SystemScores, metrics: Sequence[str]) -> Asked:
    plain = _asked(report, system)
    wanted = {*metrics, *({"rouge_w"} if "f1" in metrics else ())}
    kept = {name: own for name, own in plain.scores.items() if name in wanted}
    if not kept:
        raise UsageError(
            "--stress compares scores of single examples, which"
            f" {', '.join(metrics)} {'do' if len(metrics) > 1 else 'does'} not give; add em or f1"
            " to --metrics"
        )
    return replace(plain, scores=kept)


def _runs_in(file: Path, is_run: bool = True) -> Mapping[str, Path]:
    folder = file if file.is_dir() else file.parent
    found = stress_runs(folder) if is_run else {}
    if not found:
        raise DataError(f"{folder} holds no run under stress; {_way_to_stress(folder)}")
    return found


def _way_to_stress(folder: Path) -> str:
    """Say what to name instead of a folder, or how to make runs under stress."""
    if STRESS_FOLDER in (folder.name, folder.parent.name):
        return f"name {folder.parent if folder.name == STRESS_FOLDER else folder.parent.parent}"
    manifest = read_manifest(folder)
    config = manifest.get("config")
    backend = config["backend"]["name"] if isinstance(config, dict) else ""
    if backend == "ensemble":
        return "an ensemble can't be put under stress; name runs of its members"
    asked = "--stress position,noise,missing"
    if manifest.get("verb") == "train":
        return f"make some with `aqa predict {backend} --model {folder} {asked}`, and name that run"
    return f"make some with `aqa predict ... {asked}` and the same --output-dir"


def _passages(runs: Mapping[str, Path]) -> int:
    """The number of passages among which the gold one was moved."""
    for name, folder in runs.items():
        plan: Any = read_manifest(folder).get("evidence") if name.startswith("position") else None
        stress = plan.get("stress") if isinstance(plan, dict) else None
        count = stress.get("passages") if isinstance(stress, dict) else None
        if isinstance(count, int):
            return count
    return 20
