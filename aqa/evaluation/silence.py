"""A contract of silence: the confidence under which a reader says nothing, so that few answers err.

The threshold is found by Learn then Test (Angelopoulos, Bates, Candès, Jordan & Lei, 2021,
arXiv:2110.01052): each of a series of thresholds is tested for "more than the promised share of
its answers are wrong", and the loosest of those refuted is taken. The series goes from few answers
to all and its tests pass their level on (the fallback procedure of Wiens, 2003, Pharmaceutical
Statistics 2(3)), so that with the promised confidence none of them is refuted wrongly.

A test is the exact binomial one where examples are independent: given a threshold at the answer of
a given rank, the answers above it are independent draws. Where examples come in clusters it is
that of the effective sample size, with the degrees of freedom of the clusters (Korn & Graubard,
1998, Survey Methodology 24(2)).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil, inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aqa.errors import DataError
from aqa.metrics.statistics.clusters import Clusters

Vector = NDArray[np.float64]

STEPS = 100  # thresholds that are tested, at equal shares of the answers
STARTS = {5: 0.1, 20: 0.6, 40: 0.2, 70: 0.1}  # parts of the level, by the step that they begin at
MOST = 10**8  # questions: whoever needs more reads that no number would do


@dataclass(frozen=True, slots=True)
class Promise:
    """At most `risk` % of answers wrong with `level` % confidence; wrong: `score` under `limit`."""

    risk: float
    level: float = 95.0
    score: str = "em"
    limit: float = 100.0


@dataclass(frozen=True, slots=True)
class Threshold:
    """Answers under `confidence` are withheld: `coverage` % are given, `error` % of them wrong."""

    confidence: float
    coverage: float
    error: float


@dataclass(frozen=True, slots=True)
class Kept:
    """How a system that keeps a contract did: of its `answered` examples `value` % were wrong."""

    name: str
    risk: float
    answered: int
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        figures = f"{self.value:.1f} % of its {self.answered:,} answers are wrong"
        interval = f"95 %: {self.low:.1f} to {self.high:.1f}"
        promised = f"promised: at most {self.risk:g} %"
        if self.value <= self.risk:
            outcome = "the contract of silence held"
        elif self.low <= self.risk:
            outcome = "more than promised, which chance may explain"
        else:
            outcome = "the contract of silence did not hold"
        return f"{self.name}: {outcome}; {figures} ({interval}; {promised})"

    def to_json(self) -> dict[str, Any]:
        """Give what metrics.json holds."""
        return asdict(self)


def choose_threshold(
    confidences: Sequence[float | None],
    is_wrong: Sequence[bool],
    clusters: Clusters,
    promise: Promise,
) -> Threshold:
    """Find the loosest threshold that keeps the promise; examples follow each other in all three.

    An answer without a confidence (None) is always withheld.

    Raises:
        DataError: these data can't promise it; the message says how many questions could.
    """
    ranked = _Ranked.of(confidences, is_wrong, clusters)
    best = ranked.loosest(promise)
    if best is None:
        raise DataError(ranked.why_not(promise))
    return Threshold(
        ranked.confidence(best),
        100 * best / clusters.examples,
        100 * float(ranked.wrong[:best].mean()),
    )


@dataclass(frozen=True, eq=False)
class _Ranked:
    """The answers from the surest down: confidences, whether they are wrong, their clusters."""

    confidences: Vector
    wrong: Vector
    codes: NDArray[np.intp]
    examples: int
    are_independent: bool

    @classmethod
    def of(
        cls, confidences: Sequence[float | None], is_wrong: Sequence[bool], clusters: Clusters
    ) -> "_Ranked":
        sure = np.array([-inf if value is None else value for value in confidences])
        order = np.argsort(-sure, kind="stable")
        order = order[sure[order] > -inf]
        return cls(
            sure[order],
            np.asarray(is_wrong, dtype=np.float64)[order],
            clusters.codes[order],
            clusters.examples,
            clusters.are_examples,
        )

    def confidence(self, count: int) -> float:
        """The confidence that just the first so many answers reach."""
        return float(self.confidences[count - 1])

    def loosest(self, promise: Promise) -> int | None:
        """How many answers the loosest threshold refuted leaves; None where none is."""
        level, loosest = 0.0, None
        for step, count in self._counts().items():
            level += (1 - promise.level / 100) * STARTS.get(step, 0.0)
            if level and self.p(count, promise.risk / 100) <= level:
                loosest = count
            else:
                level = 0.0
        return loosest

    def why_not(self, promise: Promise) -> str:
        """Say why no threshold is refuted, and how many questions would do, were they alike."""
        asked = f"at most {promise.risk:g} % wrong answers with {promise.level:g} % confidence"
        counts = self._counts()
        if not counts:
            return (
                f"{asked} can't be promised: no answer has a confidence; predict with"
                " backend.logprobs = true, or with generation.samples at a temperature"
            )
        shares = {count: float(self.wrong[:count].mean()) for count in counts.values()}
        needed = min(self._needed(count, shares[count], promise) for count in shares)
        if needed > MOST:
            least = min(shares, key=lambda count: (shares[count], -count))
            return (
                f"{asked} can't be promised: even of the surest {least:,} answers"
                f" {100 * shares[least]:.1f} % are wrong"
            )
        return (
            f"{asked} can't be promised by {self.examples:,} questions; about {needed:,} like them"
            " would do"
        )

    def _needed(self, count: int, share: float, promise: Promise) -> int:
        """Questions of which the test of this threshold would refute half of the time."""
        risk, level = promise.risk / 100, (1 - promise.level / 100) * max(STARTS.values())
        if share >= risk:
            return MOST + 1
        effect = count / max(self._effective(count, risk)[0], 1e-9)
        low, high = 1, MOST
        while low < high:
            middle = (low + high) // 2
            if _tail(middle / effect, share * middle / effect, risk) <= level:
                high = middle
            else:
                low = middle + 1
        return ceil(low * self.examples / count)

    def _counts(self) -> dict[int, int]:
        """How many answers are kept at each step: all that are as sure as the last of them."""
        total = len(self.confidences)
        found: dict[int, int] = {}
        for step in range(1, STEPS + 1):
            count = ceil(total * step / STEPS)
            while 0 < count < total and self.confidences[count] == self.confidences[count - 1]:
                count += 1
            if count:
                found[step] = count
        return found

    def p(self, count: int, risk: float) -> float:
        """How probable so few errors among the surest `count` answers are, were `risk` theirs."""
        return _tail(*self._effective(count, risk), risk)

    def _effective(self, count: int, risk: float) -> tuple[float, float]:
        """Trials and errors of independent examples that would tell as much."""
        wrong = self.wrong[:count]
        errors = float(wrong.sum())
        if self.are_independent:
            return count, errors
        sums = np.bincount(self.codes[:count], wrong - risk)
        sizes = np.bincount(self.codes[:count])
        sums = sums[sizes > 0]
        groups = len(sums)
        if groups < 2:
            return 0.0, 0.0
        # Under the hypothesis, sums of wrong - risk are around 0; few are large, and one more such
        # may be in the population for each that was seen: the largest counts twice.
        squares = sums**2
        variance = float(squares.sum() + squares.max()) * groups / (groups - 1)
        independent = count * risk * (1 - risk)
        effect = max(1.0, variance / independent)
        share = errors / count
        alike = count**2 / float((sizes**2).sum())  # clusters of one size that would tell as much
        trials = count / effect * _freedom_factor(max(alike - 1, 1.0), count - 1)
        return trials, share * trials


def _tail(trials: float, errors: float, risk: float) -> float:
    """The binomial probability of at most so many errors; both may be fractions."""
    from scipy import special

    if trials <= errors:
        return 1.0
    return float(special.betaincc(errors + 1, trials - errors, risk))


def _freedom_factor(few: float, many: float) -> float:
    """How much fewer trials so few degrees of freedom are worth (Korn & Graubard's, one-sided)."""
    from scipy import special

    upper = 0.95
    return float((special.stdtrit(many, upper) / special.stdtrit(few, upper)) ** 2)
