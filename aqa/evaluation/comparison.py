"""Which system is better, by how much, and could it be chance: pairs of systems, metric by metric.

Every difference is b - a of two systems that answered the same questions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from aqa.errors import UsageError
from aqa.metrics.intervals import SEED, resampled_means

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

SIGNIFICANT = 0.05
_EPSILON = 1e-9  # sums of the same scores in another order may differ by this

Values = Mapping[str, Mapping[str, Sequence[float]]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The metric's mean difference b - a over the same questions, and what chance could do.

    `low` and `high` are its 95 % interval. `p_holm` is `p` after Holm's correction over all pairs
    of the metric. `wins` counts the examples that b scores higher. `detectable` is the smallest
    true difference that this many examples would show with a power of 80 %.
    """

    a: str
    b: str
    metric: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    test: str
    wins: int
    ties: int
    losses: int
    detectable: float

    @property
    def is_real(self) -> bool:
        """Whether chance alone is an unlikely reason."""
        return self.p_holm < SIGNIFICANT and self.difference != 0

    def turned(self) -> "Comparison":
        """Give the same comparison as a - b."""
        return replace(
            self,
            a=self.b,
            b=self.a,
            difference=0.0 - self.difference,  # of no difference, not -0.0
            low=0.0 - self.high,
            high=0.0 - self.low,
            wins=self.losses,
            losses=self.wins,
        )

    def to_json(self) -> dict[str, Any]:
        """Give what metrics.json holds."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Compared:
    """The 95 % interval of each system's mean score, by system and metric, and the comparisons."""

    intervals: Mapping[str, Mapping[str, tuple[float, float]]]
    comparisons: tuple[Comparison, ...]


def compare(values: Values, baseline: str | None = None, seed: int = SEED) -> Compared:
    """Compare each two systems, or each with the baseline (then a), by the metrics they share.

    `values` holds the values per example, 0..100, by system and metric. "em" is tested by
    McNemar's exact test, every other score by the paired bootstrap. Scores and differences are
    resampled together: drawing is what takes the time.

    Raises:
        UsageError: the baseline is none of the systems.
    """
    check_baseline(baseline, list(values))
    import numpy as np

    scores = [(system, metric) for system, own in values.items() for metric in own]
    metrics = [
        name for name in next(iter(values.values())) if all(name in own for own in values.values())
    ]
    pairs = _pairs(list(values), baseline)
    intervals: dict[str, dict[str, tuple[float, float]]] = {system: {} for system in values}
    if not scores:
        return Compared(intervals, ())
    differences = [
        np.subtract(values[b][metric], values[a][metric]) for metric in metrics for a, b in pairs
    ]
    drawn = resampled_means(
        np.column_stack([*(values[a][metric] for a, metric in scores), *differences]), seed
    )
    lows, highs = np.percentile(drawn, [2.5, 97.5], axis=0).tolist()
    for (system, metric), low, high in zip(scores, lows, highs, strict=False):
        intervals[system][metric] = (low, high)
    found: list[Comparison] = []
    place = len(scores)
    for metric in metrics:
        group = []
        for a, b in pairs:
            facts = _tested(metric, differences[place - len(scores)], drawn[:, place])
            group.append({"a": a, "b": b, "low": lows[place], "high": highs[place], **facts})
            place += 1
        corrected = holm([facts["p"] for facts in group])
        found += [Comparison(**facts, p_holm=p) for facts, p in zip(group, corrected, strict=True)]
    return Compared(intervals, tuple(found))


def check_baseline(baseline: str | None, systems: Sequence[str]) -> None:
    """See whether the baseline is one of the systems, if there is one.

    Raises:
        UsageError: it is not.
    """
    if baseline is not None and baseline not in systems:
        raise UsageError(f'the baseline "{baseline}" is no system; there are {", ".join(systems)}')


def _pairs(systems: Sequence[str], baseline: str | None) -> list[tuple[str, str]]:
    return [
        (a, b) if baseline in (None, a) else (b, a)
        for a, b in combinations(systems, 2)
        if baseline in (None, a, b)
    ]


def _tested(metric: str, values: "Matrix", drawn: "Matrix") -> dict[str, Any]:
    difference = float(values.mean())
    wins, losses = int((values > _EPSILON).sum()), int((values < -_EPSILON).sum())
    is_binary = metric == "em"
    return {
        "metric": metric,
        "difference": difference,
        "p": mcnemar(wins, losses)
        if is_binary
        else max(bootstrap_p(drawn, difference), surest(wins + losses)),
        "test": "mcnemar-exact" if is_binary else "paired-bootstrap",
        "wins": wins,
        "ties": len(values) - wins - losses,
        "losses": losses,
        "detectable": detectable_difference(values),
    }


def mcnemar(wins: int, losses: int) -> float:
    """Give the two-sided p of McNemar's exact test, by which wins and losses are a fair coin's.

    McNemar (1947), Psychometrika 12(2); the exact form is the binomial test of the discordant
    pairs against 1/2.
    """
    discordant = wins + losses
    tail = ways = 1
    for count in range(min(wins, losses)):
        ways = ways * (discordant - count) // (count + 1)
        tail += ways
    return min(1.0, 2 * tail / (1 << discordant))


def bootstrap_p(drawn: "Matrix", difference: float) -> float:
    """Give the two-sided p of a difference: how often chance alone goes as far.

    The resampled differences less their centre stand for a world without a difference, as in
    Noreen (1989), "Computer-Intensive Methods", and sacrebleu's paired bootstrap. The observed one
    counts as a resample, so p is never 0.
    """
    import numpy as np

    as_far = int((np.abs(drawn - difference) >= abs(difference) - _EPSILON).sum())
    return min(1.0, (as_far + 1) / (len(drawn) + 1))


def surest(differing: int) -> float:
    """Give the least p that so few differing examples allow: that all have one sign by chance.

    2 / 2^n, the least p of any test that turns the signs of n pairs round (Fisher 1935, "The
    Design of Experiments", section 21). The bootstrap alone knows no such end: what it draws from
    one example is always that example, which would be taken for certainty.
    """
    return min(1.0, 2.0 ** (1 - differing))


def holm(probabilities: Sequence[float]) -> list[float]:
    """Correct p values for their number: Holm (1979), Scandinavian Journal of Statistics 6(2)."""
    order = sorted(range(len(probabilities)), key=probabilities.__getitem__)
    corrected = [0.0] * len(probabilities)
    highest = 0.0
    for step, place in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - step) * probabilities[place]))
        corrected[place] = highest
    return corrected


def detectable_difference(values: "Matrix") -> float:
    """Give the smallest mean difference that n pairs show in 80 % of tests at the 5 % level.

    (z(0.975) + z(0.8)) * sd / sqrt(n) with the standard deviation of the differences: Cohen
    (1988), "Statistical Power Analysis", chapter 2; Miller (2024), "Adding Error Bars to Evals",
    section 5. Where no example differs, one differing example is taken instead: no spread seen
    does not mean that any difference would be.
    """
    from math import sqrt
    from statistics import NormalDist

    count = len(values)
    spread = float(values.std(ddof=1)) if count > 1 else 0.0
    floor = 100.0 / sqrt(count)  # the standard deviation of one 100 among zeros
    z = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)
    return min(100.0, z * max(spread, floor) / sqrt(count))


def verdict(comparison: Comparison, examples: int) -> str:
    """Say in plain words what a comparison came to."""
    metric = comparison.metric.upper() if len(comparison.metric) < 3 else comparison.metric
    a, b, size = comparison.a, comparison.b, abs(comparison.difference)
    low, high = comparison.low, comparison.high
    # One found below the limit was luck: the limit is where four of five are found.
    is_lucky = comparison.is_real and size < comparison.detectable
    missed = "are often missed" if is_lucky else "can't be seen"
    seen = (
        f"with {examples} question{'s' * (examples != 1)} differences under"
        f" {comparison.detectable:.1f} {metric} {missed}"
    )
    if not comparison.is_real:
        # The interval is that of this pair alone, p is corrected for all pairs.
        doubt = f", yet p (Holm) is {comparison.p_holm:.4f}" if low > 0 or high < 0 else ""
        return (
            f"{a} and {b} can't be told apart by {metric} ({b} - {a}: {comparison.difference:+.1f};"
            f" 95 %: {low:.1f} to {high:.1f}{doubt}); {seen}"
        )
    if comparison.difference < 0:
        a, b, low, high = b, a, -high, -low
    return f"{b} is better than {a} by {size:.1f} {metric} (95 %: {low:.1f} to {high:.1f}); {seen}"
