"""What people's verdicts on a part of the answers say of all."""

from dataclasses import asdict, dataclass
from typing import Any

from aqa.tables import Figure, Row


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

    def long_row(self) -> Row:
        """Give the row of the long table, whose metric is "labels"."""
        values = [Figure(value) for value in (self.difference, self.low, self.high)]
        return Row([self.b, "labels", *values, self.n, *[""] * 4, self.a, "", ""])

    def __str__(self) -> str:
        return (
            f"by people's verdicts {self.b} - {self.a} is {self.difference:+.1f} points (95 %:"
            f" {self.low:.1f} to {self.high:.1f}), from {self.n} labels and what is known of all"
            " answers"
        )
