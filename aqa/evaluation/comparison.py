"""Compare pairs of systems metric by metric: difference, interval and significance.

Every difference is b - a, over the same questions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from aqa.errors import UsageError
from aqa.metrics.statistics import power
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.confidence_sequences import monitored_difference
from aqa.metrics.statistics.intervals import difference_intervals
from aqa.metrics.statistics.sign_flips import MCNEMAR, SEED, holm, sign_flip_tests
from aqa.runs.files import Facts
from aqa.tables import shown_chance

SIGNIFICANT = 0.05
SEQUENCE = "sequence"
_CELLS = 4_000_000  # differences held at a time: 32 MB, and copies of them
_EPSILON = 1e-9  # tolerance for sums of the same scores in another order

Values = Mapping[str, Mapping[str, Sequence[float]]]


@dataclass(frozen=True, slots=True)
class Comparison(Facts):
    """The mean difference b - a of a metric over the same questions, and its significance.

    `low` and `high` are its 95 % interval. `p_holm` is `p` after Holm's correction over all pairs
    of the metric. `wins` counts the examples that b scores higher on, or, for a corpus-level
    score, that raise b's score more than a's. `detectable` is the true difference that a
    fixed-size test, corrected alike, would find in four of five such samples; None if no
    difference could be found.
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
    detectable: float | None
    design_effect: float | None = None

    @property
    def is_real(self) -> bool:
        """Whether chance alone is an unlikely explanation."""
        return self.p_holm < SIGNIFICANT and self.difference != 0

    @property
    def is_monitored(self) -> bool:
        """Whether it is tested by a confidence sequence, to which `detectable` does not apply."""
        return self.test.startswith(SEQUENCE)

    @property
    def differing(self) -> float | None:
        """The share of examples that differ, if answers are only right or wrong; else None."""
        count = self.wins + self.losses
        total = count + self.ties
        net = 100 * (self.wins - self.losses)
        is_binary = abs(self.difference * total - net) < _EPSILON * total
        return count / total if is_binary else None

    @property
    def interval(self) -> str:
        """The interval as text, with p if only one of them is significant.

        The interval is uncorrected; p is corrected for all pairs and comes from another method.
        """
        doubt = ""
        if (self.low > 0 or self.high < 0) != self.is_real:
            doubt = f", yet p (Holm) is {shown_chance(self.p_holm)}"
        return f"95 %: {self.low:z.1f} to {self.high:z.1f}{doubt}"

    def turned(self) -> "Comparison":
        """Return the same comparison as a - b."""
        return replace(
            self,
            a=self.b,
            b=self.a,
            difference=0.0 - self.difference,  # avoids -0.0
            low=0.0 - self.high,
            high=0.0 - self.low,
            wins=self.losses,
            losses=self.wins,
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """A difference before correction for multiple comparisons.

    `alone` is the uncorrected comparison; `error` is its standard error; `tails` and `skew`
    describe its clusters' sums, see `detectable_difference`; `clusters` are those of its examples.
    """

    alone: Comparison
    error: float
    tails: float
    skew: float
    clusters: Clusters

    def detectable(self, level: float) -> float | None:
        """The true difference that a test at that level finds in four of five samples."""
        examples = self.clusters.examples
        if self.alone.test == MCNEMAR:
            share = power.detectable_share(examples, self.alone.wins + self.alone.losses, level)
            return None if share is None else 100.0 * share
        # If no example differs, calculate as if one did: no observed spread is not no spread.
        error = self.error or 100.0 / examples
        count, differing = self.clusters.count, self.alone.differing
        if differing is None:
            least = power.detectable_difference(error, count, level, self.tails, self.skew)
        else:  # the shape of right and wrong answers depends on the difference
            least = power.detectable_difference(error, count, level, self.tails)
            if least is not None:
                least = power.as_differing(least, differing, self.alone.difference, examples)
        return None if least is None else min(100.0, least)


def compare(
    values: Values, clusters: Clusters, baseline: str | None = None, seed: int = SEED
) -> tuple[Comparison, ...]:
    """Compare all pairs of systems, or each with the baseline (as a), by shared metrics.

    `values` holds per-example values, 0..100, by system and metric. Differences monitored while
    examples came in are tested by the clusters' `sequence`.

    Raises:
        UsageError: the baseline is none of the systems.
    """
    check_baseline(baseline, list(values))
    measured = measure(values, clusters, baseline, seed)
    return tuple(comparison for family in measured.values() for comparison in corrected(family))


def measure(
    values: Values, clusters: Clusters, baseline: str | None = None, seed: int = SEED
) -> dict[str, list[Measured]]:
    """Measure the differences of each pair of systems, for the metrics that both have."""
    measured = _measure(values, clusters, baseline, seed)
    if clusters.sequence is None:
        return measured
    for metric, family in measured.items():
        for index, pair in enumerate(family):
            a, b = (values[name][metric] for name in (pair.alone.a, pair.alone.b))
            difference = np.subtract(b, a, dtype=np.float64)
            low, high, p, kind = monitored_difference(difference, clusters)
            test = f"{SEQUENCE}-{kind}"
            alone = replace(pair.alone, low=low, high=high, p=p, test=test, design_effect=None)
            family[index] = replace(pair, alone=alone)
    return measured


def _measure(
    values: Values, clusters: Clusters, baseline: str | None, seed: int
) -> dict[str, list[Measured]]:
    pairs = _pairs(list(values), baseline)
    metrics = dict.fromkeys(name for by_metric in values.values() for name in by_metric)
    wanted = [(m, a, b) for m in metrics for a, b in pairs if m in values[a] and m in values[b]]
    measured: dict[str, list[Measured]] = {metric: [] for metric, *_ in wanted}
    block = max(1, _CELLS // max(1, clusters.examples))  # of many pairs, to save memory
    for start in range(0, len(wanted), block):
        part = wanted[start : start + block]
        for (metric, *_), pair in zip(part, _of_pairs(values, part, clusters, seed), strict=True):
            measured[metric].append(pair)
    return measured


def _of_pairs(
    values: Values, wanted: Sequence[tuple[str, str, str]], clusters: Clusters, seed: int
) -> Iterator[Measured]:
    columns = np.column_stack(
        [np.subtract(values[b][metric], values[a][metric]) for metric, a, b in wanted]
    ).astype(np.float64, copy=False)
    means = difference_intervals(columns, clusters)
    tests = sign_flip_tests(columns, clusters, seed)
    sums = clusters.sums(columns)
    tails = power.share_of_few(sums).tolist()
    skews = power.skewness(sums - clusters.sizes[:, None] * means.values) * np.sign(means.values)
    wins = (columns > _EPSILON).sum(axis=0).tolist()
    losses = (columns < -_EPSILON).sum(axis=0).tolist()
    intervals = means.intervals()
    for index, (metric, a, b) in enumerate(wanted):
        low, high, effect = intervals[index]
        alone = Comparison(
            a=a,
            b=b,
            metric=metric,
            difference=float(means.values[index]),
            low=low,
            high=high,
            p=tests[index].p,
            p_holm=tests[index].p,
            test=tests[index].test,
            wins=wins[index],
            ties=clusters.examples - wins[index] - losses[index],
            losses=losses[index],
            detectable=None,
            design_effect=effect,
        )
        error, skew = float(means.errors[index]), float(skews[index])
        yield Measured(alone, error, tails[index], skew, clusters)


def corrected(family: Sequence[Measured]) -> list[Comparison]:
    """Correct a family's comparisons for their number, and add what each could detect."""
    p_values = [pair.alone.p for pair in family]
    comparisons = []
    for pair, p, level in zip(family, holm(p_values), _levels(p_values), strict=True):
        comparison = replace(pair.alone, p_holm=p)
        detectable = pair.detectable(level)
        if detectable is not None and not comparison.is_real and not comparison.is_monitored:
            detectable = max(detectable, abs(comparison.difference))  # it was not detected
        comparisons.append(replace(comparison, detectable=detectable))
    return comparisons


def metric_label(metric: str) -> str:
    """Format a metric's name for sentences: "EM", "F1", "rougeL"."""
    return metric.upper() if len(metric) < 3 else metric


def check_baseline(baseline: str | None, systems: Sequence[str]) -> None:
    """Raise UsageError if the baseline is not one of several systems."""
    if baseline is not None and baseline not in systems:
        raise UsageError(
            f'the baseline "{baseline}" is not one of the systems {", ".join(systems)}'
        )
    if baseline is not None and len(systems) == 1:
        raise UsageError(f'there is nothing to compare the baseline "{baseline}" with; add a file')


def _pairs(systems: Sequence[str], baseline: str | None) -> list[tuple[str, str]]:
    return [
        (a, b) if baseline in (None, a) else (b, a)
        for a, b in combinations(systems, 2)
        if baseline in (None, a, b)
    ]


def _levels(p_values: Sequence[float]) -> list[float]:
    """Return the level at which Holm's correction tests each p, given all the others.

    It follows Holm's steps through the others until one is not significant.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    total, rejected = len(order), 0
    while rejected < total and p_values[order[rejected]] * (total - rejected) < SIGNIFICANT:
        rejected += 1
    levels = [SIGNIFICANT / (total - rejected) if rejected < total else SIGNIFICANT] * total
    for step, index in enumerate(order[:rejected]):
        # Without this one, the next are tested at stricter levels.
        others = step
        for other in order[step + 1 : rejected]:
            if p_values[other] * (total - others) >= SIGNIFICANT:
                break
            others += 1
        levels[index] = SIGNIFICANT / (total - others)
    return levels
