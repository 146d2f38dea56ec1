"""Score predictions against references, and compare systems."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from aqa.config.paths import resolve_path
from aqa.errors import ModelError, UsageError
from aqa.evaluation import slices
from aqa.evaluation.abstention import abstention, calibration, confidence_warnings, risk_coverage
from aqa.evaluation.alignment import System, manifest_of
from aqa.evaluation.clustering import AUTO, clusters_note
from aqa.evaluation.comparison import check_baseline, compare
from aqa.evaluation.contracts import check_contracts
from aqa.evaluation.inputs import Aligned, Predicted, Scoring, align
from aqa.evaluation.judge.judging import cases_of, judge_systems
from aqa.evaluation.mistakes import categorize
from aqa.evaluation.planning import plan
from aqa.evaluation.predictions import AnsweredRow
from aqa.evaluation.results import Report, SystemScores, disagreement
from aqa.evaluation.score_warnings import reference_warnings, system_warnings
from aqa.evaluation.slices import Groups
from aqa.metrics import default_metrics, load_metric, metric_names
from aqa.metrics.base import Metric, MetricOptions
from aqa.metrics.languages import KOREAN
from aqa.metrics.pairs import Pairs
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.intervals import interval_signature, mean_intervals
from aqa.progress import Progress, Task
from aqa.records import Example, Score

if TYPE_CHECKING:
    from aqa.evaluation.judge.panel import Panel
    from aqa.spent import CostEstimate

JUDGE = "judge"  # the metric that asks a model


def evaluate(
    sources: Sequence[Predicted],
    references: Iterable[Example] | None,
    scoring: Scoring,
    progress: Progress,
) -> Report:
    """Score predictions, from files or memory, against the same references, side by side.

    `references` are the data's, which then decide what is scored; None uses the files' own.

    Raises:
        DataError: a file can't be read, or the files do not fit each other; also for runs with
            different evidence plans, unless that is allowed.
    """
    named = [name for name in metric_names(scoring.metrics) if name != "evidence"]
    by_evidence = ["gold_in_evidence"] if "evidence" in scoring.metrics else []
    keys = [*scoring.slices, *by_evidence]
    scorers = [load_metric(name, scoring.metric_options) for name in named]
    aligned = align(sources, references, scoring, keys)
    expected, warnings = aligned.expected, aligned.warnings
    if scoring.profile == "auto":
        progress.note(_profile_note(aligned))
    if scoring.cluster == AUTO:
        progress.note(clusters_note(aligned.clusters))
    # Raise all errors before a judge or a model costs anything.
    check_baseline(_baseline(scoring.baseline, aligned.systems), list(aligned.pairs))
    groups = _groups_of_systems(keys, aligned)
    facts = None
    if JUDGE in named:
        judge, examples = _judge_of(scoring, references)
        aligned, facts = judge_systems(judge, examples, aligned, scoring.judge_labels)
        scorers = _without_failed_judge(scorers, named, aligned.pairs)
    warnings += reference_warnings(next(iter(aligned.pairs.values())))
    scorers = scorers or _default_scorers(aligned.languages, scoring.metric_options)
    scored = []
    total = len(aligned.systems) * len(scorers)
    with progress.task("Scoring", total=total, unit="scores") as task:
        for system in aligned.systems:
            pairs = aligned.pairs[system.name]
            warnings += system_warnings(system.name, pairs, scoring.no_answer)
            rows = [system.rows.get(key) for key in expected]
            warnings += confidence_warnings(system.name, rows)
            scores = _scores(pairs, scorers, task)
            system_groups = groups[system.name]
            scored.append(_described(system, scores, pairs, rows, system_groups, aligned.clusters))
    return replace(_compared(aligned, scored, groups, scoring), judge=facts)


def _profile_note(aligned: Aligned) -> str:
    total, korean = len(aligned.languages), aligned.languages.count(KOREAN)
    if aligned.profile == "mixed":
        return f"Profile mixed: korquad for {korean:,} of {total:,} examples, else squad."
    return f"Profile {aligned.profile}: {'every' if korean else 'no'} example is Korean."


def estimate_judge(
    sources: Sequence[Predicted], references: Iterable[Example] | None, scoring: Scoring
) -> "CostEstimate":
    """Estimate what the judge of `evaluate` would cost; nothing is asked."""
    judge, examples = _judge_of(scoring, references)
    aligned = align(sources, examples, scoring)
    return judge.estimate(cases_of(examples, aligned, judge.joined))


def _without_failed_judge(
    scorers: list[Metric], named: Sequence[str], judged: Mapping[str, Pairs]
) -> list[Metric]:
    """Drop the score of a judge without verdicts on some system; ModelError if none is left."""
    verdicts = {name: pairs.verdicts for name, pairs in judged.items() if pairs.verdicts}
    silent = [name for name in verdicts if verdicts[name].are_none]
    if not silent:
        return scorers
    if len(scorers) == 1:
        reason = verdicts[silent[0]].first_failure
        raise ModelError(f"the judge gave no verdict on {', '.join(silent)}: {reason}")
    return [scorer for name, scorer in zip(named, scorers, strict=True) if name != JUDGE]


def _judge_of(
    scoring: Scoring, references: Iterable[Example] | None
) -> "tuple[Panel, Iterable[Example]]":
    if scoring.judge is None or references is None:
        raise UsageError(
            "the judge reads questions and passages, which predictions do not hold; name the data"
            " with --data"
        )
    return scoring.judge, references


def _groups_of_systems(keys: Sequence[str], aligned: Aligned) -> dict[str, Groups]:
    """Group each system's examples, since groups may depend on what its reader saw."""
    groups = {}
    for system in aligned.systems:
        rows = [system.rows.get(key) for key in aligned.expected]
        pairs = aligned.pairs[system.name]
        groups[system.name] = slices.group_examples(keys, pairs, rows, aligned.columns)
    slices.check_keys(list(groups.values()))
    return groups


def _scores(pairs: Pairs, scorers: Sequence[Metric], task: Task) -> dict[str, Score]:
    scores: dict[str, Score] = {}
    for scorer in scorers:
        score = scorer(pairs)
        if score.name in scores:  # two modules may have the same name
            raise UsageError(f"two metrics give the score {score.name}; leave one of them out")
        scores[score.name] = score
        task.advance(1, {score.name: score.value})
    return scores


def _default_scorers(languages: Sequence[str], options: MetricOptions | None) -> list[Metric]:
    names = default_metrics(languages)
    if options is not None and options.model:
        names.append("bertscore")
    return [load_metric(name, options) for name in names]


def _described(
    system: System,
    scores: Mapping[str, Score],
    pairs: Pairs,
    rows: Sequence[AnsweredRow | None],
    groups: Groups,
    clusters: Clusters,
) -> SystemScores:
    return SystemScores(
        system.name,
        system.file,
        pairs.missing,
        pairs.failed,
        scores,
        slices.means_by_answer(pairs, scores),
        slices={key: slices.slice_scores(groups[key], scores, clusters) for key in groups},
        slice_indices=groups,
        predictions=tuple(pairs.predictions),
        categories=categorize(pairs, rows),
        abstention=abstention(pairs, clusters),
        risk_coverage=risk_coverage(pairs, rows),
        calibration=calibration(pairs, rows, clusters),
        rows=tuple(rows),
        verdicts=pairs.verdicts,
        manifest=manifest_of(system),
    )


def _compared(
    aligned: Aligned,
    systems: Sequence[SystemScores],
    groups: Mapping[str, Groups],
    scoring: Scoring,
) -> Report:
    means = {system.name: example_values(system) for system in systems}
    clusters = aligned.clusters
    # Corpus-level scores have no parts, and no confidence sequence applies to them.
    kinds = ("per_example",) if clusters.sequence is not None else ("per_example", "influence")
    values = {
        system.name: {
            name: row for kind in kinds for name, row in example_values(system, kind).items()
        }
        for system in systems
    }
    baseline = _baseline(scoring.baseline, systems)
    comparisons = compare(values, clusters, baseline, scoring.seed)
    results, unknown = check_contracts(systems, clusters)
    ids = tuple(aligned.expected)
    points = scoring.plan
    return Report(
        aligned.profile,
        ids,
        tuple(_with_intervals(system, kinds, clusters) for system in systems),
        (*aligned.warnings, *unknown),
        comparisons,
        tuple(aligned.expected.values()),
        disagreement(ids, list(means.values())),
        clusters=clusters,
        slice_comparisons=slices.compare_slices(groups, means, clusters, baseline, scoring.seed),
        silence=tuple(results),
        needs=() if points is None else plan(comparisons, clusters, points),
    )


def _baseline(name: str | None, systems: Sequence[System | SystemScores]) -> str | None:
    if name is None:
        return None
    path = resolve_path(name)
    return next((system.name for system in systems if path == resolve_path(system.file)), name)


def example_values(system: SystemScores, kind: str = "per_example") -> dict[str, Sequence[float]]:
    """Return scores' values per example, or corpus scores' "influence"; none for other scores."""
    columns = {name: getattr(score, kind) for name, score in system.scores.items()}
    return {name: values for name, values in columns.items() if values}


def _with_intervals(system: SystemScores, kinds: Sequence[str], clusters: Clusters) -> SystemScores:
    scores = dict(system.scores)
    for kind in kinds:
        columns = example_values(system, kind)
        if not columns:
            continue
        bounds = (0, 100) if kind == "influence" else None
        intervals = mean_intervals(np.column_stack(list(columns.values())), clusters, bounds)
        for name, (low, high, effect) in zip(columns, intervals.intervals(), strict=True):
            signature = f"{scores[name].signature}|{interval_signature(clusters, effect)}"
            scores[name] = replace(
                scores[name], low=low, high=high, design_effect=effect, signature=signature
            )
    return replace(system, scores=scores)
