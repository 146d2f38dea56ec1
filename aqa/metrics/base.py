"""The type of metrics, and their options."""

from collections.abc import Callable
from dataclasses import dataclass, field

from aqa.metrics.pairs import Pairs
from aqa.progress import Progress, SilentProgress
from aqa.records import Score

# Returns the corpus score of predictions with values per example, 0..100, unrounded.
Metric = Callable[[Pairs], Score]


@dataclass(frozen=True, slots=True)
class MetricOptions:
    """Options of metrics that use a model; None leaves the choice to the metric.

    `model` is a hub name or a local folder; `num_layers` is the layer whose states are compared.
    `bf16` computes in bfloat16, which is faster and slightly less exact. `cache` keeps
    references' embeddings on disk. `progress` shows slow work.
    """

    model: str | None = None
    num_layers: int | None = None
    bf16: bool = False
    cache: bool = True
    progress: Progress = field(default_factory=SilentProgress)
