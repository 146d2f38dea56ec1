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
class Asked:
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

    def at(self, places: Sequence[int]) -> "Asked":
        """Return some of the questions."""
        return Asked(
            [self.ids[place] for place in places],
            [self.answers[place] for place in places],
            [self.references[place] for place in places],
            {name: [own[place] for place in places] for name, own in self.scores.items()},
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
        found = ["position"] if any(one.is_real for one in self.places.get(self.metric, ())) else []
        for family, names in FAMILIES.items():
            differences = (
                self.conditions[name].differences.get(self.metric)
                for name in names
                if name in self.conditions and family != "position"
            )
            if any(one is not None and one.is_real for one in differences):
                found.append(family)
        if self._share(MISSING, "unchanged", UNCHANGED):
            found.append("evidence_ignored")
        return [*found, "memory"] if self._share(CONFLICT, "memory", MEMORY) else found

    def _share(self, condition: str, name: str, limit: float) -> bool:
        own = self.conditions.get(condition)
        return own is not None and name in own.shares and own.shares[name].low > limit

    def to_json(self) -> dict[str, Any]:
        """Return what metrics.json contains."""
        return {**Facts.to_json(self), "findings": self.findings}


def make_card(
    reader: str,
    plain: Asked,
    conditions: Mapping[str, Asked],
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
        (name, measure({"plain": before.scores, name: after.scores}, of, "plain", seed))
        for name, (before, after, of) in paired.items()
        if name != MISSING
    ]
    for name in LATER:
        if name in paired and FIRST in paired:
            (_, first, of), (_, later, _) = paired[FIRST], paired[name]
            if first.ids == later.ids:  # as they should be
                both = {FIRST: first.scores, name: later.scores}
                measured.append(("places", measure(both, of, FIRST, seed)))
    differences = corrected_groups(measured)
    places: dict[str, list[Comparison]] = {}
    for one in differences.pop("places", ()):
        places.setdefault(one.metric, []).append(one)
    return StressCard(
        reader,
        main_score(list(plain.scores)),
        plain.rates(clusters),
        {
            name: _under_stress(name, *paired[name], differences.get(name, ()), profile)
            for name in paired
        },
        places,
        passages,
        len(plain.ids),
    )


def compare_readers(
    asked: Mapping[str, Mapping[str, Asked]],
    plain: Sequence[str],
    clusters: Clusters,
    baseline: str | None = None,
    seed: int = SEED,
) -> dict[str, tuple[Comparison, ...]]:
    """Compare the readers under each condition, corrected over all conditions and pairs.

    `asked` is by reader and condition; `clusters` are those of the `plain` questions.
    """
    measured = []
    for name in CONDITIONS:
        own = {reader: found[name] for reader, found in asked.items() if name in found}
        if len(own) > 1:
            shared, there = _shared(next(iter(own.values())).ids, plain)
            scores = {reader: one.at(shared).scores for reader, one in own.items()}
            if shared:
                measured.append((name, measure(scores, clusters.at(there), baseline, seed)))
    return corrected_groups(measured)


def _shared(ids: Sequence[str], plain: Sequence[str]) -> tuple[list[int], list[int]]:
    """Return the indices of the common questions, in each of the two lists."""
    place_of = {key: place for place, key in enumerate(plain)}
    shared = [at for at, key in enumerate(ids) if key in place_of]
    return shared, [place_of[ids[at]] for at in shared]


def _paired(
    plain: Asked, conditions: Mapping[str, Asked], clusters: Clusters
) -> dict[str, tuple[Asked, Asked, Clusters]]:
    """Pair each condition with plain, over their common questions, with these clusters."""
    found = {}
    for name in CONDITIONS:
        if name in conditions:
            own = conditions[name]
            shared, there = _shared(own.ids, plain.ids)
            if shared:
                found[name] = (plain.at(there), own.at(shared), clusters.at(there))
    return found


def _under_stress(
    name: str,
    plain: Asked,
    own: Asked,
    clusters: Clusters,
    differences: Sequence[Comparison],
    profile: str,
) -> UnderStress:
    shares = {}
    if name == MISSING:
        shares["answered"] = Rate.of([100.0 * bool(each) for each in own.answers], clusters)
        given = [at for at, each in enumerate(plain.answers) if each]
        if given:
            before = [[plain.answers[at] or ""] for at in given]
            unchanged = _same([own.answers[at] for at in given], before, profile)
            shares["unchanged"] = Rate.of(unchanged, clusters.at(given))
    elif name == CONFLICT:
        shares["memory"] = Rate.of(_same(own.answers, plain.references, profile), clusters)
    elif name == TWO_SOURCES:
        added = [
            [text for text in after if text not in before]
            for before, after in zip(plain.references, own.references, strict=True)
        ]
        shares["copy"] = Rate.of(_same(own.answers, added, profile), clusters)
    compared = {one.metric: one for one in differences}
    return UnderStress(len(own.ids), own.rates(clusters), compared, shares, own.gold_read)


def _same(
    answers: Sequence[str | None], texts: Sequence[Sequence[str]], profile: str
) -> list[float]:
    """Compare by exact match, 0 or 100; an abstention matches nothing."""
    values = score_pairs(answers, texts, profile)["em"].per_example
    return [value if answer else 0.0 for value, answer in zip(values, answers, strict=True)]
