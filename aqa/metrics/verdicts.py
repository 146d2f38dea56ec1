"""The verdicts of a judge or panel, and their scores."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from statistics import fmean, variance
from typing import Any

from aqa.metrics.statistics.label_sampling import LabelledMean

# Scores of verdicts, 0..100.
VERDICTS = {"correct": 100.0, "partially_correct": 50.0, "incorrect": 0.0, "unsupported": 0.0}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A key of VERDICTS with its reason; or None, with the reason why there is no verdict."""

    verdict: str | None
    reason: str

    def to_json(self) -> dict[str, str]:
        """Return what is stored for an example."""
        if self.verdict is None:
            return {"error": self.reason}
        return {"verdict": self.verdict, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The verdicts on one system's answers: one per repeat for every example.

    () is an example that the judge was not asked about: no answer is right if the question is
    unanswerable, else wrong; `unasked` holds its score. `signature` describes the judge. For a
    panel these are the majority's verdicts, and `judges` holds each judge's by name. `corrected`
    is the score corrected by people's labels, if any.
    """

    examples: tuple[tuple[Verdict, ...], ...]
    unasked: tuple[float, ...]
    repeats: int
    signature: str
    judges: Mapping[str, "Verdicts"] = field(default_factory=dict)
    corrected: LabelledMean | None = None

    @property
    def failed(self) -> int:
        """The number of missing verdicts."""
        return sum(verdict.verdict is None for verdict in chain.from_iterable(self.examples))

    @property
    def are_none(self) -> bool:
        """Whether the judge was asked, and every verdict failed."""
        return 0 < self.failed == sum(map(len, self.examples))

    @property
    def first_failure(self) -> str:
        """The reason of the first failed verdict; "" if none failed."""
        verdicts = chain.from_iterable(self.examples)
        return next((verdict.reason for verdict in verdicts if verdict.verdict is None), "")

    @property
    def values(self) -> list[float]:
        """The mean score of each example's verdicts, 0..100; 0 if all failed."""
        return [
            fmean(_scores(verdicts) or [0.0]) if verdicts else value
            for verdicts, value in zip(self.examples, self.unasked, strict=True)
        ]

    def to_json(self) -> dict[str, Any]:
        """Return what metrics.json contains: counts of verdicts, and how far repeats differ."""
        counts = Counter(verdict.verdict for verdict in chain.from_iterable(self.examples))
        summary: dict[str, Any] = {
            "verdicts": {name: counts[name] for name in VERDICTS},
            "failed_verdicts": self.failed,
        }
        if self.repeats > 1:
            summary["repeats"] = self._spread()
        if self.corrected is not None:
            summary["corrected"] = self.corrected.to_json()
        if self.judges:
            summary["judges"] = {
                name: {"score": fmean(judge.values), **judge.to_json()}
                for name, judge in self.judges.items()
            }
        return summary

    def _spread(self) -> dict[str, Any]:
        """Each repeat's score and their sample variance; the mean variance within examples."""
        scores = [
            fmean(
                VERDICTS.get(verdicts[repeat].verdict or "", value) if verdicts else value
                for verdicts, value in zip(self.examples, self.values, strict=True)
            )
            for repeat in range(self.repeats)
        ]
        variances = [variance(values) for values in map(_scores, self.examples) if len(values) > 1]
        spread: dict[str, Any] = {"scores": scores, "variance": variance(scores)}
        if variances:
            spread["variance_per_example"] = fmean(variances)
        return spread


def _scores(verdicts: Sequence[Verdict]) -> list[float]:
    return [VERDICTS[verdict.verdict] for verdict in verdicts if verdict.verdict]


def majority(judges: Sequence[Sequence[Verdict]]) -> Verdict:
    """Return the majority's verdict, one vote per judge, with the first reason given for it.

    In a tie, the lowest verdict is used; a judge whose verdicts all failed has no vote.
    """
    votes = [vote for vote in map(most_given, judges) if vote]
    if not votes:
        return next(verdict for verdicts in judges for verdict in verdicts)
    counts = Counter(votes)
    best = max(counts.values())
    order = list(VERDICTS)
    chosen = max((name for name in counts if counts[name] == best), key=order.index)
    return next(verdict for verdicts in judges for verdict in verdicts if verdict.verdict == chosen)


def most_given(verdicts: Sequence[Verdict]) -> str | None:
    """Return the most common verdict of the repeats, the first in a tie; None if all failed."""
    counts = Counter(verdict.verdict for verdict in verdicts if verdict.verdict)
    return counts.most_common(1)[0][0] if counts else None
