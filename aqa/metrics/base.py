"""What a metric is, and the options it may have."""

from dataclasses import dataclass
from typing import Protocol

from aqa.metrics.pairs import Pairs
from aqa.records import Score


@dataclass(frozen=True, slots=True)
class MetricOptions:
    """Options of metrics that read with a model; None leaves the choice to the metric.

    `model` is a name on the hub or a local folder, `num_layers` the layer whose states are
    compared, `language` "en" or "ko".
    """

    model: str | None = None
    num_layers: int | None = None
    language: str | None = None


class Metric(Protocol):
    """Scores predictions; a metric is a file in this folder and a line in METRICS."""

    def __init__(self, options: MetricOptions) -> None:
        """Store the options; load nothing."""

    def score(self, pairs: Pairs) -> Score:
        """Give the corpus score with its values per example, 0..100, unrounded."""
