"""What people's verdicts on a part of the answers say of all."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LabelledDifference:
    """The difference b - a that people's verdicts would show, in points, by n labels."""

    a: str
    b: str
    n: int
    difference: float
    low: float
    high: float

    def to_json(self) -> dict[str, Any]:
        """Give what metrics.json holds."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"by people's verdicts {self.b} - {self.a} is {self.difference:+.1f} points (95 %:"
            f" {self.low:.1f} to {self.high:.1f}), from {self.n} labels and what is known of all"
            " answers"
        )
