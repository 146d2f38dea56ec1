"""What was paid for: tokens, and their price where it is known."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens that were paid for and what they cost in US dollars; None where no price is known.

    `cached` are those of `input` that the server had kept from another request, `cache_writes`
    those that it kept for the next ones.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    cost: float | None = None
    cache_writes: int = 0

    def __add__(self, other: "Spent") -> "Spent":
        known = self.cost is not None or other.cost is not None
        cost = (self.cost or 0.0) + (other.cost or 0.0) if known else None
        return Spent(
            self.input + other.input,
            self.output + other.output,
            self.cached + other.cached,
            cost,
            self.cache_writes + other.cache_writes,
        )

    def __sub__(self, other: "Spent") -> "Spent":
        cost = None if other.cost is None else -other.cost
        return self + Spent(-other.input, -other.output, -other.cached, cost, -other.cache_writes)

    def highest(self, other: "Spent") -> "Spent":
        """The larger of each figure; a cost that is not known is the smaller one."""
        costs = [spent.cost for spent in (self, other) if spent.cost is not None]
        return Spent(
            max(self.input, other.input),
            max(self.output, other.output),
            max(self.cached, other.cached),
            max(costs, default=None),
            max(self.cache_writes, other.cache_writes),
        )
