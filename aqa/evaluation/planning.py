"""How many questions would show a difference: planned from those that were asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from aqa.evaluation.comparison import Comparison
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.power import needed_clusters
from aqa.runs.files import Facts


@dataclass(frozen=True, slots=True)
class Need(Facts):
    """Questions, in clusters like those asked, that show a true `difference` in four of five tests.

    `questions` and `clusters` are None where those asked show no difference at all, so that
    nothing can be planned from them.
    """

    a: str
    b: str
    metric: str
    difference: float
    questions: int | None = None
    clusters: int | None = None

    def __str__(self) -> str:
        systems = f"{self.a} and {self.b}"
        what = f"to see a difference of {self.difference:g} {self.metric} between {systems}"
        if self.questions is None:
            return f"{what}: these questions are too few to plan from"
        by = f" in {self.clusters:,} clusters" if self.clusters != self.questions else ""
        return f"{what} in four of five tests of fixed size: about {self.questions:,} questions{by}"


def plan(
    comparisons: Sequence[Comparison], clusters: Clusters, difference: float
) -> tuple[Need, ...]:
    """Plan each comparison anew, corrected alike, for a true difference of so many points.

    See `needed_clusters`; Miller (2024), "Adding Error Bars to Evals", section 5.
    """
    found = []
    for one in comparisons:
        pair = (one.a, one.b, one.metric, difference)
        if one.detectable is None or one.detectable >= 100:
            found.append(Need(*pair))
            continue
        count = needed_clusters(clusters.count, one.detectable, difference, one.differing)
        found.append(Need(*pair, ceil(count * clusters.examples / clusters.count), count))
    return tuple(found)
