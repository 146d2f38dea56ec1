"""Compare readers across prompts: the spread of their scores, and whether their ranking holds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, stdev
from typing import Any, Literal

from aqa.evaluation.comparison import Comparison, measure, metric_label
from aqa.evaluation.slices import corrected_groups
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.sign_flips import SEED
from aqa.runs.files import Facts, filled

# A ranking "turns" if each reader is significantly better under some prompt; it "may turn" if the
# order differs, but perhaps by chance.
Ranking = Literal["turns", "may turn", "holds"]
OVER_ALL = ""  # in place of a prompt's name, which is never empty

Scores = Mapping[str, Mapping[str, Sequence[float]]]  # per example, by prompt and metric


@dataclass(frozen=True, slots=True)
class Spread(Facts):
    """A reader's mean score, 0..100, over its prompts and for each of them."""

    reader: str
    metric: str
    mean: float
    standard_deviation: float
    by_prompt: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Ranked(Facts):
    """Two readers by one score: their difference under each prompt, and between their means.

    With a single common prompt these are equal, and there is no ranking to check.
    """

    by_prompt: Mapping[str, Comparison]
    of_means: Comparison

    @property
    def verdict(self) -> Ranking | None:
        """Whether the same reader leads under each prompt; None for a single prompt."""
        if len(self.by_prompt) == 1:
            return None
        leads = [lead for lead in self.by_prompt.values() if lead.difference]
        if len({lead.difference > 0 for lead in leads if lead.is_real}) > 1:
            return "turns"
        return "may turn" if len({lead.difference > 0 for lead in leads}) > 1 else "holds"

    def __str__(self) -> str:
        mean = self.of_means
        pair = f"{mean.a} and {mean.b} by {metric_label(mean.metric)}"
        doubt = "" if mean.is_real else ", which chance may explain"
        difference = f"{mean.difference:+z.1f} ({mean.interval}){doubt}"
        if self.verdict is None:
            (name,) = self.by_prompt
            return f"{pair}, with {name}, the prompt of both: {mean.b} - {mean.a}: {difference}"
        differences = {name: pair.difference for name, pair in self.by_prompt.items()}
        listed = ", ".join(f"{name} {size:+z.1f}" for name, size in differences.items())
        order = {
            "turns": "their ranking depends on the prompt",
            "may turn": "their order differs between prompts, perhaps by chance",
            "holds": "no prompt reverses their order",
        }[self.verdict]
        if not any(differences.values()):
            order = "their scores are the same under each prompt"
        return f"{pair}: {order} ({mean.b} - {mean.a}: {listed}); over all prompts {difference}"

    def to_json(self) -> dict[str, Any]:
        """Return what metrics.json contains."""
        return filled({"verdict": self.verdict, **Facts.to_json(self)})


@dataclass(frozen=True, slots=True)
class PromptReport:
    """The results of readers that were asked with several prompts."""

    spreads: tuple[Spread, ...]
    ranked: tuple[Ranked, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what metrics.json contains."""
        spreads = [spread.to_json() for spread in self.spreads]
        return {"readers": spreads, "rankings": [ranked.to_json() for ranked in self.ranked]}


def across_prompts(
    readers: Mapping[str, Scores], clusters: Clusters, seed: int = SEED
) -> PromptReport:
    """Compare readers over their common prompts, corrected together for each score.

    `readers` maps reader, prompt and metric to per-example scores.
    """
    spreads = []
    for reader, prompts in readers.items():
        for metric in next(iter(prompts.values())):
            means = {name: fmean(scores[metric]) for name, scores in prompts.items()}
            deviation = stdev(means.values()) if len(means) > 1 else 0.0
            mean = fmean(means.values())
            spreads.append(Spread(reader, metric, mean, deviation, means))
    measured = []
    for a, b in combinations(readers, 2):
        common = [name for name in readers[a] if name in readers[b]]
        if not common:
            continue
        both = {name: {a: readers[a][name], b: readers[b][name]} for name in common}
        if len(common) > 1:
            both[OVER_ALL] = {
                reader: _means([readers[reader][name] for name in common]) for reader in (a, b)
            }
        for name, values in both.items():
            measured.append(((a, b, name), measure(values, clusters, None, seed)))
    pairs: dict[str, dict[tuple[str, str], dict[str, Comparison]]] = {}
    for (a, b, name), comparisons in corrected_groups(measured).items():
        for comparison in comparisons:
            pairs.setdefault(comparison.metric, {}).setdefault((a, b), {})[name] = comparison
    ranked = [
        Ranked(by_prompt, by_prompt.pop(OVER_ALL, next(iter(by_prompt.values()))))
        for by_pair in pairs.values()
        for by_prompt in by_pair.values()
    ]
    return PromptReport(tuple(spreads), tuple(ranked))


def _means(prompts: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, list[float]]:
    return {
        metric: [fmean(values) for values in zip(*(run[metric] for run in prompts), strict=True)]
        for metric in prompts[0]
    }
