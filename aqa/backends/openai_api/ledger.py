"""Track what a run has spent in all sessions, may still spend, and would cost."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from aqa.backends.openai_api.access import is_openai, server_url
from aqa.backends.openai_api.prices import Price, find_price
from aqa.backends.openai_api.tokens import GUESS_ERROR
from aqa.config.backend_options import Gpt4Options
from aqa.errors import StoppedError
from aqa.runs.spending import SpendingRecord
from aqa.spent import CostEstimate, Spent

LEAST = 1e-6  # dollars; less is rounding
SLACK = 16  # tokens; servers count the marks of an answer's end differently
UNKNOWN_PRICE = "not known; set backend.price.input and backend.price.output"


class Ledger:
    """Tokens and money: spent, and reserved for requests in flight.

    `price` is what this process pays: `live_price`, or `batch_price` with the Batch API; None if
    unknown. Nothing starts that could exceed a cap. If an answer took more than its worst case,
    because the server ignores the limit on answers, all others are assumed to take as much more,
    or as much as the model's context has room for: this is `excess`.
    """

    def __init__(self, options: Gpt4Options) -> None:
        self._options = options
        self.live_price, self.batch_price = find_price(options), find_price(options, batch=True)
        self.price = self.batch_price if options.batch_api else self.live_price
        self._by_tier: dict[str, Price | None] = {"": self.price}
        self.spent = Spent(cost=0.0 if self.price else None)
        self.elsewhere = Spent()  # of other runs under the same caps
        self._at_server = self._under_way = Spent()  # batches; live requests
        self._open, self.excess = 0, Spent()  # one request's cost beyond its worst case
        self._has_caps = options.max_cost is not None or options.max_tokens_total is not None
        is_known = options.provider == "azure" or is_openai(server_url(options))
        is_known |= options.price is None and self.live_price is not None
        # Whether a cap relies on a server that may ignore the limit on answers.
        self.is_untried = self._has_caps and not is_known
        self._record: SpendingRecord | None = None

    def price_in(self, tier: str) -> Price | None:
        """Return the price of an answer by its service tier, which the server may choose."""
        if tier not in self._by_tier:
            options = self._options.model_copy(update={"service_tier": tier})
            self._by_tier[tier] = find_price(options) or self.price
        return self._by_tier[tier]

    def describe_price(self) -> str:
        """Describe the price of each service tier used."""
        prices = dict.fromkeys(price.describe() for price in self._by_tier.values() if price)
        return "; ".join(prices) or UNKNOWN_PRICE

    def resume(
        self,
        answered: Spent,
        facts: Mapping[str, object],
        record: SpendingRecord,
        unlimited: Spent,
    ) -> None:
        """Count what earlier sessions spent: on `answered` examples, and others by their `to_json`.

        `record` holds the total that a killed session may have spent. What may be spent is written
        to it before each request; that of batches is in their own record.
        """
        earlier = self._in_money(answered) + Spent.read(facts.get("unfinished"))
        self.spent += earlier.highest(self._in_money(record.read()))
        if "excess" in facts:
            self._distrust(Spent.read(facts["excess"]), unlimited)
        self._record = record

    def may_start(self, worst: Spent) -> bool:
        """Whether one more live request of this worst case can't exceed a cap."""
        return self.has_room(worst + self.excess * (self._open + 1))

    def has_room(self, more: Spent) -> bool:
        """Whether so much more than what is reserved can't exceed a cap."""
        options, reserved = self._options, self._at_server + self._under_way
        total = self.spent + self.elsewhere + reserved + more
        most = options.max_tokens_total
        if most is not None and total.input + total.output > most:
            return False
        return options.max_cost is None or (total.cost or 0.0) <= options.max_cost

    def reserve(self, worst: Spent) -> None:
        """Reserve what requests of a batch may cost."""
        self._at_server += worst

    def settle(self, worst: Spent, used: Spent) -> None:
        """Replace the reserve of a batch by what it cost, except for answers that are kept."""
        self._at_server -= worst
        self.spent += used

    def start(self, worst: Spent) -> None:
        """Reserve what a live request may cost, on disk before it is sent."""
        self._under_way += worst
        self._open += 1
        self.write()

    def end(self, worst: Spent, used: Spent) -> None:
        """Replace the reserve of a live request by what it cost."""
        self._under_way -= worst
        self._open -= 1
        self.spent += used
        self.write()

    def learn(self, worst: Spent, used: Spent, unlimited: Spent) -> bool:
        """Note what an answer took; True if it is the first longer one that matters for a cap.

        `unlimited` is the most that an answer can take beyond its limit.
        """
        is_first = self._has_caps and used.output > worst.output and not self.excess.output
        self._distrust(used - worst, unlimited)
        return is_first

    def _distrust(self, excess: Spent, unlimited: Spent) -> None:
        """Expect so much more of each request; without a limit, as much as there can be."""
        self.excess = self.excess.highest(excess)
        if excess.output > SLACK:
            self.excess = self.excess.highest(unlimited)
        self.is_untried = False

    def write(self) -> None:
        """Record on disk what is spent, and the worst case of what is in flight."""
        if self._record is not None:
            self._record.write(self.spent + self._under_way + self.excess * self._open)

    def stopped(self) -> StoppedError:
        """Return the error for a run whose remaining requests do not fit its caps."""
        return StoppedError(
            f"stopped at {self._as_text()}: what is left could exceed it; raise it and run the same"
            " command again to resume"
        )

    def _as_text(self) -> str:
        parts, options, spent = [], self._options, self.spent + self.elsewhere
        if options.max_cost is not None:
            parts.append(f"${spent.cost or 0.0:.4f} of --max-cost {options.max_cost:g}")
        if options.max_tokens_total is not None:
            used = spent.input + spent.output
            parts.append(f"{used:,} tokens of --max-tokens-total {options.max_tokens_total:,}")
        return " and ".join(parts)

    def to_json(self, answered: Spent) -> dict[str, object]:
        """Return the cost for the manifest: the total, and separately that of unfinished examples.

        The latter are in no journal.
        """
        unfinished = self.spent - self._in_money(answered)
        is_some = unfinished.input or unfinished.output or (unfinished.cost or 0.0) > LEAST
        facts: dict[str, object] = {"spent": self.spent.to_json()}
        if self._has_caps and (self.excess.output or self.excess.cost):
            facts["excess"] = self.excess.to_json()
        return {**facts, "unfinished": unfinished.to_json()} if is_some else facts

    def _in_money(self, spent: Spent) -> Spent:
        """Add the cost, if no price was known at the time."""
        if spent.cost is not None or self.price is None:
            return spent
        return replace(spent, cost=self.price.least(spent))

    def live(self) -> dict[str, float | str]:
        """Tokens and money so far, for display."""
        totals: dict[str, float | str] = {"tokens": f"{self.spent.input + self.spent.output:,}"}
        if self.spent.cost is not None:
            totals["cost"] = f"${self.spent.cost:.4f}"
        return totals

    def estimate(self, prompts: Iterable[int], longest_answer: int, exact: bool) -> CostEstimate:
        """Estimate the cost of prompts with these token counts, exact or guessed."""
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
            price=self.describe_price(),
            seconds=60 * max(minutes) if minutes else None,
        )
