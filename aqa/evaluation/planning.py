"""Plan how many questions would show a difference, from the questions already asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from aqa.evaluation.comparison import Comparison, metric_label
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.power import needed_clusters, needed_examples
from aqa.metrics.statistics.sign_flips import root
from aqa.runs.files import Facts


@dataclass(frozen=True, slots=True)
class Need(Facts):
    """The questions needed to show a true `difference` in four of five tests.

    They are clustered like those asked. `questions` and `clusters` are None if those asked can
    show no difference, so that nothing can be planned from them.
    """

    a: str
    b: str
    metric: str
    difference: float
    questions: int | None = None
    clusters: int | None = None

    def __str__(self) -> str:
        systems = f"{self.a} and {self.b}"
        points = f"{self.difference:g} {metric_label(self.metric)}"
        what = f"to see a difference of {points} between {systems}"
        if self.questions is None:
            return f"{what}: these questions are too few to plan from"
        by = f" in {self.clusters:,} clusters" if self.clusters != self.questions else ""
        return f"{what} in four of five tests of fixed size: about {self.questions:,} questions{by}"


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """The `detectable` difference, in points, of `questions` in `clusters`, in four of five tests.

    None if they can show none. `differing`: see `Comparison`.
    """

    detectable: float | None
    questions: int
    clusters: int
    differing: float | None = None

    def need(self, a: str, b: str, metric: str, difference: float) -> Need:
        """Plan for another difference; Miller (2024), "Adding Error Bars to Evals", section 5."""
        if self.detectable is None or self.detectable >= 100:
            return Need(a, b, metric, difference)
        if self.differing is not None and self.clusters == self.questions:
            count = needed_examples(self.questions, self.detectable, difference, self.differing)
        else:
            count = needed_clusters(self.clusters, self.detectable, difference, self.differing)
        questions = ceil(count * self.questions / self.clusters)
        return Need(a, b, metric, difference, questions, count)

    def seen_by(self, questions: int) -> float | None:
        """The difference, in points, that so many questions can show; None if they show none."""

        def suffice(difference: float) -> float:
            needed = self.need("", "", "", min(difference, 100.0)).questions
            return -1.0 if needed is None else questions - needed

        return None if suffice(100.0) < 0 else root(suffice)


def plan(
    comparisons: Sequence[Comparison], clusters: Clusters, difference: float
) -> tuple[Need, ...]:
    """Plan each comparison, corrected alike, for a true difference in points."""
    return tuple(
        Sensitivity(pair.detectable, clusters.examples, clusters.count, pair.differing).need(
            pair.a, pair.b, pair.metric, difference
        )
        for pair in comparisons
    )
