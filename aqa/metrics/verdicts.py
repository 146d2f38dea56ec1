"""The verdicts of a judge or panel, and their scores."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
        return sum(each.verdict is None for given in self.examples for each in given)

    @property
    def are_none(self) -> bool:
        """Whether the judge was asked, and every verdict failed."""
        return 0 < self.failed == sum(map(len, self.examples))

    @property
    def first_failure(self) -> str:
        """The reason of the first failed verdict; "" if none failed."""
        failures = (one.reason for own in self.examples for one in own if one.verdict is None)
        return next(failures, "")

    @property
    def values(self) -> list[float]:
        """The mean score of each example's verdicts, 0..100; 0 if all failed."""
        return [
            _mean(given) if given else value
            for given, value in zip(self.examples, self.unasked, strict=True)
        ]

    def to_json(self) -> dict[str, Any]:
        """Return what metrics.json contains: counts of verdicts, and how far repeats differ."""
        given = Counter(each.verdict for own in self.examples for each in own if each.verdict)
        found: dict[str, Any] = {
            "verdicts": {name: given[name] for name in VERDICTS},
            "failed_verdicts": self.failed,
        }
        if self.repeats > 1:
            found["repeats"] = self._spread()
        if self.corrected is not None:
            found["corrected"] = self.corrected.to_json()
        if self.judges:
            found["judges"] = {
                name: {"score": fmean(own.values), **own.to_json()}
                for name, own in self.judges.items()
            }
        return found

    def _spread(self) -> dict[str, Any]:
        """Each repeat's score and their sample variance; the mean variance within examples."""
        scores = [
            fmean(
                VERDICTS.get(own[repeat].verdict or "", value) if own else value
                for own, value in zip(self.examples, self.values, strict=True)
            )
            for repeat in range(self.repeats)
        ]
        own = [[VERDICTS[each.verdict] for each in ex if each.verdict] for ex in self.examples]
        variances = [variance(values) for values in own if len(values) > 1]
        found: dict[str, Any] = {"scores": scores, "variance": variance(scores)}
        if variances:
            found["variance_per_example"] = fmean(variances)
        return found


def _mean(given: Sequence[Verdict]) -> float:
    values = [VERDICTS[each.verdict] for each in given if each.verdict]
    return fmean(values) if values else 0.0


def majority(judges: Sequence[Sequence[Verdict]]) -> Verdict:
    """Return the majority's verdict, one vote per judge, with the first reason given for it.

    In a tie, the lowest verdict is used; a judge whose verdicts all failed has no vote.
    """
    votes = [vote for vote in map(most_given, judges) if vote]
    if not votes:
        return next(each for given in judges for each in given)
    counts = Counter(votes)
    best = max(counts.values())
    order = list(VERDICTS)
    chosen = max((name for name in counts if counts[name] == best), key=order.index)
    return next(each for given in judges for each in given if each.verdict == chosen)


def most_given(given: Sequence[Verdict]) -> str | None:
    """Return the most common verdict of the repeats, the first in a tie; None if all failed."""
    counts = Counter(each.verdict for each in given if each.verdict)
    return counts.most_common(1)[0][0] if counts else None
