"""Tokens and money, spent or estimated."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from operator import add, sub
from typing import Any, TypeVar

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens that were paid for and their cost in US dollars; None if the price is unknown.

    `cached` is the part of `input` that the server had cached from another request,
    `cache_writes` the part that it cached for later ones.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    cost: float | None = None
    cache_writes: int = 0

    def to_json(self) -> dict[str, int | float | None]:
        """Return what a manifest contains."""
        return {
            "input_tokens": self.input,
            "cached_input_tokens": self.cached,
            "output_tokens": self.output,
            **({"cache_write_tokens": self.cache_writes} if self.cache_writes else {}),
            "usd": None if self.cost is None else round(self.cost, 6),
        }

    @classmethod
    def read(cls, stored: object) -> "Spent":
        """Read what `to_json` returned; zero if there is nothing."""
        if not isinstance(stored, Mapping):
            return cls()
        names = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens")
        read, written, cached, cache_writes = (int(stored.get(name, 0)) for name in names)
        cost = stored.get("usd")
        return cls(read, written, cached, None if cost is None else float(cost), cache_writes)

    def __add__(self, other: "Spent") -> "Spent":
        return self._combined(other, add)

    def __sub__(self, other: "Spent") -> "Spent":
        return self._combined(other, sub)

    def __mul__(self, times: int) -> "Spent":
        return self._combined(self, lambda figure, _: figure * times)

    def highest(self, other: "Spent") -> "Spent":
        """Return the larger of each figure."""
        return self._combined(other, max)

    def _combined(self, other: "Spent", join: Callable[[Any, Any], Any]) -> "Spent":
        """Combine each figure with the other's; an unknown cost counts as 0 beside a known one."""
        has_cost = self.cost is not None or other.cost is not None
        return Spent(
            join(self.input, other.input),
            join(self.output, other.output),
            join(self.cached, other.cached),
            join(self.cost or 0.0, other.cost or 0.0) if has_cost else None,
            join(self.cache_writes, other.cache_writes),
        )


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """What a prediction would cost, estimated before it begins.

    `exact`: the model's own tokenizer counted. Costs are in US dollars, the lower for answers of
    one token, the higher for the longest, with a margin if tokens are guessed; None if no price is
    known, which `price` explains. `seconds` follow from the given rate limits; None without any.
    Tokens and costs include all `samples` per example. `cached` examples have their answers in the
    cache and cost nothing; `answered` others have theirs in the run folder.
    """

    model: str
    examples: int
    unfit: int
    input_tokens: int
    exact: bool
    output_tokens: tuple[int, int]
    cost: tuple[float, float] | None
    price: str
    seconds: float | None
    cached: int = 0
    answered: int = 0
    samples: int = 1

    def __add__(self, other: "CostEstimate") -> "CostEstimate":
        """Add two estimates; without a price of one, the sum has no cost."""
        counts = ("examples", "unfit", "input_tokens", "cached", "answered")
        total = replace(
            self,
            exact=self.exact and other.exact,
            output_tokens=_added(self.output_tokens, other.output_tokens),
            cost=self.cost and other.cost and _added(self.cost, other.cost),
            **{name: getattr(self, name) + getattr(other, name) for name in counts},
        )
        if self.seconds is None or other.seconds is None:
            return replace(total, seconds=self.seconds if other.seconds is None else other.seconds)
        return replace(total, seconds=self.seconds + other.seconds)


def _added(first: tuple[Number, Number], second: tuple[Number, Number]) -> tuple[Number, Number]:
    return first[0] + second[0], first[1] + second[1]
