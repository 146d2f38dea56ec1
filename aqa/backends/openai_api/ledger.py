"""What a run through an API has spent in all its sessions, may still spend, and would cost."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from aqa.backends.openai_api.prices import Price, find_price
from aqa.backends.openai_api.tokens import GUESS_ERROR
from aqa.config.backend_options import Gpt4Options
from aqa.errors import StoppedError
from aqa.runs.spending import SpendingRecord
from aqa.spent import CostEstimate, Spent

LEAST = 1e-6  # dollars; less comes of rounding
UNKNOWN_PRICE = "not known; set backend.price.input and backend.price.output"


class Ledger:
    """Tokens and money: spent for certain, and reserved for what is in flight.

    `price` is that of what this process asks: `live_price` one by one, or `batch_price` through the
    Batch API; None where nobody knows it. Nothing starts that could pass a cap. Where one
    took more than it could at worst, since the server heeds no limit of an answer, so may each.
    """

    def __init__(self, options: Gpt4Options) -> None:
        self._options = options
        self.live_price, self.batch_price = find_price(options), find_price(options, batch=True)
        self.price = self.batch_price if options.batch_api else self.live_price
        self._by_tier: dict[str, Price | None] = {"": self.price}
        self.spent = Spent(cost=0.0 if self.price else None)
        self.elsewhere = Spent()  # by other runs under the same caps
        self._reserved, self._under_way = Spent(cost=0.0), Spent()
        self._open, self._excess = 0, Spent()  # of one request beyond its worst case
        self._record: SpendingRecord | None = None

    def price_in(self, tier: str) -> Price | None:
        """The price of a live answer by its service tier: a project may have set another one."""
        if tier not in self._by_tier:
            options = self._options.model_copy(update={"service_tier": tier})
            self._by_tier[tier] = find_price(options) or self.price
        return self._by_tier[tier]

    def shown_price(self) -> str:
        """The prices in words, of each service tier that was met."""
        met = dict.fromkeys(price.shown() for price in self._by_tier.values() if price)
        return "; ".join(met) or UNKNOWN_PRICE

    def resume(self, kept: Spent, facts: Mapping[str, object], record: SpendingRecord) -> None:
        """Count what earlier sessions spent: on what is kept, and beside it by their `to_json`.

        What one that was killed may have spent in all is in the `record`, to which is written
        what may be spent before each request; what batches may take, theirs knows.
        """
        known = self._in_money(kept) + Spent.read(facts.get("unfinished"))
        self.spent += known.highest(self._in_money(record.read()))
        self._record = record

    def has_room(self, worst: Spent) -> bool:
        """Whether a request that takes so much at worst can't pass a cap."""
        more = worst + self._excess * (self._open + 1)
        total, options = self.spent + self.elsewhere + self._reserved + more, self._options
        most = options.max_tokens_total
        if most is not None and total.input + total.output > most:
            return False
        return options.max_cost is None or (total.cost or 0.0) <= options.max_cost

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
        self._open += 1
        self.write()

    def end(self, worst: Spent, used: Spent) -> None:
        """Settle a request that was started."""
        self.settle(worst, used)
        self._under_way -= worst
        self._open -= 1
        self._excess = self._excess.highest(used - worst)
        self.write()

    def write(self) -> None:
        """Put on disk what is spent by now, and what is under way at its worst."""
        if self._record is not None:
            self._record.write(self.spent + self._under_way + self._excess * self._open)

    def stopped(self) -> StoppedError:
        """The end of a run that has no room for what is left."""
        return StoppedError(
            f"stopped at {self._as_text()}: what is left could exceed it; raise it and run the same"
            " command again to resume"
        )

    def _as_text(self) -> str:
        """What was spent of which cap, in words."""
        parts, options, spent = [], self._options, self.spent + self.elsewhere
        if options.max_cost is not None:
            parts.append(f"${spent.cost or 0.0:.4f} of --max-cost {options.max_cost:g}")
        if options.max_tokens_total is not None:
            used = spent.input + spent.output
            parts.append(f"{used:,} tokens of --max-tokens-total {options.max_tokens_total:,}")
        return " and ".join(parts)

    def to_json(self, kept: Spent) -> dict[str, object]:
        """What is spent, for the manifest: all, and apart what was not on anything that is kept.

        That are attempts at examples that were never finished, which are in no journal.
        """
        unfinished = self.spent - self._in_money(kept)
        is_some = unfinished.input or unfinished.output or (unfinished.cost or 0.0) > LEAST
        found: dict[str, object] = {"spent": self.spent.to_json()}
        return {**found, "unfinished": unfinished.to_json()} if is_some else found

    def _in_money(self, spent: Spent) -> Spent:
        """With its cost, should no price have been known at the time."""
        if spent.cost is not None or self.price is None:
            return spent
        return replace(spent, cost=self.price.least(spent))

    def live(self) -> dict[str, float | str]:
        """Tokens and money so far, to show."""
        shown: dict[str, float | str] = {"tokens": f"{self.spent.input + self.spent.output:,}"}
        if self.spent.cost is not None:
            shown["cost"] = f"${self.spent.cost:.4f}"
        return shown

    def estimate(self, prompts: Iterable[int], longest_answer: int, exact: bool) -> CostEstimate:
        """What prompts of so many tokens each, exact or guessed, would take."""
        examples = tokens = 0
        low = high = 0.0
        few, many = (1.0, 1.0) if exact else GUESS_ERROR
        for count in prompts:
            examples += 1
            tokens += count
            if self.price is not None:
                low += self.price.cost(Spent(round(count * few), 1))
                high += self.price.highest(round(count * many), longest_answer)
        longest, options = examples * longest_answer, self._options
        rates = [(examples, options.requests_per_minute)]
        rates.append((tokens + longest, options.tokens_per_minute))
        minutes = [amount / rate for amount, rate in rates if rate and not options.batch_api]
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
