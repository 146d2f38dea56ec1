"""A contract of silence: the confidence under which a reader says nothing, so that few answers err.

The threshold is found by Learn then Test (Angelopoulos, Bates, Candès, Jordan & Lei, 2021,
arXiv:2110.01052): each of a series of thresholds is tested for "more than the promised share of
its answers are wrong", and the loosest of those refuted is taken. The series goes from few answers
to all, and ends with the first that is not refuted (fixed sequence testing: Maurer, Hothorn &
Lehmacher, 1995). So each test may have the whole level, and still none is refuted wrongly but with
the promised confidence: the first true hypothesis would have to be.

A test is the exact binomial one where examples are independent: given a threshold at the answer of
a given rank, the answers above it are independent draws. Where examples come in clusters it is
that of the effective sample size, with the degrees of freedom of the clusters (Korn & Graubard,
1998, Survey Methodology 24(2)).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, inf

import numpy as np
from numpy.typing import NDArray

from aqa.errors import DataError
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.intervals import intra_class_correlation
from aqa.runs.files import Facts

Vector = NDArray[np.float64]

STEPS = 100  # thresholds that are tested, at equal shares of the answers
# Where they begin, chosen by tests/benchmarks/silence.py: too few answers refute nothing, and with
# too many some samples have no contract. So many wrong answers the promised share would be there,
# but at most so much of all answers.
START, LATEST = 12.5, 0.4
# Of few errors, which lie in few clusters, the spread between clusters seems less than it is: it is
# taken to be at least so much of what all errors show.
OF_ALL = 0.75
MOST = 10**8  # questions: whoever needs more reads that no number would do


@dataclass(frozen=True, slots=True)
class Promise:
    """At most `risk` % of answers wrong with `level` % confidence; wrong: `score` under `limit`."""

    risk: float
    level: float = 95.0
    score: str = "em"
    limit: float = 100.0

    @property
    def chance(self) -> float:
        """How improbable the answers of a threshold have to be for it to be refuted."""
        return 1 - self.level / 100


@dataclass(frozen=True, slots=True)
class Threshold:
    """Answers under `confidence` are withheld: `coverage` % are given, `error` % of them wrong."""

    confidence: float
    coverage: float
    error: float


@dataclass(frozen=True, slots=True)
class Kept(Facts):
    """How a system that keeps a contract did: of its `answered` examples `value` % were wrong."""

    name: str
    risk: float
    answered: int
    value: float
    low: float
    high: float

    def __str__(self) -> str:
        figures = f"{self.value:.1f} % of its {self.answered:,} answers are wrong"
        interval = f"95 %: {self.low:z.1f} to {self.high:z.1f}"
        promised = f"promised: at most {self.risk:g} %"
        if self.value <= self.risk:
            outcome = "the contract of silence held"
        elif self.low <= self.risk:
            outcome = "more than promised, perhaps by chance"
        else:
            outcome = "the contract of silence did not hold"
        return f"{self.name}: {outcome}; {figures} ({interval}; {promised})"


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
    ranked = Ranked.of(confidences, is_wrong, clusters)
    best = ranked.loosest(promise)
    if best is None:
        raise DataError(ranked.why_not(promise))
    return Threshold(
        ranked.confidence(best),
        100 * best / clusters.examples,
        100 * float(ranked.wrong[:best].mean()),
    )


@dataclass(frozen=True, eq=False)
class Ranked:
    """The answers from the surest down: confidences, whether they are wrong, their clusters."""

    confidences: Vector
    wrong: Vector
    codes: NDArray[np.intp]
    examples: int
    are_independent: bool

    @classmethod
    def of(
        cls, confidences: Sequence[float | None], is_wrong: Sequence[bool], clusters: Clusters
    ) -> "Ranked":
        """Rank the answers that have a confidence."""
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
        loosest = None
        for count in self.counts(promise):
            if self.p(count, promise.risk / 100) > promise.chance:
                break
            loosest = count
        return loosest

    def why_not(self, promise: Promise) -> str:
        """Say why no threshold is refuted, and how many questions would do, were they alike."""
        asked = f"at most {promise.risk:g} % wrong answers with {promise.level:g} % confidence"
        counts = self.counts(promise)
        if not counts:
            return (
                f"{asked} can't be promised: no answer has a confidence; predict with"
                " backend.logprobs = true, or with generation.samples at a temperature"
            )
        # Of more questions the first test would be of a smaller share, the surest ones.
        first, surest = counts[0], [count for count in self._steps(0) if count <= counts[0]]
        shares = {count: float(self.wrong[:count].mean()) for count in surest}
        needed = min(
            max(self._needed(count, shares[count], promise), ceil(first * self.examples / count))
            for count in surest
        )
        if needed > MOST:
            least = min(shares, key=lambda count: (shares[count], -count))
            return (
                f"{asked} can't be promised: even of the surest {least:,} answers"
                f" {100 * shares[least]:.1f} % are wrong"
            )
        held = f"{self.examples:,} question{'s' * (self.examples != 1)}"
        if not self.are_independent:
            held += f" in {len(set(self.codes.tolist()))} clusters"
        return f"{asked} can't be promised by {held}; about {needed:,} like them would do"

    def _needed(self, count: int, share: float, promise: Promise) -> int:
        """Questions of which the test of this threshold would refute half of the time."""
        risk, level = promise.risk / 100, promise.chance
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

    def counts(self, promise: Promise) -> list[int]:
        """How many answers are kept at each step: all that are as sure as the last of them."""
        total, risk = len(self.confidences), promise.risk / 100
        first = ceil(min(START / risk, LATEST * total))
        # So few may say nothing, were all of them right.
        flawless = replace(self, wrong=np.zeros(total))
        while first < total and flawless.p(first, risk) > promise.chance:
            first = min(total, first + 1 + first // 50)
        return self._steps(first)

    def _steps(self, first: float) -> list[int]:
        """The same from so many on."""
        total, found = len(self.confidences), dict[int, None]()
        for step in range(STEPS + 1):
            count = ceil(first + (total - first) * step / STEPS)
            while 0 < count < total and self.confidences[count] == self.confidences[count - 1]:
                count += 1
            if count:
                found[count] = None
        return list(found)

    def p(self, count: int, risk: float) -> float:
        """How probable so few errors among the surest `count` answers are, were `risk` theirs."""
        return _tail(*self._effective(count, risk), risk)

    @cached_property
    def _correlation(self) -> float:
        """How alike errors are within clusters, by those of all answers."""
        sizes = np.bincount(self.codes).astype(np.float64)
        errors = np.bincount(self.codes, self.wrong)[sizes > 0]
        sizes = sizes[sizes > 0]
        if not 1 < len(sizes) < len(self.wrong):
            return 0.0
        mean = self.wrong.mean()
        between = (sizes * (errors / sizes - mean) ** 2).sum(keepdims=True)
        squares = ((self.wrong - mean) ** 2).sum(keepdims=True)
        return float(intra_class_correlation(between, squares, sizes)[0])

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
        alike = count**2 / float((sizes**2).sum())  # clusters of one size that would tell as much
        least = 1 + OF_ALL * self._correlation * (count / alike - 1)
        effect = max(1.0, variance / independent, least)
        share = errors / count
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
