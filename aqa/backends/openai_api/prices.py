"""What tokens cost and how many fit, by the config or by the package genai-prices."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aqa.backends.openai_api.access import server_url
from aqa.config.backend_options import Gpt4Options
from aqa.records import Spent

if TYPE_CHECKING:
    from genai_prices.types import PriceCalculation

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens, and where that is known from."""

    input: float
    output: float
    cached_input: float
    source: str

    def cost(self, spent: Spent) -> float:
        """What these tokens cost."""
        return (
            (spent.input - spent.cached) * self.input
            + spent.cached * self.cached_input
            + spent.output * self.output
        ) / MILLION

    def of_batches(self, share: float) -> "Price":
        """The price of the same tokens through the Batch API.

        Cached input counts as any other: most models have no lower price for it there.
        """
        read, written = self.input * share, self.output * share
        return Price(read, written, read, f"{self.source}, of which batches cost {share:.0%}")

    def shown(self) -> str:
        """The price in words."""
        return (
            f"${self.input:g} for a million input tokens (${self.cached_input:g} if cached),"
            f" ${self.output:g} of output, by {self.source}"
        )


def find_price(options: Gpt4Options) -> Price | None:
    """The price of the model; None where nobody knows it.

    Where a price depends on the length of a request, the highest one is taken.
    """
    if given := options.price:
        cached = given.input if given.cached_input is None else given.cached_input
        return Price(given.input, given.output, cached, "backend.price")
    if options.model.startswith("ft:"):
        return None  # fine-tuned models have prices of their own
    found = _look_up(options)
    if found is None:
        return None
    known = found.model_price
    read, written = _highest(known.input_mtok), _highest(known.output_mtok)
    if read is None or written is None:
        return None
    from importlib.metadata import version

    kept = _highest(known.cache_read_mtok)
    source = f"genai-prices {version('genai-prices')}"
    return Price(read, written, read if kept is None else kept, source)


def find_context(options: Gpt4Options) -> int | None:
    """Tokens of prompt and answer that the model has room for; None where nobody knows it."""
    found = _look_up(options)
    return None if found is None else found.model.context_window


def _look_up(options: Gpt4Options) -> "PriceCalculation | None":
    """What genai-prices knows of the model at this server."""
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        return None
    try:
        return calc_price(
            Usage(input_tokens=1, output_tokens=1),
            model_ref=options.model,
            provider_api_url=server_url(options),
        )
    except LookupError:
        return None


def _highest(price: object) -> float | None:
    """A price, or the highest of its tiers."""
    if price is None:
        return None
    tiers = getattr(price, "tiers", None)
    if tiers is None:
        return float(str(price))
    return max(float(str(getattr(price, "base"))), *(float(str(t.price)) for t in tiers))  # noqa: B009
