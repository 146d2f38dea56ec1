"""Folders of runs by prompt among what is evaluated: each prompt is a system of its reader."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from aqa.evaluation.inputs import Predicted
from aqa.evaluation.predictions import NamedPredictions
from aqa.evaluation.prompts import Scores, across_prompts
from aqa.evaluation.results import Report
from aqa.metrics.statistics.clusters import Clusters
from aqa.runs.variants import prompt_runs


def each_prompt(predictions: Sequence[Predicted]) -> list[Predicted]:
    """Put the runs of all prompts in the place of the folder that they lie in."""
    found: list[Predicted] = []
    for each in predictions:
        name, runs = _runs_of(each)
        named = [NamedPredictions(f"{name}/{prompt}", run) for prompt, run in runs.items()]
        found += named if name else runs.values() or [each]
    return found


def _runs_of(each: Predicted) -> tuple[str, dict[str, Path]]:
    """The runs of a reader by prompt, if there are several, and its name, if it was given one."""
    path = each.found if isinstance(each, NamedPredictions) else each
    runs = prompt_runs(path) if isinstance(path, Path) else {}
    return (each.name if runs and isinstance(each, NamedPredictions) else ""), runs


def with_prompts(report: Report, predictions: Sequence[Predicted], seed: int) -> Report:
    """Add what the readers of several prompts came to, if there are such among the predictions."""
    systems = {Path(system.file): system for system in report.systems}
    readers: dict[str, Scores] = {}
    for each in predictions:
        given, runs = _runs_of(each)
        if not runs:
            continue
        folder = next(iter(runs.values())).parent
        name = given or folder.resolve().name
        readers[str(folder) if name in readers else name] = {
            prompt: {
                metric: score.per_example
                for metric, score in systems[run].scores.items()
                if score.per_example
            }
            for prompt, run in runs.items()
        }
    if not all(own for prompts in readers.values() for own in prompts.values()) or not readers:
        return report  # scores of the whole corpus alone
    clusters = report.clusters or Clusters.apart(len(report.ids))
    return replace(report, prompts=across_prompts(readers, clusters, seed))
