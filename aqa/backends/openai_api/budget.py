"""What a run has spent and may still spend; nothing starts that could pass a cap."""

from dataclasses import replace

from aqa.backends.openai_api.prices import Price
from aqa.runs.spending import SpendingRecord
from aqa.spent import Spent


class Budget:
    """Tokens and money: spent for certain, and reserved for what is in flight."""

    def __init__(self, price: Price | None, max_cost: float | None, max_tokens: int | None) -> None:
        self.price = price
        self._max_cost = max_cost
        self._max_tokens = max_tokens
        self.spent = Spent(cost=0.0 if price else None)
        self._reserved = Spent(cost=0.0)
        self._under_way = Spent()
        self._record: SpendingRecord | None = None

    def keep_in(self, record: SpendingRecord) -> None:
        """Write down what may be spent before each request; what batches may take, theirs knows."""
        self._record = record

    def priced(self, spent: Spent) -> Spent:
        """The tokens of one request with their cost."""
        return spent if self.price is None else replace(spent, cost=self.price.cost(spent))

    def at_most(self, read: int, written: int) -> Spent:
        """What one request of at most so many tokens can't exceed."""
        cost = None if self.price is None else self.price.highest(read, written)
        return Spent(read, written, cost=cost)

    def has_room(self, worst: Spent) -> bool:
        """Whether a request that takes so much at worst can't pass a cap."""
        total = self.spent + self._reserved + worst
        if self._max_tokens is not None and total.input + total.output > self._max_tokens:
            return False
        return self._max_cost is None or (total.cost or 0.0) <= self._max_cost

    def reserve(self, worst: Spent) -> None:
        """Put aside what a request may take."""
        self._reserved += worst

    def settle(self, worst: Spent, used: Spent) -> None:
        """A request has ended: what it took is spent, the rest of its reserve is free again."""
        self._reserved -= worst
        self.spent += used

    def start(self, worst: Spent) -> None:
        """Reserve what a request may take, on disk before it is sent."""
        self.reserve(worst)
        self._under_way += worst
        self.write()

    def end(self, worst: Spent, used: Spent) -> None:
        """Settle a request that was started."""
        self.settle(worst, used)
        self._under_way -= worst
        self.write()

    def write(self) -> None:
        """Put on disk what is spent, and what may be by the requests under way."""
        if self._record is not None:
            self._record.write(self.spent + self._under_way)

    def as_text(self) -> str:
        """What was spent of which cap, in words."""
        parts = []
        if self._max_cost is not None:
            parts.append(f"${self.spent.cost or 0.0:.4f} of --max-cost {self._max_cost:g}")
        if self._max_tokens is not None:
            used = self.spent.input + self.spent.output
            parts.append(f"{used:,} tokens of --max-tokens-total {self._max_tokens:,}")
        return " and ".join(parts)
