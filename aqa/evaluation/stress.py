"""Cards of a reader's scores and habits under each stress condition.

Differences to the plain evidence are paired by question and corrected together for the number of
conditions (Holm). Where evidence is missing the right answer is to abstain, so the card shows how
often the reader answers anyway.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aqa.config.stress_conditions import CONDITIONS, FAMILIES
from aqa.evaluation.abstention import Rate
from aqa.evaluation.comparison import Comparison, measure
from aqa.evaluation.slices import corrected_groups
from aqa.metrics import score_pairs
from aqa.metrics.normalize import main_score
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.sign_flips import SEED
from aqa.runs.files import Facts

STRESS = "stress"  # the key of differences between readers, in each condition
MISSING, CONFLICT, TWO_SOURCES = "missing", "conflict", "two_sources"
FIRST, *LATER = FAMILIES["position"]
# Shares in % that a reader which relies on the evidence stays below.
MEMORY, UNCHANGED = 2.0, 50.0


@dataclass(frozen=True, slots=True)
class ScoredRun:
    """A reader's answers under one condition; all fields but the last match the `ids`.

    `gold_read` is the share of questions, 0..100, whose gold passage fitted into the prompt.
    """

    ids: Sequence[str]
    answers: Sequence[str | None]
    references: Sequence[Sequence[str]]
    scores: Mapping[str, Sequence[float]]
    gold_read: float | None = None

    def rates(self, clusters: Clusters) -> dict[str, Rate]:
        """Return each score with its interval."""
        return {name: Rate.of(values, clusters) for name, values in self.scores.items()}

    def at(self, indices: Sequence[int]) -> "ScoredRun":
        """Return some of the questions."""
        return ScoredRun(
            [self.ids[index] for index in indices],
            [self.answers[index] for index in indices],
            [self.references[index] for index in indices],
            {name: [values[index] for index in indices] for name, values in self.scores.items()},
            self.gold_read,
        )


@dataclass(frozen=True, slots=True)
class UnderStress(Facts):
    """One condition: its scores with 95 % intervals, and their differences from plain.

    `shares` are other habits: "answered" and "unchanged" without the evidence, "memory" (the old
    answer although the passage gives another), "copy" (what only a second source says).
    """

    n: int
    scores: Mapping[str, Rate]
    differences: Mapping[str, Comparison] = field(default_factory=dict)
    shares: Mapping[str, Rate] = field(default_factory=dict)
    gold_read: float | None = None


@dataclass(frozen=True, slots=True)
class StressCard(Facts):
    """A reader's results under each condition that it was asked in.

    `places` compare later positions of the gold passage with the first one, by score. `passages`
    is the number of passages then, `n` the number of questions in the plain run.
    """

    reader: str
    metric: str
    plain: Mapping[str, Rate]
    conditions: Mapping[str, UnderStress]
    places: Mapping[str, Sequence[Comparison]] = field(default_factory=dict)
    passages: int = 20
    n: int = 0

    @property
    def findings(self) -> list[str]:
        """What the reader significantly depends on, or does regardless of its evidence."""
        depends = any(shift.is_real for shift in self.places.get(self.metric, ()))
        findings = ["position"] if depends else []
        for family, names in FAMILIES.items():
            differences = (
                self.conditions[name].differences.get(self.metric)
                for name in names
                if name in self.conditions and family != "position"
            )
            if any(comparison is not None and comparison.is_real for comparison in differences):
                findings.append(family)
        if self._share(MISSING, "unchanged", UNCHANGED):
            findings.append("evidence_ignored")
        return [*findings, "memory"] if self._share(CONFLICT, "memory", MEMORY) else findings

    def _share(self, condition: str, name: str, limit: float) -> bool:
        results = self.conditions.get(condition)
        return results is not None and name in results.shares and results.shares[name].low > limit

    def to_json(self) -> dict[str, Any]:
        """Return what metrics.json contains."""
        return {**Facts.to_json(self), "findings": self.findings}


def make_card(
    reader: str,
    plain: ScoredRun,
    conditions: Mapping[str, ScoredRun],
    clusters: Clusters,
    profile: str,
    passages: int = 20,
    seed: int = SEED,
) -> StressCard:
    """Compare each condition with the plain evidence, over the questions that both have.

    `clusters` are those of the plain questions. `profile` says which answers are the same.
    """
    paired = _paired(plain, conditions, clusters)
    measured = [
        (name, measure({"plain": before.scores, name: after.scores}, of_pair, "plain", seed))
        for name, (before, after, of_pair) in paired.items()
        if name != MISSING
    ]
    for name in LATER:
        if name in paired and FIRST in paired:
            (_, first, of_pair), (_, later, _) = paired[FIRST], paired[name]
            if first.ids == later.ids:  # as they should be
                both = {FIRST: first.scores, name: later.scores}
                measured.append(("places", measure(both, of_pair, FIRST, seed)))
    differences = corrected_groups(measured)
    positions: dict[str, list[Comparison]] = {}
    for comparison in differences.pop("places", ()):
        positions.setdefault(comparison.metric, []).append(comparison)
    return StressCard(
        reader,
        main_score(list(plain.scores)),
        plain.rates(clusters),
        {
            name: _under_stress(name, *paired[name], differences.get(name, ()), profile)
            for name in paired
        },
        positions,
        passages,
        len(plain.ids),
    )


def compare_readers(
    answers: Mapping[str, Mapping[str, ScoredRun]],
    plain: Sequence[str],
    clusters: Clusters,
    baseline: str | None = None,
    seed: int = SEED,
) -> dict[str, tuple[Comparison, ...]]:
    """Compare the readers under each condition, corrected over all conditions and pairs.

    `answers` is by reader and condition; `clusters` are those of the `plain` questions.
    """
    measured = []
    for name in CONDITIONS:
        by_reader = {reader: runs[name] for reader, runs in answers.items() if name in runs}
        if len(by_reader) > 1:
            indices, in_plain = _shared(next(iter(by_reader.values())).ids, plain)
            scores = {reader: run.at(indices).scores for reader, run in by_reader.items()}
            if indices:
                measured.append((name, measure(scores, clusters.at(in_plain), baseline, seed)))
    return corrected_groups(measured)


def _shared(ids: Sequence[str], plain: Sequence[str]) -> tuple[list[int], list[int]]:
    """Return the indices of the common questions, in each of the two lists."""
    index_of = {key: index for index, key in enumerate(plain)}
    shared = [index for index, key in enumerate(ids) if key in index_of]
    return shared, [index_of[ids[index]] for index in shared]


def _paired(
    plain: ScoredRun, conditions: Mapping[str, ScoredRun], clusters: Clusters
) -> dict[str, tuple[ScoredRun, ScoredRun, Clusters]]:
    """Pair each condition with plain, over their common questions, with these clusters."""
    pairs = {}
    for name in CONDITIONS:
        if name in conditions:
            run = conditions[name]
            indices, in_plain = _shared(run.ids, plain.ids)
            if indices:
                pairs[name] = (plain.at(in_plain), run.at(indices), clusters.at(in_plain))
    return pairs


def _under_stress(
    name: str,
    plain: ScoredRun,
    run: ScoredRun,
    clusters: Clusters,
    differences: Sequence[Comparison],
    profile: str,
) -> UnderStress:
    shares = {}
    if name == MISSING:
        shares["answered"] = Rate.of([100.0 * bool(text) for text in run.answers], clusters)
        answered = [index for index, text in enumerate(plain.answers) if text]
        if answered:
            before = [[plain.answers[index] or ""] for index in answered]
            unchanged = _same([run.answers[index] for index in answered], before, profile)
            shares["unchanged"] = Rate.of(unchanged, clusters.at(answered))
    elif name == CONFLICT:
        shares["memory"] = Rate.of(_same(run.answers, plain.references, profile), clusters)
    elif name == TWO_SOURCES:
        added = [
            [text for text in after if text not in before]
            for before, after in zip(plain.references, run.references, strict=True)
        ]
        shares["copy"] = Rate.of(_same(run.answers, added, profile), clusters)
    compared = {comparison.metric: comparison for comparison in differences}
    return UnderStress(len(run.ids), run.rates(clusters), compared, shares, run.gold_read)


def _same(
    answers: Sequence[str | None], texts: Sequence[Sequence[str]], profile: str
) -> list[float]:
    """Compare by exact match, 0 or 100; an abstention matches nothing."""
    values = score_pairs(answers, texts, profile)["em"].per_example
    return [value if answer else 0.0 for value, answer in zip(values, answers, strict=True)]
