"""Find prices and context sizes of models, in the config or the package genai-prices."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aqa.backends.openai_api.access import server_url
from aqa.config.backend_options import Gpt4Options
from aqa.spent import Spent

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice, PriceCalculation

MILLION = 1_000_000
CACHE_WRITE = 1.25  # times the input price: OpenAI's and Anthropic's rate, where they charge for it
CACHED_FROM = 1024  # tokens; shorter prompts are not cached (OpenAI's guide)
BATCH_SHARE = 0.5  # of the live price; OpenAI's
SAME_PRICE = {None, "auto", "default", "standard"}  # service tiers at the normal price
CHEAPER = {"flex"}  # tiers that cost at most the normal price


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars per million tokens, for requests that read more than `above` tokens."""

    above: int
    input: float
    output: float
    cached_input: float
    cache_write: float
    request: float = 0.0  # dollars per request, in addition to its tokens

    def cost(self, spent: Spent) -> float:
        """Return the cost of one request's tokens; without input tokens there was no request."""
        read = spent.input - spent.cached - spent.cache_writes
        of_cache = spent.cached * self.cached_input + spent.cache_writes * self.cache_write
        tokens = read * self.input + of_cache + spent.output * self.output
        return self.request * (spent.input > 0) + tokens / MILLION


@dataclass(frozen=True, slots=True)
class Price:
    """Rates by request length, shortest first, and their source."""

    tiers: tuple[Rates, ...]
    source: str

    def cost(self, spent: Spent) -> float:
        """Return the cost of one request, whose length determines the rates for all its tokens."""
        fitting = [tier for tier in self.tiers if spent.input > tier.above or not tier.above]
        return fitting[-1].cost(spent)

    def highest(self, read: int, written: int) -> float:
        """Return the most that a request can cost, even if all its input is newly cached."""
        cacheable = read if read >= CACHED_FROM else 0
        return max(self.cost(Spent(read, written, cache_writes=n)) for n in (0, cacheable))

    def least(self, spent: Spent) -> float:
        """Return the cost of several requests together, if all were short."""
        return self.tiers[0].cost(spent)

    def describe(self) -> str:
        """Describe the price."""
        first = self.tiers[0]
        text = (
            f"${first.input:g} for a million input tokens (${first.cached_input:g} if cached),"
            f" ${first.output:g} of output"
        )
        for rates in self.tiers[1:]:
            text += (
                f", above {rates.above:,} tokens of a prompt ${rates.input:g} and ${rates.output:g}"
            )
        if first.request:
            text += f", and ${first.request * 1000:g} for a thousand requests"
        return f"{text}, by {self.source}"


def priced(spent: Spent, price: Price | None) -> Spent:
    """Add the cost of one request to its tokens, if known; at least what the server reports."""
    return spent if price is None else replace(spent, cost=max(price.cost(spent), spent.cost or 0))


def find_price(options: Gpt4Options, batch: bool = False) -> Price | None:
    """Return the model's price, live or through the Batch API; None if unknown."""
    live = _live_price(options)
    if live is None or not batch:
        return live
    if options.price is None and options.batch.price_share is None:
        listed = _look_up(options, processing="batch")
        variants = listed.model.price_variants if listed else None
        if listed and any(variant.when.get("processing") == "batch" for variant in variants or ()):
            return _as_price(listed.model_price, "as a batch")
    ratio = BATCH_SHARE if options.batch.price_share is None else options.batch.price_share
    # No discount for cached input: not every model has one in batches.
    tiers = tuple(
        Rates(tier.above, tier.input * ratio, tier.output * ratio, tier.input * ratio,
              tier.cache_write * ratio, tier.request)
        for tier in live.tiers
    )  # fmt: skip
    return Price(tiers, f"{live.source}, of which batches cost {ratio:.0%}")


def _live_price(options: Gpt4Options) -> Price | None:
    if rates := options.price:
        cached = rates.input if rates.cached_input is None else rates.cached_input
        cache_write = rates.input * CACHE_WRITE if rates.cache_write is None else rates.cache_write
        return Price((Rates(0, rates.input, rates.output, cached, cache_write),), "backend.price")
    if options.model.startswith("ft:"):
        return None  # fine-tuned models have their own prices
    tier = None if options.service_tier in SAME_PRICE else options.service_tier
    listed = _look_up(options, **({} if tier is None else {"service_tier": tier}))
    if listed is None:
        return None
    variants = listed.model.price_variants or ()
    has_tier = any(variant.when.get("service_tier") == tier for variant in variants)
    if tier is not None and tier not in CHEAPER and not has_tier:
        return None
    return _as_price(listed.model_price, f"service tier {tier}" if tier and has_tier else "")


def find_context(options: Gpt4Options) -> int | None:
    """Return the model's context size for prompt and answer; None if unknown."""
    listed = _look_up(options)
    return None if listed is None else listed.model.context_window


def _look_up(options: Gpt4Options, **context: str) -> "PriceCalculation | None":
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        return None
    try:
        return calc_price(
            Usage(input_tokens=1, output_tokens=1),
            model_ref=options.model,
            provider_api_url=server_url(options),
            price_context=dict(context) or None,
        )
    except LookupError:
        return None


def _as_price(listed: "ModelPrice", variant: str) -> Price | None:
    kinds = (listed.input_mtok, listed.output_mtok, listed.cache_read_mtok, listed.cache_write_mtok)
    if kinds[0] is None or kinds[1] is None:
        return None
    from importlib.metadata import version

    starts = sorted({0, *(tier.start for kind in kinds for tier in getattr(kind, "tiers", ()))})
    fee = (_price_above(listed.requests_kcount, 0) or 0.0) / 1000
    rates = []
    for start in starts:
        read, written, cached, cache_write = (_price_above(kind, start) for kind in kinds)
        assert read is not None
        assert written is not None
        # Without a price of its own in the table, it costs as much as other input.
        cached, cache_write = (read if kind is None else kind for kind in (cached, cache_write))
        rates.append(Rates(start, read, written, cached, cache_write, fee))
    source = f"genai-prices {version('genai-prices')}"
    return Price(tuple(rates), f"{source}, {variant}" if variant else source)


def _price_above(price: object, start: int) -> float | None:
    """Return the price of requests longer than `start`; None if there is none."""
    if price is None:
        return None
    base = getattr(price, "base", price)
    for tier in getattr(price, "tiers", ()):
        if tier.start <= start:
            base = tier.price
    return float(str(base))
