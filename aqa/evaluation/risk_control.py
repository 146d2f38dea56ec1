"""Find the confidence threshold of a contract: below it, a reader abstains.

The threshold comes from Learn then Test (Angelopoulos, Bates, Candès, Jordan & Lei, 2021,
arXiv:2110.01052): for each of a series of thresholds, the hypothesis "more than the promised share
of its answers are wrong" is tested, and the loosest rejected threshold is used. The series goes
from few answers to all, and ends at the first that is not rejected (fixed sequence testing: Maurer,
Hothorn & Lehmacher, 1995). So each test may use the whole level: any false rejection implies that
the first true hypothesis was rejected.

For independent examples, the test is the exact binomial one: given a threshold at the answer of a
certain rank, the answers above it are independent draws. For clustered examples it uses the
effective sample size, with the clusters' degrees of freedom (Korn & Graubard, 1998, Survey
Methodology 24(2)).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, inf, log, log1p

import numpy as np
from numpy.typing import NDArray

from aqa.errors import DataError
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.intervals import intra_class_correlation
from aqa.runs.files import Facts

Vector = NDArray[np.float64]

STEPS = 100  # thresholds to test, at equal shares of the answers
# Where to begin, from tests/benchmarks/silence.py: too few answers can't reject anything, and
# beginning with too many leaves some samples without a contract. START is the number of errors
# expected at the promised share; LATEST caps the beginning as a share of all answers.
START, LATEST = 12.5, 0.4
# Few errors lie in few clusters, which makes the spread between clusters seem too small; assume at
# least this part of the spread of all errors.
OF_ALL = 0.75
MOST = 10**8  # questions; so large a need is reported as impossible
# Few of the surest answers may all be right by chance: a plan takes only those of which so few
# would be wrong with at most this probability if the promise could not be kept.
LIKELY = 0.5


@dataclass(frozen=True, slots=True)
class Promise:
    """At most `risk` % wrong answers, with `level` % confidence; wrong: `score` below `limit`."""

    risk: float
    level: float = 95.0
    score: str = "em"
    limit: float = 100.0

    @property
    def significance(self) -> float:
        """The significance level of each test."""
        return 1 - self.level / 100


@dataclass(frozen=True, slots=True)
class Threshold:
    """Withhold answers below `confidence`: `coverage` % are given, of which `error` % are wrong."""

    confidence: float
    coverage: float
    error: float


@dataclass(frozen=True, slots=True)
class ContractResult(Facts):
    """How a system kept its contract: of `answered` examples, `value` % were wrong."""

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
            outcome = "the contract held"
        elif self.low <= self.risk:
            outcome = "more than promised, perhaps by chance"
        else:
            outcome = "the contract did not hold"
        return f"{self.name}: {outcome}; {figures} ({interval}; {promised})"


def choose_threshold(
    confidences: Sequence[float | None],
    is_wrong: Sequence[bool],
    clusters: Clusters,
    promise: Promise,
) -> Threshold:
    """Find the loosest threshold that keeps the promise; the arguments are parallel.

    An answer without a confidence (None) is always withheld.

    Raises:
        DataError: these data can't support it; the message says how many questions could.
    """
    ranked = RankedAnswers.of(confidences, is_wrong, clusters)
    best = ranked.loosest(promise)
    if best is None:
        raise DataError(ranked.why_not(promise))
    return Threshold(
        ranked.confidence(best),
        100 * best / clusters.examples,
        100 * float(ranked.wrong[:best].mean()),
    )


@dataclass(frozen=True, eq=False)
class RankedAnswers:
    """Answers by descending confidence: confidences, whether they are wrong, their clusters."""

    confidences: Vector
    wrong: Vector
    codes: NDArray[np.intp]
    examples: int
    are_independent: bool

    @classmethod
    def of(
        cls, confidences: Sequence[float | None], is_wrong: Sequence[bool], clusters: Clusters
    ) -> "RankedAnswers":
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
        """The confidence that exactly the first `count` answers reach."""
        return float(self.confidences[count - 1])

    def loosest(self, promise: Promise) -> int | None:
        """The number of answers above the loosest rejected threshold; None if there is none."""
        loosest = None
        for count in self.counts(promise):
            if self.p(count, promise.risk / 100) > promise.significance:
                break
            loosest = count
        return loosest

    def why_not(self, promise: Promise) -> str:
        """Explain why no threshold is rejected, and how many such questions would suffice."""
        promised = f"at most {promise.risk:g} % wrong answers with {promise.level:g} % confidence"
        counts = self.counts(promise)
        # With more questions, the first test would be of a smaller share, the most confident.
        first = counts[0]
        surest = [*(count for count in self._steps(0) if count < first), first]
        needed = min(
            (
                max(self._needed(count, promise), ceil(first * self.examples / count))
                for count in surest
                if _tail(count, self.wrong[:count].sum(), promise.risk / 100) < LIKELY
            ),
            default=MOST,
        )
        held = f"{self.examples:,} question{'s' * (self.examples != 1)}"
        if not self.are_independent:
            count = len(set(self.codes.tolist()))
            held += f" in {count} cluster{'s' * (count != 1)}"
        refusal = f"{promised} can't be promised by {held}"
        if needed < MOST:
            return f"{refusal}; about {needed:,} like them would do"
        share = 100 * float(self.wrong[:first].mean())
        least = ceil(log(promise.significance) / log1p(-promise.risk / 100))
        if share >= promise.risk or (share and first >= least):
            return f"{refusal}: even of the surest {first:,} answers {share:.1f} % are wrong"
        refusal += ", which are too few to plan from"
        if least > self.examples:
            refusal += f"; even without a wrong answer it takes {least:,}"
        return refusal

    def _needed(self, count: int, promise: Promise) -> int:
        """The number of questions with which this threshold would be rejected half of the time."""
        risk, level = promise.risk / 100, promise.significance
        if self.wrong[:count].mean() >= risk:
            return MOST
        low, high = 1, MOST
        while low < high:
            middle = (low + high) // 2
            if _tail(*self._effective(count, risk, middle / count), risk) <= level:
                high = middle
            else:
                low = middle + 1
        return ceil(low * self.examples / count)

    def counts(self, promise: Promise) -> list[int]:
        """The number of answers kept at each step; answers of equal confidence stay together."""
        total, risk = len(self.confidences), promise.risk / 100
        first = ceil(min(START / risk, LATEST * total))
        # So few may not suffice for a rejection even if all were right.
        flawless = replace(self, wrong=np.zeros(total))
        while first < total and flawless.p(first, risk) > promise.significance:
            first = min(total, first + 1 + first // 50)
        return self._steps(first)

    def _steps(self, first: float) -> list[int]:
        total, counts = len(self.confidences), dict[int, None]()
        for step in range(STEPS + 1):
            count = ceil(first + (total - first) * step / STEPS)
            while 0 < count < total and self.confidences[count] == self.confidences[count - 1]:
                count += 1
            if count:
                counts[count] = None
        return list(counts)

    def p(self, count: int, risk: float) -> float:
        """The probability of so few errors among the first `count` if `risk` were their rate."""
        return _tail(*self._effective(count, risk), risk)

    @cached_property
    def _correlation(self) -> float:
        """The intra-cluster correlation of errors, over all answers."""
        sizes = np.bincount(self.codes).astype(np.float64)
        errors = np.bincount(self.codes, self.wrong)[sizes > 0]
        sizes = sizes[sizes > 0]
        if not 1 < len(sizes) < len(self.wrong):
            return 0.0
        mean = self.wrong.mean()
        between = (sizes * (errors / sizes - mean) ** 2).sum(keepdims=True)
        squares = ((self.wrong - mean) ** 2).sum(keepdims=True)
        return float(intra_class_correlation(between, squares, sizes)[0])

    def _effective(self, count: int, risk: float, times: float = 1.0) -> tuple[float, float]:
        """The equivalent number of independent trials, and of errors among them."""
        wrong = self.wrong[:count]
        errors = float(wrong.sum())
        if self.are_independent:
            return times * count, times * errors
        sums = np.bincount(self.codes[:count], wrong - risk)
        sizes = np.bincount(self.codes[:count])
        sums = sums[sizes > 0]
        groups = len(sums)
        if groups < 2:
            return 0.0, 0.0
        # Under the hypothesis, the sums of wrong - risk are around 0 and few are large. For each
        # large one seen, the population may have another: count the largest twice.
        squares = sums**2
        variance = float(squares.sum() + squares.max()) * groups / (groups - 1)
        independent = count * risk * (1 - risk)
        equivalent = count**2 / float((sizes**2).sum())  # equivalent number of equal-sized clusters
        least = 1 + OF_ALL * self._correlation * (count / equivalent - 1)
        effect = max(1.0, variance / independent, least)
        share = errors / count
        freedom = (max(times * size - 1, 1.0) for size in (equivalent, count))
        trials = times * count / effect * _freedom_factor(*freedom)
        return trials, share * trials


def _tail(trials: float, errors: float, risk: float) -> float:
    """The binomial probability of at most `errors`; both numbers may be fractional."""
    from scipy import special

    if trials <= errors:
        return 1.0
    return float(special.betaincc(errors + 1, trials - errors, risk))


def _freedom_factor(few: float, many: float) -> float:
    """The factor on trials for fewer degrees of freedom (Korn & Graubard's, one-sided)."""
    from scipy import special

    upper = 0.95
    return float((special.stdtrit(many, upper) / special.stdtrit(few, upper)) ** 2)
