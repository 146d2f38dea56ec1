"""What a judge says of answers, what it counts, and how far it agrees with people."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Any

# What each verdict counts, 0..100.
VERDICTS = {"correct": 100.0, "partially_correct": 50.0, "incorrect": 0.0, "unsupported": 0.0}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A key of VERDICTS with its reason; None, and what kept the judge from giving one."""

    verdict: str | None
    reason: str

    def to_json(self) -> dict[str, str]:
        """Give what stands beside an example."""
        if self.verdict is None:
            return {"error": self.reason}
        return {"verdict": self.verdict, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The verdicts on one system's answers, one of each repeat for every example.

    () stands for an example of which the judge was not asked: no answer is wrong, or right where
    there is none to give; `unasked` holds what that counts. `signature` says who judged, and how.
    """

    examples: tuple[tuple[Verdict, ...], ...]
    unasked: tuple[float, ...]
    repeats: int
    signature: str

    @property
    def failed(self) -> int:
        """How many verdicts there should be but are not."""
        return sum(each.verdict is None for given in self.examples for each in given)

    @property
    def are_none(self) -> bool:
        """Whether the judge was asked, and every verdict failed."""
        return 0 < self.failed == sum(map(len, self.examples))

    @property
    def first_failure(self) -> str:
        """What kept the judge from giving the first verdict that failed; "" where none did."""
        failures = (one.reason for own in self.examples for one in own if one.verdict is None)
        return next(failures, "")

    @property
    def values(self) -> list[float]:
        """The mean of each example's verdicts, 0..100; 0 where all failed."""
        return [
            _mean(given) if given else value
            for given, value in zip(self.examples, self.unasked, strict=True)
        ]

    def to_json(self) -> dict[str, Any]:
        """Give what metrics.json holds: how often each verdict fell, and how far repeats differ."""
        given = Counter(each.verdict for own in self.examples for each in own if each.verdict)
        found: dict[str, Any] = {
            "verdicts": {name: given[name] for name in VERDICTS},
            "failed_verdicts": self.failed,
        }
        if self.repeats > 1:
            found["repeats"] = self._spread()
        return found

    def _spread(self) -> dict[str, Any]:
        """The score by each repeat alone and its sample variance; the mean variance of examples."""
        scores = [
            fmean(
                VERDICTS.get(own[repeat].verdict or "", value) if own else value
                for own, value in zip(self.examples, self.values, strict=True)
            )
            for repeat in range(self.repeats)
        ]
        own = [[VERDICTS[each.verdict] for each in ex if each.verdict] for ex in self.examples]
        spread = [variance(values) for values in own if len(values) > 1]
        found: dict[str, Any] = {"scores": scores, "variance": variance(scores)}
        if spread:
            found["variance_per_example"] = fmean(spread)
        return found


def _mean(given: Sequence[Verdict]) -> float:
    values = [VERDICTS[each.verdict] for each in given if each.verdict]
    return fmean(values) if values else 0.0


def most_given(given: Sequence[Verdict]) -> str | None:
    """The verdict of most repeats, of equals the first one; None where all failed."""
    counts = Counter(each.verdict for each in given if each.verdict)
    return counts.most_common(1)[0][0] if counts else None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two raters agree on n examples: the share of equal labels (0..100), and kappa.

    `kappa` is None where both gave one and the same label throughout: then chance explains all.
    """

    n: int
    agreement: float
    kappa: float | None

    def to_json(self) -> dict[str, float]:
        """Give what metrics.json holds."""
        found = {"n": self.n, "agreement": self.agreement}
        return found if self.kappa is None else {**found, "kappa": self.kappa}


def agreement(pairs: Sequence[tuple[str, str]]) -> Agreement:
    """Compare the labels of two raters on the same examples.

    (p_o - p_e) / (1 - p_e), where p_o is the share of equal labels and p_e the share that raters
    with these label counts would reach by chance: Cohen (1960), "A Coefficient of Agreement for
    Nominal Scales", Educational and Psychological Measurement 20(1).
    """
    n = len(pairs)
    first, second = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    observed = sum(a == b for a, b in pairs) / n
    chance = sum(first[label] * second[label] for label in first) / n**2
    kappa = None if chance == 1 else (observed - chance) / (1 - chance)
    return Agreement(n, 100 * observed, kappa)
