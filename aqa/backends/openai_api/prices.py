"""What tokens cost and how many fit, by the config or by the package genai-prices."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aqa.backends.openai_api.access import server_url
from aqa.config.backend_options import Gpt4Options
from aqa.spent import Spent

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice, PriceCalculation

MILLION = 1_000_000
CACHE_WRITE = 1.25  # of the input's price: what OpenAI and Anthropic take where they take anything
CACHED_FROM = 1024  # tokens of a prompt; shorter ones are not cached (OpenAI's guide)
BATCH_SHARE = 0.5  # of the price of the same request asked live; OpenAI's
SAME_PRICE = {None, "auto", "default", "standard"}  # service tiers without prices of their own
CHEAPER = {"flex"}  # tiers that cost the live price at most


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars for a million tokens of a request that reads more than `above` tokens."""

    above: int
    input: float
    output: float
    cached_input: float
    cache_write: float
    request: float = 0.0  # dollars for it beside its tokens

    def cost(self, spent: Spent) -> float:
        """What these tokens cost; none at all are no request."""
        read = spent.input - spent.cached - spent.cache_writes
        kept = spent.cached * self.cached_input + spent.cache_writes * self.cache_write
        tokens = read * self.input + kept + spent.output * self.output
        return self.request * (spent.input > 0) + tokens / MILLION

    def times(self, share: float) -> "Rates":
        """The same for this share of the price."""
        names = ("input", "output", "cached_input", "cache_write")
        return replace(self, **{name: getattr(self, name) * share for name in names})


@dataclass(frozen=True, slots=True)
class Price:
    """The rates by the length of a request, shortest first, and where they are known from."""

    tiers: tuple[Rates, ...]
    source: str

    def cost(self, spent: Spent) -> float:
        """What one request cost that took these tokens: its length decides the rates of all."""
        fit = [own for own in self.tiers if spent.input > own.above or not own.above]
        return fit[-1].cost(spent)

    def highest(self, read: int, written: int) -> float:
        """What one request of at most so many tokens can't exceed, were all of it kept anew."""
        kept = read if read >= CACHED_FROM else 0
        return max(self.cost(Spent(read, written, cache_writes=own)) for own in (0, kept))

    def least(self, spent: Spent) -> float:
        """What several requests cost that took these tokens together, if each was a short one."""
        return self.tiers[0].cost(spent)

    def shown(self) -> str:
        """The price in words."""
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
    """The tokens of one request with their cost, if that is known; not less than is told."""
    return spent if price is None else replace(spent, cost=max(price.cost(spent), spent.cost or 0))


def at_most(read: int, written: int, price: Price | None) -> Spent:
    """What one request of at most so many tokens can't exceed."""
    return Spent(read, written, cost=None if price is None else price.highest(read, written))


def find_price(options: Gpt4Options, batch: bool = False) -> Price | None:
    """The price of the model, asked live or through the Batch API; None where nobody knows it."""
    live = _live_price(options)
    if live is None or not batch:
        return live
    if options.price is None and options.batch.price_share is None:
        known = _look_up(options, processing="batch")
        variants = known.model.price_variants if known else None
        if known and any(variant.when.get("processing") == "batch" for variant in variants or ()):
            return _as_price(known.model_price, "as a batch")
    share = BATCH_SHARE if options.batch.price_share is None else options.batch.price_share
    # Cached input counts as any other: not every model has a lower price for it there.
    tiers = tuple(replace(rates, cached_input=rates.input).times(share) for rates in live.tiers)
    return Price(tiers, f"{live.source}, of which batches cost {share:.0%}")


def _live_price(options: Gpt4Options) -> Price | None:
    if given := options.price:
        cached = given.input if given.cached_input is None else given.cached_input
        kept = given.input * CACHE_WRITE if given.cache_write is None else given.cache_write
        return Price((Rates(0, given.input, given.output, cached, kept),), "backend.price")
    if options.model.startswith("ft:"):
        return None  # fine-tuned models have prices of their own
    tier = None if options.service_tier in SAME_PRICE else options.service_tier
    found = _look_up(options, **({} if tier is None else {"service_tier": tier}))
    if found is None:
        return None
    variants = found.model.price_variants or ()
    known = any(variant.when.get("service_tier") == tier for variant in variants)
    if tier is not None and tier not in CHEAPER and not known:
        return None
    return _as_price(found.model_price, f"service tier {tier}" if tier and known else "")


def find_context(options: Gpt4Options) -> int | None:
    """Tokens of prompt and answer that the model has room for; None where nobody knows it."""
    found = _look_up(options)
    return None if found is None else found.model.context_window


def _look_up(options: Gpt4Options, **context: str) -> "PriceCalculation | None":
    """What genai-prices knows of the model at this server, when it is asked in this way."""
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


def _as_price(known: "ModelPrice", way: str) -> Price | None:
    kinds = (known.input_mtok, known.output_mtok, known.cache_read_mtok, known.cache_write_mtok)
    if kinds[0] is None or kinds[1] is None:
        return None
    from importlib.metadata import version

    starts = sorted({0, *(tier.start for kind in kinds for tier in getattr(kind, "tiers", ()))})
    fee = (_at(known.requests_kcount, 0) or 0.0) / 1000
    rates = []
    for start in starts:
        read, written, cached, kept = (_at(kind, start) for kind in kinds)
        assert read is not None
        assert written is not None
        # Where the table has no price for it, the server takes none beside that of any input.
        cached, kept = (read if kind is None else kind for kind in (cached, kept))
        rates.append(Rates(start, read, written, cached, kept, fee))
    source = f"genai-prices {version('genai-prices')}"
    return Price(tuple(rates), f"{source}, {way}" if way else source)


def _at(price: object, start: int) -> float | None:
    """The price of requests that are longer than `start`; None where there is none."""
    if price is None:
        return None
    found = getattr(price, "base", price)
    for tier in getattr(price, "tiers", ()):
        if tier.start <= start:
            found = tier.price
    return float(str(found))
