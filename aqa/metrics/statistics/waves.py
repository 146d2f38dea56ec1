"""The order in which clusters of examples are asked, and the waves after which one looks."""

from collections.abc import Hashable, Sequence
from random import Random

from aqa.metrics.statistics.intervals import FEW

FIRST = 64  # examples in the first wave, and at least in each later one
LIVE = 1.1  # growth of the total number of examples with each wave ...
BATCH = 2.0  # ... if a wave may take a day


def draw_order(strata: Sequence[Hashable], seed: int) -> list[int]:
    """Shuffle clusters, given by their strata, so that each part of the order represents all.

    Each stratum's clusters are spread evenly over the order from a random start, as in systematic
    sampling: Cochran (1977), "Sampling Techniques", chapter 8.
    """
    random = Random(seed)  # noqa: S311  (nothing secret)
    members: dict[Hashable, list[int]] = {}
    for cluster, stratum in enumerate(strata):
        members.setdefault(stratum, []).append(cluster)
    positions = []
    for group in members.values():
        random.shuffle(group)
        start = random.random()
        positions += [((rank + start) / len(group), cluster) for rank, cluster in enumerate(group)]
    return [cluster for _, cluster in sorted(positions)]


def wave_ends(sizes: Sequence[int], growth: float = LIVE) -> list[int]:
    """Return the numbers of clusters at which waves end; `sizes` are theirs, in order.

    They don't depend on results, so a resumed run looks at the same moments.
    """
    ends, total, last = [], 0, 0
    for count, size in enumerate(sizes, 1):
        total += size
        if count >= FEW and total >= max(last + FIRST, last * growth):
            ends.append(count)
            last = total
    if not ends or ends[-1] < len(sizes):
        ends.append(len(sizes))
    return ends
