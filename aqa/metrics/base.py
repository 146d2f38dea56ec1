"""What a metric is, and the options it may have."""

from collections.abc import Callable
from dataclasses import dataclass, field

from aqa.metrics.pairs import Pairs
from aqa.progress import Progress, SilentProgress
from aqa.records import Score

# Gives the corpus score of predictions with its values per example, 0..100, unrounded.
Metric = Callable[[Pairs], Score]


@dataclass(frozen=True, slots=True)
class MetricOptions:
    """Options of metrics that read with a model; None leaves the choice to the metric.

    `model` is a name on the hub or a local folder, `num_layers` the layer whose states are
    compared. `bf16` computes in bfloat16, faster and a little less exact.
    `cache` keeps embeddings of references on disk. `progress` shows what takes long.
    """

    model: str | None = None
    num_layers: int | None = None
    bf16: bool = False
    cache: bool = True
    progress: Progress = field(default_factory=SilentProgress)
