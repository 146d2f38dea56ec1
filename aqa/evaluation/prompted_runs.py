"""Folders of runs by prompt among what is evaluated: each prompt is a system of its reader."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from aqa.evaluation.inputs import Predicted
from aqa.evaluation.prompts import Scores, across_prompts
from aqa.evaluation.results import Report
from aqa.metrics.statistics.clusters import Clusters
from aqa.runs.variants import prompt_runs


def each_prompt(predictions: Sequence[Predicted]) -> list[Predicted]:
    """Put the runs of all prompts in the place of the folder that they lie in."""
    found: list[Predicted] = []
    for each in predictions:
        runs = prompt_runs(each) if isinstance(each, Path) else {}
        found += runs.values() or [each]
    return found


def with_prompts(report: Report, predictions: Sequence[Predicted], seed: int) -> Report:
    """Add what the readers of several prompts came to, if there are such among the predictions."""
    folders = [each for each in predictions if isinstance(each, Path) and prompt_runs(each)]
    if not folders:
        return report
    systems = {Path(system.file): system for system in report.systems}
    readers: dict[str, Scores] = {}
    for folder in folders:
        name = folder.resolve().name
        readers[str(folder) if name in readers else name] = {
            prompt: {
                metric: score.per_example
                for metric, score in systems[run].scores.items()
                if score.per_example
            }
            for prompt, run in prompt_runs(folder).items()
        }
    if not all(own for prompts in readers.values() for own in prompts.values()):
        return report  # scores of the whole corpus alone
    clusters = report.clusters or Clusters.apart(len(report.ids))
    return replace(report, prompts=across_prompts(readers, clusters, seed))
