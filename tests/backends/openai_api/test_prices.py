"""What requests cost: by length, caching, service tier, and the server's own figures."""

import json
from pathlib import Path
from typing import Any

import pytest
from fault_server import Fault, Server, serving
from gpt4_runs import KEY, USAGE, configured, run

from aqa.backends.openai_api.backend import Gpt4Backend
from aqa.backends.openai_api.body_parsing import read_response
from aqa.backends.openai_api.ledger import Ledger
from aqa.backends.openai_api.prices import Price, Rates, find_price, priced
from aqa.backends.openai_api.replies import read_usage
from aqa.config.backend_options import Gpt4Options
from aqa.config.load import build_config
from aqa.errors import ConfigError
from aqa.runs.folder import read_manifest
from aqa.spent import Spent

DETAILS = "prompt_tokens_details"
UPSTREAM = "cost_details"
COUNTS = {"prompt_tokens": 10, "completion_tokens": 1}


def price_of(model: str, **options: Any) -> Price:
    found = find_price(Gpt4Options(model=model, **options))
    assert found is not None
    return found


CLAUDE = {"base_url": "https://api.anthropic.com/v1"}
GEMINI = {"base_url": "https://generativelanguage.googleapis.com/v1beta/openai"}


# US dollars per million tokens, from the providers' pages in November 2026.
@pytest.mark.parametrize(
    ("model", "options", "read", "dollars"),
    [
        ("gpt-4.1", {}, 900_000, (2, 8)),
        ("gpt-5.4", {}, 1000, (2.5, 15)),
        ("gpt-5.4", {}, 272_000, (2.5, 15)),
        ("gpt-5.4", {}, 272_001, (5, 22.5)),
        ("gpt-6.1-sol", {}, 1000, (2, 10)),
        ("gpt-6-luna", {}, 1000, (0.1, 0.5)),
        ("gpt-6-luna", {}, 300_000, (0.2, 0.75)),
        ("claude-sonnet-4-5", CLAUDE, 1000, (3, 15)),
        ("claude-sonnet-4-5", CLAUDE, 200_001, (6, 22.5)),
        ("gemini-2.5-pro", GEMINI, 1000, (1.25, 10)),
        ("gemini-2.5-pro", GEMINI, 200_001, (2.5, 15)),
    ],
)
def test_the_length_of_a_request_decides_its_price(
    model: str, options: dict[str, str], read: int, dollars: tuple[float, float]
) -> None:
    price = price_of(model, **options)
    assert price.cost(Spent(read, 0)) == pytest.approx(read * dollars[0] / 1e6)
    assert price.cost(Spent(read, 100)) - price.cost(Spent(read)) == pytest.approx(
        100 * dollars[1] / 1e6
    )


def test_a_sum_of_short_requests_is_no_long_one() -> None:
    price = price_of("gpt-5.4")
    assert price.least(Spent(1_000_000)) == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("model", "kept"), [("gpt-6-luna", 0.125), ("gpt-5.6-terra", 2.5), ("gpt-5.4", 2.5)]
)
def test_what_is_written_to_the_cache_costs_more_from_gpt_5_6_on(model: str, kept: float) -> None:
    price = price_of(model)
    assert price.cost(Spent(2000, cache_writes=2000)) == pytest.approx(2000 * kept / 1e6)
    assert price.highest(2000, 10) >= price.cost(Spent(2000, 10, cache_writes=2000))
    assert price.highest(1000, 10) == price.cost(Spent(1000, 10))  # too short to be cached


@pytest.mark.parametrize(("given", "kept"), [({}, 1.25), ({"cache_write": 3}, 3)])
def test_a_given_price_of_writing(given: dict[str, float], kept: float) -> None:
    price = price_of("m", price={"input": 1, "output": 1, **given})
    spent = Spent(2000, 4, cached=500, cache_writes=1000)
    assert price.cost(spent) == pytest.approx((500 + 500 + 1000 * kept + 4) / 1e6)


@pytest.mark.parametrize(
    ("options", "dollars"),
    [
        ({}, 0.1),
        ({"service_tier": "default"}, 0.1),
        ({"service_tier": "flex"}, 0.05),
        ({"service_tier": "priority"}, 0.2),
    ],
)
def test_the_service_tier_has_its_price(options: dict[str, str], dollars: float) -> None:
    assert price_of("gpt-6-luna", **options).cost(Spent(1_000)) == pytest.approx(dollars / 1e3)


@pytest.mark.parametrize(
    ("asked", "told", "dollars"),
    [
        (None, "", 0.1),
        ("auto", "priority", 0.2),  # as a project may be configured
        ("priority", "default", 0.1),
        ("flex", "flex", 0.05),
        (None, "on_demand", 0.1),
    ],
)
def test_an_answer_has_the_price_of_its_own_tier(
    asked: str | None, told: str, dollars: float
) -> None:
    ledger = Ledger(Gpt4Options(model="gpt-6-luna", service_tier=asked))
    price = ledger.price_in(told)
    assert price is not None
    assert price.cost(Spent(1_000)) == pytest.approx(dollars / 1e3)
    assert price.describe() in ledger.describe_price()


def test_a_run_counts_the_tier_that_answered(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(options: Gpt4Options, batch: bool = False) -> Price:
        rate = 2.0 if options.service_tier == "priority" else 1.0
        return Price((Rates(0, rate, 0, 0, 0),), "a table")

    monkeypatch.setattr("aqa.backends.openai_api.ledger.find_price", find)
    said = {"choices": [{"message": {"content": "Ann"}}], "usage": USAGE, "model": "m"}
    tiers = [None, "default", "priority"]
    server.script = lambda number, body: Fault(200, {**said, "service_tier": tiers[number]})
    assert run(configured(tmp_path, server, 3, price=None), tmp_path / "out").answered == 3
    spent = read_manifest(tmp_path / "out")["served"]["spent"]
    assert spent["usd"] == pytest.approx((10 + 10 + 2 * 10) / 1e6)
    response = {"status": "completed", "output": [], "service_tier": "priority"}
    assert read_response(json.dumps(response).encode()).tier == "priority"


def test_a_fee_for_each_request_is_counted() -> None:
    """Perplexity charges for each search, many times the price of the tokens."""
    price = price_of("sonar", base_url="https://api.perplexity.ai")
    assert price.cost(Spent(1_000)) == pytest.approx(0.012 + 0.001)
    assert price.highest(1_000, 0) == price.cost(Spent(1_000))
    assert price.cost(Spent()) == 0
    assert "$12 for a thousand requests" in price.describe()


@pytest.mark.parametrize(
    ("told", "dollars"),
    [
        ({"cost": 0.5}, 0.5),  # OpenRouter
        ({"cost": {"request_cost": 0.4, "total_cost": 0.5}}, 0.5),  # Perplexity
        ({"estimated_cost": 0.5}, 0.5),  # DeepInfra
        ({"cost_in_usd_ticks": 5_000_000_000}, 0.5),  # xAI
        ({"cost": 1e-9}, 12 / 1e6),  # below the price, with the user's own provider key
        ({"cost": 0.1, "is_byok": True, UPSTREAM: {"upstream_inference_cost": 0.4}}, 0.5),
        ({"cost": 0.5, "is_byok": False, UPSTREAM: {"upstream_inference_cost": 0.5}}, 0.5),
        ({"cost": 0.5, "is_byok": True, UPSTREAM: None}, 0.5),
        ({"cost": 1234}, 12 / 1e6),  # in another currency
        ({"cost": "0.5"}, 12 / 1e6),
        ({"cost": -1}, 12 / 1e6),
        ({"cost": {}}, 12 / 1e6),
        ({"cost": True}, 12 / 1e6),
        ({"cost": float("nan")}, 12 / 1e6),
    ],
)
def test_a_cost_that_a_server_tells_counts(told: dict[str, Any], dollars: float) -> None:
    spent = read_usage({"prompt_tokens": 10, "completion_tokens": 2, **told})
    assert spent is not None
    price = price_of("m", price={"input": 1, "output": 1})
    assert priced(spent, price).cost == pytest.approx(dollars)


def test_a_cost_is_known_where_no_price_is(tmp_path: Path, server: Server) -> None:
    server.usage = {**USAGE, "cost": 0.25}
    run(configured(tmp_path, server, 2, price=None), tmp_path / "out")
    assert read_manifest(tmp_path / "out")["served"]["spent"]["usd"] == 0.5


def test_a_dearer_tier_whose_price_nobody_knows() -> None:
    assert find_price(Gpt4Options(model="gpt-5-nano", service_tier="turbo")) is None


@pytest.mark.parametrize(
    ("options", "read", "cached"),
    [
        ({}, 0.05, 0.005),
        ({"batch": {"price_share": 0.8}}, 0.08, 0.08),
        ({"price": {"input": 1, "output": 2, "cached_input": 0.1}}, 0.5, 0.5),
    ],
)
def test_batches_have_their_price(options: dict[str, Any], read: float, cached: float) -> None:
    price = find_price(Gpt4Options(model="gpt-6-luna", **options), batch=True)
    assert price is not None
    assert price.cost(Spent(1_000)) == pytest.approx(read / 1e3)
    assert price.cost(Spent(1_000, cached=1_000)) == pytest.approx(cached / 1e3)


@pytest.mark.parametrize(
    ("usage", "spent"),
    [
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None),
        ({"prompt_tokens": 0, "completion_tokens": 4}, None),
        ({"prompt_tokens": 10, "total_tokens": 74}, Spent(10, 64)),
        ({"prompt_tokens": 10, "completion_tokens": None, "total_tokens": 14}, Spent(10, 4)),
        ({"prompt_tokens": 10}, None),
        (
            {"prompt_tokens": 2000, "completion_tokens": 4, DETAILS: {"cache_write_tokens": 1500}},
            Spent(2000, 4, cache_writes=1500),
        ),
        (
            {
                "prompt_tokens": 2000,
                "completion_tokens": 4,
                DETAILS: {"cached_tokens": 1500, "cache_write_tokens": 1500},
            },
            Spent(2000, 4, 1500, cache_writes=500),
        ),
        ({**COUNTS, DETAILS: {"cached_tokens": 9}}, Spent(10, 1, 9)),
        ({**COUNTS, DETAILS: {"cache_creation_tokens": 9}}, Spent(10, 1, cache_writes=9)),
        ({**COUNTS, "cache_creation_input_tokens": 9}, Spent(10, 1, cache_writes=9)),
        # Cached tokens not among the prompt's: they are more, or the total shows it.
        ({**COUNTS, "cache_read_input_tokens": 90}, Spent(100, 1, 90)),
        ({**COUNTS, DETAILS: {"cached_tokens": 90}, "total_tokens": 101}, Spent(100, 1, 90)),
        ({**COUNTS, "cached_tokens": 5, "total_tokens": 16}, Spent(15, 1, 5)),
        ({**COUNTS, "cached_tokens": 5, "total_tokens": 11}, Spent(10, 1, 5)),
        ({**COUNTS, "cached_tokens": "5"}, None),
    ],
)
def test_what_a_server_counts(usage: dict[str, Any], spent: Spent | None) -> None:
    assert read_usage(usage) == spent


@pytest.mark.parametrize(
    ("usage", "dollars", "tokens"),
    [
        (
            {"prompt_tokens": 2000, "completion_tokens": 4, DETAILS: {"cache_write_tokens": 2000}},
            3 * (2000 * 1.25 + 2 * 4) / 1e6,
            6000,
        ),
        ({"prompt_tokens": 0, "completion_tokens": 0}, None, None),
        ({"prompt_tokens": 10, "completion_tokens": 0, "total_tokens": 10}, None, None),
    ],
)
def test_a_run_counts_writes_and_does_not_believe_zeros(
    usage: dict[str, Any],
    dollars: float | None,
    tokens: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(Server(usage=usage)) as server:
        assert run(configured(tmp_path, server, 3), tmp_path / "out").answered == 3
    spent = read_manifest(tmp_path / "out")["served"]["spent"]
    if dollars is None:
        assert spent["usd"] > 0
        assert spent["output_tokens"] == 3 * 4, "the longest answers"
    else:
        assert spent["usd"] == pytest.approx(dollars)
        assert (spent["input_tokens"], spent["cache_write_tokens"]) == (tokens, tokens)


def test_an_estimate_takes_each_request_at_its_length() -> None:
    found = Ledger(Gpt4Options(model="gpt-5.4")).estimate([1000, 300_000], 10, exact=True)
    assert found.cost == pytest.approx(
        [
            (1000 * 2.5 + 15 + 300_000 * 5 + 22.5) / 1e6,
            (1000 * 2.5 + 10 * 15 + 300_000 * 5 + 10 * 22.5) / 1e6,
        ]
    )
    assert "above 272,000 tokens of a prompt $5 and $22.5" in found.price


def test_a_share_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="price_share"):
        build_config(Gpt4Backend.Options, [{"backend": {"batch": {"price_share": 0}}}])
