"""The results of an evaluation, and what metrics.json contains of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from aqa.evaluation.abstention import Abstention, RiskCoverage
from aqa.evaluation.comparison import Comparison
from aqa.evaluation.mistakes import CATEGORIES
from aqa.evaluation.planning import Need
from aqa.evaluation.predictions import AnsweredRow
from aqa.evaluation.prompts import PromptReport
from aqa.evaluation.risk_control import ContractResult
from aqa.evaluation.slices import Groups, SliceComparisons, Slices
from aqa.evaluation.stress import STRESS, StressCard
from aqa.metrics.calibration import Calibration
from aqa.metrics.normalize import main_score
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.verdicts import Verdicts
from aqa.records import Score
from aqa.runs.files import Facts, filled

MOST = 10  # disputed examples that metrics.json lists
SCORE_FIELDS = ("value", "low", "high", "design_effect", "signature")
LOOKED_AT = "confidence sequence; of a fixed size, and too narrow, for calibration.ece and labels"


@dataclass(frozen=True)
class Disagreement:
    """How far apart the systems' scores of each example are.

    `spreads` are the highest minus the lowest value of the score per example, 0..100.
    """

    score: str
    ids: Sequence[str]
    spreads: Sequence[float]

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Indices of the examples on which systems differ, widest first, ties as in the data."""
        indices = [index for index, spread in enumerate(self.spreads) if spread > 0]
        return tuple(sorted(indices, key=lambda index: -self.spreads[index]))

    def to_json(self) -> dict[str, Any]:
        """Return what metrics.json contains."""
        most = [{"id": self.ids[at], "spread": self.spreads[at]} for at in self.order[:MOST]]
        return {"score": self.score, "n": len(self.order), "most": most}


def disagreement(
    ids: Sequence[str], values: Sequence[Mapping[str, Sequence[float]]]
) -> Disagreement | None:
    """Compare the systems example by example; None for a single one.

    `values` holds each system's per-example values by score. The profile's second score is used
    if all have it, since it distinguishes near misses from misses; otherwise the first that they
    share, exact match last.
    """
    if len(values) < 2:
        return None
    shared = [name for name in values[0] if all(name in scores for scores in values)]
    if not shared:
        return None
    score = main_score([name for name in shared if name != "em"] or shared)
    columns = zip(*(scores[score] for scores in values), strict=True)
    return Disagreement(score, ids, [max(column) - min(column) for column in columns])


@dataclass(frozen=True, slots=True)
class LabelledDifference(Facts):
    """The difference b - a by people's verdicts, in points, estimated from n labels."""

    a: str
    b: str
    n: int
    difference: float
    low: float
    high: float

    def __str__(self) -> str:
        return (
            f"by people's verdicts {self.b} - {self.a} is {self.difference:+z.1f} points (95 %:"
            f" {self.low:z.1f} to {self.high:z.1f}), from {self.n} labels and what is known of all"
            " answers"
        )


@dataclass(frozen=True, slots=True)
class SystemScores:
    """One system's scores. `groups` holds `has_answer` and `no_answer`: n and mean scores.

    `slice_indices` are the indices of the examples in each group of `slices`. `predictions` (as
    compared), `categories` (see `mistakes`) and `rows` (as read) match the ids. `abstention` is
    None if it answered everything and all is answerable, `risk_coverage` without confidences,
    `calibration` if none is a probability. `verdicts` are a judge's. `manifest` is that of the
    run, empty if there is none.
    """

    name: str
    file: str
    missing: int
    failed: int
    scores: Mapping[str, Score]
    groups: Mapping[str, Mapping[str, float]]
    slices: Slices = field(default_factory=dict)
    slice_indices: Groups = field(default_factory=dict)
    predictions: tuple[str | None, ...] = ()
    categories: tuple[str, ...] = ()
    abstention: Abstention | None = None
    risk_coverage: RiskCoverage | None = None
    calibration: Calibration | None = None
    rows: tuple[AnsweredRow | None, ...] = ()
    verdicts: Verdicts | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict)

    @property
    def errors(self) -> dict[str, int]:
        """The number of examples in each category that occurs."""
        counts = Counter(self.categories)
        return {name: counts[name] for name in CATEGORIES if counts[name]}

    def to_json(self) -> dict[str, Any]:
        """Return what metrics.json contains."""
        parts = {
            "slices": self.slices,
            "abstention": self.abstention and self.abstention.to_json(),
            "risk_coverage": self.risk_coverage and self.risk_coverage.to_json(),
            "calibration": self.calibration and self.calibration.to_json(),
            "judge": self.verdicts and self.verdicts.to_json(),
        }
        return {
            "name": self.name,
            "file": self.file,
            "missing": self.missing,
            "failed": self.failed,
            "scores": {
                name: filled({key: getattr(score, key) for key in SCORE_FIELDS})
                for name, score in self.scores.items()
            },
            "groups": {name: dict(group) for name, group in self.groups.items()},
            **filled(parts),
            "errors": self.errors,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The results of an evaluation; `references` and per-example values match the `ids`.

    `clusters` group dependent examples; `slice_comparisons` compare systems within groups of
    slices. `judge` holds facts about the judge: models, requests, money. `silence` reports how
    contracts were kept, `needs` how many questions would show a difference, if asked for.
    `stress` has a card per system asked under stress, `prompts` the results across prompts,
    `labelled` the difference estimated from people's labels of some answers.
    """

    profile: str
    ids: tuple[str, ...]
    systems: tuple[SystemScores, ...]
    warnings: tuple[str, ...]
    comparisons: tuple[Comparison, ...] = ()
    references: tuple[tuple[str, ...], ...] = ()
    disagreement: Disagreement | None = None
    judge: Mapping[str, Any] | None = None
    clusters: Clusters | None = None
    slice_comparisons: SliceComparisons = field(default_factory=dict)
    silence: tuple[ContractResult, ...] = ()
    needs: tuple[Need, ...] = ()
    stress: tuple[StressCard, ...] = ()
    prompts: PromptReport | None = None
    labelled: LabelledDifference | None = None

    @property
    def sample(self) -> str:
        """Describe the sample: "240 questions in 48 clusters by title"."""
        questions = f"{len(self.ids):,} question{'s' * (len(self.ids) != 1)}"
        if self.clusters is None or self.clusters.by == "none":
            return questions
        count = self.clusters.count
        return f"{questions} in {count:,} cluster{'s' * (count != 1)} by {self.clusters.by}"

    @property
    def by_answer(self) -> Mapping[str, str]:
        """The heads of scores of answerable and of unanswerable questions, if there are any."""
        are_open = any(system.groups.get("no_answer", {}).get("n") for system in self.systems)
        return {"has_answer": "HasAns", "no_answer": "NoAns"} if are_open else {}

    @property
    def signatures(self) -> tuple[str, ...]:
        """The scores' signatures, reduced to what all systems have in common."""
        scores = [system.scores.values() for system in self.systems]
        parts = [[score.signature.split("|") for score in row] for row in scores]
        return tuple(
            "|".join(part for part in first if all(part in other for other in others))
            for first, *others in zip(*parts, strict=True)
        )

    @property
    def between_readers(self) -> Mapping[str, Sequence[Comparison]]:
        """The readers' differences under each stress condition."""
        return self.slice_comparisons.get(STRESS, {})

    def to_json(self) -> dict[str, Any]:
        """Return what metrics.json contains: unrounded, without per-example values."""
        clusters = self.clusters
        parts = {
            "cluster": clusters
            and {
                "by": clusters.by,
                "clusters": clusters.count,
                **({} if clusters.sequence is None else {"intervals": LOOKED_AT}),
            },
            "comparisons": [comparison.to_json() for comparison in self.comparisons],
            "slice_comparisons": {
                key: {group: [pair.to_json() for pair in pairs] for group, pairs in groups.items()}
                for key, groups in self.slice_comparisons.items()
            },
            "disagreement": self.disagreement and self.disagreement.to_json(),
            "judge": self.judge,
            "plan": [need.to_json() for need in self.needs],
            "labelled": self.labelled and self.labelled.to_json(),
            "silence": [result.to_json() for result in self.silence],
            "stress": [card.to_json() for card in self.stress],
            "prompts": self.prompts and self.prompts.to_json(),
        }
        systems = [system.to_json() for system in self.systems]
        main = {"version": 1, "profile": self.profile, "n": len(self.ids), "systems": systems}
        return main | filled(parts)
