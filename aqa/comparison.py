"""Which system is better, by how much, and could it be chance: pairs of systems, metric by metric.

Every difference is b - a of two systems that answered the same questions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from aqa.errors import UsageError
from aqa.metrics.intervals import RESAMPLES, SEED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

SIGNIFICANT = 0.05
_CELLS = 200_000  # of a block of resamples: what the cache of a processor holds
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

    def to_json(self) -> dict[str, Any]:
        """Give what metrics.json holds."""
        return {name: getattr(self, name) for name in self.__slots__}


def compare(values: Values, baseline: str | None = None) -> tuple[Comparison, ...]:
    """Compare each two systems, or each with the baseline (then a), by the metrics they share.

    `values` holds the values per example, 0..100, by system and metric. "em" is tested by
    McNemar's exact test, every other score by the paired bootstrap.

    Raises:
        UsageError: the baseline is none of the systems.
    """
    if baseline is not None and baseline not in values:
        raise UsageError(f'the baseline "{baseline}" is no system; there are {", ".join(values)}')
    pairs = [
        (a, b) if baseline in (None, a) else (b, a)
        for a, b in combinations(values, 2)
        if baseline in (None, a, b)
    ]
    metrics = [
        name for name in next(iter(values.values())) if all(name in own for own in values.values())
    ]
    columns = [(a, b, metric) for metric in metrics for a, b in pairs]
    if not columns:
        return ()
    import numpy as np

    differences = np.column_stack(
        [np.subtract(values[b][metric], values[a][metric]) for a, b, metric in columns]
    )
    drawn = resampled_means(differences)
    found: list[Comparison] = []
    for start in range(0, len(columns), len(pairs)):
        group = [
            _tested(*columns[place], differences[:, place], drawn[:, place])
            for place in range(start, start + len(pairs))
        ]
        corrected = holm([facts["p"] for facts in group])
        found += [Comparison(**facts, p_holm=p) for facts, p in zip(group, corrected, strict=True)]
    return tuple(found)


def resampled_means(values: "Matrix") -> "Matrix":
    """Give the means of each column (one a score) over resamples of the rows (the examples).

    All columns share the resamples, so what is paired stays paired. A resample is a row of counts,
    how often it holds each example, and a block of them meets all columns in one multiplication.
    """
    import numpy as np

    examples, columns = values.shape
    generator = np.random.default_rng(SEED)
    block = max(1, min(RESAMPLES, _CELLS // examples))
    counts = np.empty((block, examples))
    means = np.empty((RESAMPLES, columns))
    for start in range(0, RESAMPLES, block):
        size = min(block, RESAMPLES - start)
        drawn = generator.integers(0, examples, (size, examples))
        for place in range(size):
            counts[place] = np.bincount(drawn[place], minlength=examples)
        means[start : start + size] = counts[:size] @ values / examples
    return means


def _tested(a: str, b: str, metric: str, values: "Matrix", drawn: "Matrix") -> dict[str, Any]:
    import numpy as np

    difference = float(values.mean())
    wins, losses = int((values > _EPSILON).sum()), int((values < -_EPSILON).sum())
    low, high = np.percentile(drawn, [2.5, 97.5])
    is_binary = metric == "em"
    return {
        "a": a,
        "b": b,
        "metric": metric,
        "difference": difference,
        "low": float(low),
        "high": float(high),
        "p": mcnemar(wins, losses) if is_binary else bootstrap_p(drawn, difference),
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
        return (
            f"{a} and {b} can't be told apart by {metric} ({b} - {a}: {comparison.difference:+.1f};"
            f" 95 %: {low:.1f} to {high:.1f}); {seen}"
        )
    if comparison.difference < 0:
        a, b, low, high = b, a, -high, -low
    return f"{b} is better than {a} by {size:.1f} {metric} (95 %: {low:.1f} to {high:.1f}); {seen}"
