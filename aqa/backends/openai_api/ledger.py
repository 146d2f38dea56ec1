"""What a run through an API costs: its prices, its budget over all sessions, and the estimate."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property

from aqa.backends.base import CostEstimate
from aqa.backends.openai_api.budget import Budget
from aqa.backends.openai_api.prices import Price, find_price
from aqa.backends.openai_api.tokens import GUESS_ERROR
from aqa.config.backend_options import Gpt4Options
from aqa.runs.spending import SpendingRecord
from aqa.spent import Spent

LEAST = 1e-6  # dollars; less comes of rounding
UNKNOWN_PRICE = "not known; give backend.price.input and backend.price.output"


class Ledger:
    """Prices are looked up when they are first needed."""

    def __init__(self, options: Gpt4Options) -> None:
        self._options = options

    @cached_property
    def live_price(self) -> Price | None:
        """That of what is asked one by one; None where nobody knows it."""
        return find_price(self._options)

    @cached_property
    def batch_price(self) -> Price | None:
        """That of the same through the Batch API."""
        return find_price(self._options, batch=True)

    @property
    def price(self) -> Price | None:
        """That of what this process asks."""
        return self.batch_price if self._options.batch_api else self.live_price

    @cached_property
    def budget(self) -> Budget:
        """What is spent, and may be."""
        return Budget(self.price, self._options.max_cost, self._options.max_tokens_total)

    def shown_price(self) -> str:
        """The price in words."""
        return self.price.shown() if self.price else UNKNOWN_PRICE

    def resume(self, kept: Spent, facts: Mapping[str, object], record: SpendingRecord) -> None:
        """Count what earlier sessions spent: on what is kept, and beside it by their `to_json`.

        What one that was killed may have spent in all is in the `record`.
        """
        known = self._in_money(kept) + _read(facts.get("unfinished"))
        self.budget.spent += known.highest(self._in_money(record.read()))
        self.budget.keep_in(record)

    def to_json(self, kept: Spent) -> dict[str, object]:
        """What is spent, for the manifest: all, and apart what was not on anything that is kept.

        That are attempts at examples that were never finished, which are in no journal.
        """
        spent = self.budget.spent
        unfinished = spent - self._in_money(kept)
        is_some = unfinished.input or unfinished.output or (unfinished.cost or 0.0) > LEAST
        return {
            "spent": _written(spent),
            **({"unfinished": _written(unfinished)} if is_some else {}),
        }

    def _in_money(self, spent: Spent) -> Spent:
        """With its cost, should no price have been known at the time."""
        if spent.cost is not None or self.price is None:
            return spent
        return replace(spent, cost=self.price.least(spent))

    def live(self) -> dict[str, float | str]:
        """Tokens and money so far, to show."""
        spent = self.budget.spent
        shown: dict[str, float | str] = {"tokens": f"{spent.input + spent.output:,}"}
        if spent.cost is not None:
            shown["cost"] = f"${spent.cost:.4f}"
        return shown

    def cost_range(self, tokens: int, longest_answer: int, exact: bool) -> tuple[float, float]:
        """The least and the most that a prompt of so many tokens costs, if by a guess."""
        if self.price is None:
            return 0.0, 0.0
        few, many = (1.0, 1.0) if exact else GUESS_ERROR
        least = self.price.cost(Spent(round(tokens * few), 1))
        return least, self.price.highest(round(tokens * many), longest_answer)

    def estimate(self, prompts: Iterable[int], longest_answer: int, exact: bool) -> CostEstimate:
        """What prompts of so many tokens each would take."""
        examples = tokens = 0
        low = high = 0.0
        for count in prompts:
            examples += 1
            tokens += count
            least, most = self.cost_range(count, longest_answer, exact)
            low, high = low + least, high + most
        longest = examples * longest_answer
        options = self._options
        minutes = []
        if options.requests_per_minute and not options.batch_api:
            minutes.append(examples / options.requests_per_minute)
        if options.tokens_per_minute and not options.batch_api:
            minutes.append((tokens + longest) / options.tokens_per_minute)
        return CostEstimate(
            model=options.model,
            examples=examples,
            unfit=0,
            input_tokens=tokens,
            exact=exact,
            output_tokens=(examples, longest),
            cost=None if self.price is None else (low, high),
            price=self.shown_price(),
            seconds=60 * max(minutes) if minutes else None,
        )


def _written(spent: Spent) -> dict[str, object]:
    return {
        "input_tokens": spent.input,
        "cached_input_tokens": spent.cached,
        "output_tokens": spent.output,
        **({"cache_write_tokens": spent.cache_writes} if spent.cache_writes else {}),
        "usd": None if spent.cost is None else round(spent.cost, 6),
    }


def _read(written: object) -> Spent:
    """What `_written` made of it; nothing where there is none."""
    if not isinstance(written, Mapping):
        return Spent()
    names = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens")
    read, output, cached, kept = (int(written.get(name, 0)) for name in names)
    cost = written.get("usd")
    return Spent(read, output, cached, None if cost is None else float(cost), kept)
