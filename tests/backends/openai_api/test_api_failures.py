"""How gpt4 handles errors, broken HTTP and odd answers of real servers."""

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from fault_server import Fault, Server, failure, serving
from gpt4_runs import KEY, USAGE, completion, configured, predictions, run

from aqa.backends.openai_api.access import Access
from aqa.backends.openai_api.error_bodies import error_text
from aqa.backends.openai_api.failures import Kind, classify_status
from aqa.backends.openai_api.replies import read_usage
from aqa.errors import ConfigError, ModelError, StoppedError
from aqa.runs.folder import read_manifest
from aqa.spent import Spent

pytestmark = pytest.mark.usefixtures("hurried")

Body = dict[str, Any]
OK = b"HTTP/1.1 200 OK\r\n"
ANSWER = json.dumps(completion("Ann").body).encode()
WHOLE = b"Content-Length: %d\r\n\r\n" % len(ANSWER) + ANSWER
BUSY = b"HTTP/1.1 429 X\r\nContent-Length: 2\r\n"


# Not HTTP, or barely.


BROKEN = [
    b"SSH-2.0-OpenSSH\r\n\r\n",
    OK + b"Content-Le",
    OK + b"Content-Length: abc\r\n\r\n" + ANSWER,
    OK + b"Content-Length: 5\r\n" + WHOLE,
    OK + b"X: \x00\r\n" + WHOLE,
    OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    OK + b"Content-Encoding: gzip\r\n" + WHOLE,
    BUSY + b"Retry-After: \xff\xb2\r\nx-ratelimit-limit-requests: \xb2\r\n\r\n{}",
    BUSY + b"x-ratelimit-limit-tokens: 9999\r\nx-ratelimit-remaining-tokens: 0\r\n"
    b"x-ratelimit-reset-tokens: 1.2.3s\r\n\r\n{}",
]


@pytest.mark.parametrize("with_aiohttp", [True, False])
@pytest.mark.slow
def test_broken_http_is_asked_again(
    tmp_path: Path, server: Server, with_aiohttp: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_aiohttp:
        monkeypatch.setitem(sys.modules, "aiohttp", None)
    broken = dict(enumerate(BROKEN))
    server.script = lambda number, body: (
        Fault(wire=broken[number // 2]) if number % 2 == 0 and number // 2 in broken else None
    )
    config = configured(tmp_path, server, len(BROKEN), max_concurrency=1)
    result = run(config, tmp_path / "out")
    assert (result.answered, server.requests) == (len(BROKEN), 2 * len(BROKEN))


def test_a_connection_lost_after_the_request_may_be_paid_for(
    tmp_path: Path, server: Server
) -> None:
    """The server answers and counts, but its gateway dies before sending a byte."""

    def script(number: int, body: Body) -> Fault | None:
        server.complete(body, as_response=False)
        return Fault(close=True)

    server.script = script
    with pytest.raises(StoppedError):
        run(configured(tmp_path, server, 2, max_cost=0.001), tmp_path / "out")
    spent = read_manifest(tmp_path / "out")["served"]["spent"]["usd"]
    assert server.cost(1, 2) <= spent <= 0.001


# Proxies named in the environment.


def through(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)
        monkeypatch.setenv(name.lower(), proxy)


@pytest.mark.parametrize("with_aiohttp", [True, False])
def test_what_is_for_this_machine_passes_no_proxy(
    tmp_path: Path, server: Server, with_aiohttp: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_aiohttp:
        monkeypatch.setitem(sys.modules, "aiohttp", None)
    with serving(Server()) as proxy:
        through(proxy.url.removesuffix("/v1"), monkeypatch)
        assert run(configured(tmp_path, server, 2), tmp_path / "out").answered == 2
        assert (server.requests, proxy.connections) == (2, 0)


@pytest.mark.parametrize(
    ("there", "told"), [(True, "it requires a login"), (False, "it is not there")]
)
def test_a_proxy_that_is_to_blame_is_named(
    tmp_path: Path, server: Server, there: bool, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    wire = b"HTTP/1.1 407 X\r\nContent-Length: 0\r\n\r\n"
    server.handle = lambda lines, body, writer: server_says(writer, wire)  # type: ignore[method-assign]
    place = server.url.removesuffix("/v1") if there else "http://127.0.0.1:1"
    through(place, monkeypatch)
    server.url = "https://api.example.com/v1"
    with pytest.raises(ModelError, match=f"proxy that the environment names: {told}"):
        run(configured(tmp_path, server, 2), tmp_path / "out")


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:99999", "socks5://127.0.0.1:port"])
def test_a_proxy_with_an_impossible_port_is_refused(
    proxy: str, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    through(proxy, monkeypatch)
    server.url = "https://api.example.com/v1"
    with pytest.raises(ConfigError, match="write it as http://HOST:PORT"):
        run(configured(tmp_path, server, 2), tmp_path / "out")


async def server_says(writer: Any, wire: bytes) -> bool:
    writer.write(wire)
    await writer.drain()
    return False


@pytest.mark.parametrize("port", ["99999", "abc"])
def test_a_port_that_is_none(tmp_path: Path, server: Server, port: str) -> None:
    server.url = f"http://localhost:{port}/v1"
    with pytest.raises(ConfigError, match="not the address of a server"):
        run(configured(tmp_path, server, 1), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("SSL_CERT_FILE", "/nowhere/at.pem", r"certificates .* can't be read: .*No such file"),
        ("ALL_PROXY", "foo://127.0.0.1:1", "write it as http://HOST:PORT"),
        ("ALL_PROXY", "http://127.0.0.1:none", "write it as http://HOST:PORT"),
        ("OPENAI_ORG_ID", "org-\u00fc", "not a valid organization"),
    ],
)
def test_what_the_environment_has_wrong_leaves_no_thread_that_waits(
    tmp_path: Path,
    server: Server,
    name: str,
    value: str,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At exit, the process would wait forever for the thread of the requests."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=sentence):
        run(configured(tmp_path, server, 1), tmp_path / "out")
    assert not [thread for thread in threading.enumerate() if thread.name == "requests"]
    assert server.requests == 0


@pytest.mark.parametrize("key", ["request_timeout", "max_cost"])
def test_nothing_is_infinite(tmp_path: Path, server: Server, key: str) -> None:
    with pytest.raises(ConfigError, match="finite number"):
        configured(tmp_path, server, 1, **{key: float("inf")})


# Servers' formats of errors.


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("no", "no"),
        ({"message": "no"}, "no"),
        ({"error": "no"}, "no"),
        ({"detail": "no"}, "no"),
        ([{"error": {"code": 400, "message": "no"}}], "no"),  # Gemini's
        (
            {"message": {"detail": [{"loc": ["body", "seed"], "msg": "no", "input": {"a": 1}}]}},
            "body.seed: no",
        ),  # Mistral's
        ({"detail": [{"msg": "no"}, {"loc": 3, "msg": "never"}]}, "no; never"),
        ("<html>\n<head><title>502 Bad\nGateway</title></head></html>", "502 Bad Gateway"),
        ({"code": 3}, ""),
        ([[[[[[[[["no"]]]]]]]]], ""),
        ({"status": {"code": "40102", "message": "no"}}, "no"),  # Naver's
        ({"errors": [{"message": "no", "code": 4006}], "success": False}, "no"),  # Cloudflare's
        ({"title": "never", "errors": {"seed": ["no"]}}, "seed: no"),  # ASP.NET's
        ({"error_code": 336003, "error_msg": "no"}, "no"),
        ({"base_resp": {"status_code": 2013, "status_msg": "no"}}, "no"),
        ({"Message": "no"}, "no"),  # AWS's
        ({"title": "no", "status": 400}, "no"),
        ({"message": '{"error": {"message": "no"}}'}, "no"),
        (
            {"message": "no", "metadata": {"raw": '{"error": {"message": "too long"}}'}},
            "no; too long",
        ),  # OpenRouter's
        ("<html><body><h1>502 Bad</h1>\nGateway</body></html>", "502 Bad Gateway"),
        (None, ""),
    ],
)
def test_the_message_of_an_error(body: object, text: str) -> None:
    assert error_text(body) == text


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (429, {"message": "busy", "code": "rate_limit_exceeded"}, "busy"),
        (429, {"message": "Request too large for m: Limit 3, Requested 4", "type": "t"}, "own"),
        (429, {"message": "not active", "code": "billing_not_active"}, "fatal"),
        (400, {"message": "over budget", "type": "budget_exceeded", "code": "400"}, "fatal"),
        (403, {"message": "flagged", "metadata": {"flagged_input": "who"}}, "own"),
        (403, {"message": "not you", "metadata": None}, "denied"),
        (407, {"message": "who are you"}, "fatal"),
        (429, {"message": "p: Request too large for m: Limit 3, Requested 4"}, "own"),
        (429, {"message": "suspended", "type": "exceeded_current_quota_error"}, "fatal"),
        (400, {"message": "Your credit balance is too low to access the API."}, "fatal"),
        (412, {"message": "suspended, possibly due to the monthly spending limit"}, "fatal"),
        (412, {"message": "Portkey API Key Usage Limit Exceeded"}, "fatal"),
        (400, {"message": "You have reached your specified API usage limits."}, "fatal"),
        (429, {"message": "Usage limit reached for 5 hour", "code": "1308"}, "fatal"),
        (429, {"message": "Credit limit exceeded, please add credits"}, "fatal"),
        (403, {"message": "Key limit exceeded (total limit)"}, "fatal"),
        (403, {"code": 30001, "message": "your account balance is insufficient"}, "fatal"),
        (403, {"message": "failed, since your account has an overdue balance."}, "fatal"),
        (403, {"code": "denied", "error": "Your team doesn't have any credits yet."}, "fatal"),
        (429, {"message": "ExceededTokenBudget: Current spend for token: 2"}, "fatal"),
        (403, {"message": "the balance of the passage is insufficiently clear"}, "denied"),
        (429, {"message": "Quota exceeded for metric: requests, limit: 0, model: m"}, "fatal"),
        (429, {"message": "Quota exceeded for metric: requests, limit: 0.5, model: m"}, "busy"),
        (400, {"message": "Failed to validate JSON.", "code": "json_validate_failed"}, "misfit"),
        (429, {"message": "Your account has reached the set inference limit"}, "fatal"),
        (429, {"message": "잔액이 부족합니다."}, "fatal"),
        (429, {"message": "You exceeded your current quota, check your plan"}, "busy"),
        (400, {"code": "invalid argument", "error": "Incorrect API key provided: s***t."}, "fatal"),
        (403, {"message": "Your API key was reported as leaked."}, "fatal"),
        (403, {"message": "the key to the question"}, "denied"),
        (400, {"message": "Invalid model: m", "code": "1500"}, "denied"),
        (400, {"message": "Unknown model: m"}, "denied"),
        (400, {"message": "The provided model identifier is invalid."}, "denied"),
        (400, {"message": "m is not supported", "code": "model_not_supported"}, "denied"),
        (
            400,
            {"message": "Invocation of model ID m with on-demand throughput isn’t supported."},
            "denied",
        ),
        (400, {"message": "The provided model doesn't support on-demand throughput."}, "denied"),
        (400, {"message": "User location is not supported for the API use."}, "denied"),
        (400, {"message": "The location of the passage is not given"}, "own"),
        (400, {"message": "No models loaded. Please load a model", "param": "model"}, "denied"),
        (400, {"error": "Model unloaded."}, "broken"),
        (400, {"error": "The model has crashed without additional information."}, "broken"),
        (400, {"message": "the word 'unloaded' is filtered"}, "own"),
        (400, {"message": "the model's temperature is invalid"}, "own"),
        (400, {"message": "m is not a valid model ID"}, "denied"),
        (400, {"message": "bad", "code": "model_decommissioned"}, "denied"),
        (410, {"error": "deprecated"}, "denied"),
        (400, {"message": "This model's maximum context length is 9 tokens"}, "own"),
        (500, {"message": "the request exceeds the available context size"}, "own"),
        (500, {"message": "out of memory"}, "broken"),
    ],
)
def test_what_an_error_concerns(status: int, error: Body, kind: Kind) -> None:
    access = Access("https://x/v1", is_local=False, key=KEY)
    assert classify_status(status, {}, error, access).kind == kind


@pytest.mark.parametrize(
    ("status", "asked", "kind", "wait"),
    [
        (429, "600", "busy", 600),
        (429, "0.5", "busy", 0.5),
        (429, "-5", "busy", None),
        (429, "inf", "busy", None),
        (429, "soon", "busy", None),
        (429, "30s", "busy", 30),
        (429, "2015-10-21T07:28:00Z", "busy", None),
        (429, "1445412480", "busy", None),  # a time since 1970
        (429, "1445412480000000", "busy", None),  # the same in microseconds
        (429, "7, 60", "busy", 60),
        (429, "Wed, 21 Oct 2015 07:28:00 GMT", "busy", None),
        (429, "86400", "fatal", None),  # a daily quota
        (503, "86400", "fatal", None),
        (503, "600", "busy", 600),
        (529, "3600", "fatal", None),
        (529, "60", "busy", 60),
        (500, "2", "broken", 2),
    ],
)
def test_how_long_a_server_is_waited_for(
    status: int, asked: str, kind: Kind, wait: float | None
) -> None:
    access = Access("https://x/v1", is_local=False, key=KEY)
    verdict = classify_status(status, {"retry-after": asked}, {"message": "busy"}, access)
    assert (verdict.kind, verdict.wait) == (kind, wait)
    if kind == "fatal":
        hours = int(asked) // 3600
        told = f"{hours} hours" if hours > 1 else "60 minutes"
        assert verdict.reason == f"the server asks to wait {told} (busy)"


DAY = {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}
MINUTE = {"violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}]}


@pytest.mark.parametrize(
    ("status", "error", "kind", "wait"),
    [
        (429, {"message": "x", "details": [MINUTE, {"retryDelay": "38s"}]}, "busy", 38),
        (429, [{"error": {"message": "x", "details": [{"retryDelay": "1.5s"}]}}], "busy", 1.5),
        (429, {"message": "x", "details": [DAY, {"retryDelay": "38s"}]}, "fatal", None),
        (429, {"message": "Rate limit exceeded: free-models-per-day"}, "fatal", None),
        (429, {"message": "Limit on tokens per day (TPD). Please try again in 9m."}, "fatal", None),
        (429, {"message": "x", "retry_after": 7}, "busy", 7),
        (429, {"message": "on requests per min (RPM): Limit 3. Please try again in 20s."},
         "busy", 20),
        (429, {"message": "on tokens per min. More per day with credits."}, "busy", None),
        (429, {"message": "Please retry after 2 minutes and 5 seconds."}, "busy", 125),
        (429, {"message": "Expected available in 17 seconds."}, "busy", 17),
        (429, {"message": "잠시 쉬세요. 1분 30초 후에 다시 시도해 주세요."}, "busy", 90),
        (429, {"message": "분당 20회를 넘었습니다"}, "busy", None),
        (429, {"message": "일일 한도를 초과했습니다"}, "fatal", None),
        (429, {"error": "you've reached your weekly usage limit"}, "fatal", None),
        (429, {"message": "a trial key is limited to 1000 calls / month"}, "fatal", None),
        (429, {"message": "x", "metadata": {"retry_after_seconds": 21}}, "busy", 21),
        (429, {"message": "x", "retryAfterMs": 2500}, "busy", 2.5),
        (503, {"error": "loading", "estimated_time": 20.0}, "busy", 20),
        (429, {"message": "Try again in 1h2m3s"}, "fatal", None),
        (429, {"message": "Try again in 200ms."}, "busy", 0.2),
        (429, {"message": "it took 20s"}, "busy", None),
        (503, "<html><title>503 Busy</title>", "busy", None),
        (498, {"message": "Flex capacity exceeded: please retry later"}, "busy", None),
        (424, {"message": "Request failed during generation"}, "broken", None),
        (529, {"message": "Overloaded"}, "busy", None),
    ],
)  # fmt: skip
def test_waits_that_bodies_tell(status: int, error: Body, kind: Kind, wait: float | None) -> None:
    access = Access("https://x/v1", is_local=False, key=KEY)
    verdict = classify_status(status, {}, error, access)
    assert (verdict.kind, verdict.wait) == (kind, wait)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"ratelimit-reset": "34", "ratelimit-remaining": "0"}, 34),
        ({"ratelimit": '"default";r=0;t=31'}, 31),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "12s",
                "x-ratelimit-remaining-tokens": "5",
                "x-ratelimit-reset-tokens": "55s",
            },
            12,
        ),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m30s"}, 60),
        ({"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "1m30s"}, None),
        ({"x-ratelimit-reset-after": "9"}, 9),
        ({"x-rate-limit-reset": "9"}, 9),
        ({"retry-after": "2", "ratelimit-reset": "34"}, 2),
    ],
)
def test_waits_that_headers_tell(headers: dict[str, str], wait: float | None) -> None:
    access = Access("https://x/v1", is_local=False, key=KEY)
    assert classify_status(429, headers, {"message": "busy"}, access).wait == wait


PAST = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after": "0"}, 38),
        ({"retry-after": PAST}, 38),
        ({"retry-after-ms": "0", "retry-after": "20"}, 20),
        ({"retry-after": "20"}, 20),
        ({"x-ratelimit-reset": "1445412480"}, 38),
    ],
)
def test_a_wait_that_is_over_hides_no_other(headers: dict[str, str], wait: float) -> None:
    told = {"message": "x", "details": [{"retryDelay": "38s"}]}
    assert classify_status(429, headers, told, Access("https://x/v1", False, KEY)).wait == wait


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"retry-after": PAST}, {}),
        ({"x-ratelimit-reset": "1445412480"}, {}),
        ({}, {"metadata": {"headers": {"X-RateLimit-Reset": "1445412480000"}}}),
        ({"anthropic-ratelimit-requests-reset": "2015-10-21T07:28:00Z"}, {}),
    ],
)
def test_dates_are_by_the_servers_clock(headers: dict[str, str], error: Body) -> None:
    told = {"date": "Wed, 21 Oct 2015 07:27:30 GMT", **headers}
    verdict = classify_status(429, told, {"message": "x", **error}, Access("https://x", False, KEY))
    assert verdict.wait == 30


@pytest.mark.parametrize("unit", [1, 1000])
def test_the_time_of_a_reset_is_waited_for(unit: int) -> None:
    reset = {"X-RateLimit-Reset": str(int((time.time() + 60) * unit))}
    error = {"message": "x", "metadata": {"headers": reset}}
    verdict = classify_status(429, {}, error, Access("https://x/v1", is_local=False, key=KEY))
    assert verdict.wait == pytest.approx(60, abs=30)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, {"message": "no"}),
        (400, [{"error": {"message": "no", "details": [{"reason": "API_KEY_INVALID"}]}}]),
        (403, {"message": "no", "type": "authentication_error"}),
    ],
)
def test_a_refused_key_is_told_by_its_variable(status: int, error: Body) -> None:
    verdict = classify_status(status, {}, error, Access("https://x/v1", False, KEY))
    assert verdict.reason == "the server refuses the key of OPENAI_API_KEY (no)"
    assert verdict.kind == "fatal"


TOO_LONG = (
    "'max_tokens' or 'max_completion_tokens' is too large: 5000. This model's maximum context"
    " length is 4096 tokens and your request has 10 input tokens (5000 > 4096 - 10)."
)


@pytest.mark.parametrize("param", [None, "max_tokens"])
def test_a_limit_that_is_too_large_is_not_sent_under_two_names_in_turn(
    tmp_path: Path, server: Server, param: str | None
) -> None:
    """It is vLLM's sentence, which names both."""
    refused = Fault(400, failure(TOO_LONG, "BadRequestError", param))
    server.script = lambda number, body: refused if number < 50 else None
    result = run(configured(tmp_path, server, 2), tmp_path / "out")
    assert (result.failed, server.requests) == (2, 2)


def test_a_server_that_refuses_both_names_of_a_limit(tmp_path: Path, server: Server) -> None:
    def script(number: int, body: Body) -> Fault | None:
        name = "max_tokens" if "max_tokens" in body else "max_completion_tokens"
        return Fault(400, failure(f"Unsupported parameter: '{name}'", None, name))

    server.script = lambda number, body: script(number, body) if number < 50 else None
    result = run(configured(tmp_path, server, 2, max_concurrency=1), tmp_path / "out")
    assert (result.failed, server.requests) == (2, 3)


@pytest.mark.parametrize(
    "refusal",
    [
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "not permitted"}]},
        {"error": {"message": 'Unknown name "seed": Cannot find field.'}},
        {"error": {"message": "`seed` is not supported by this model."}},
    ],
)
def test_a_refused_parameter_in_other_words(tmp_path: Path, server: Server, refusal: Body) -> None:
    server.script = lambda number, body: Fault(422, refusal) if "seed" in body else None
    result = run(configured(tmp_path, server, 6, max_concurrency=1), tmp_path / "out")
    assert (result.answered, server.requests) == (6, 7)


# Odd answers.


def test_an_answer_in_parts(tmp_path: Path, server: Server) -> None:
    """Mistral's reasoning models answer like this."""
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    parts = [thought, {"type": "text", "text": "An"}, {"type": "text", "text": "n"}]
    server.script = lambda number, body: completion(parts)  # type: ignore[arg-type]
    run(configured(tmp_path, server, 1), tmp_path / "out")
    assert predictions(tmp_path / "out")["q0"]["predicted_answer"] == "Ann"


FAILED = Fault(200, {"error": {"code": 502, "message": "the provider is down"}})


@pytest.mark.parametrize("broken", [FAILED, completion("An", "error"), completion("An", "abort")])
def test_an_answer_that_is_an_error_is_asked_again(
    tmp_path: Path, server: Server, broken: Fault
) -> None:
    server.script = lambda number, body: broken if number == 0 else None
    run(configured(tmp_path, server, 1), tmp_path / "out")
    assert predictions(tmp_path / "out")["q0"]["predicted_answer"] == "0"
    assert server.requests == 2


@pytest.mark.parametrize(
    ("api", "told"), [("chat", {"error": "down"}), ("responses", {"error": {"message": "down"}})]
)
@pytest.mark.slow
def test_an_error_with_status_200_is_told(
    tmp_path: Path, server: Server, api: str, told: Body
) -> None:
    server.script = lambda number, body: Fault(200, told)
    config = configured(tmp_path, server, 1, api=api)
    generation = config.generation.model_copy(update={"max_new_tokens": 16})
    run(config.model_copy(update={"generation": generation}), tmp_path / "out")
    assert "the server's answer is an error: down" in predictions(tmp_path / "out")["q0"]["error"]


@pytest.mark.slow
def test_what_stops_a_run_holds_no_key(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.script = lambda number, body: Fault(200, {"error": f"no: {KEY}"})
    with pytest.raises(ModelError, match=r"an error: no: \*\*\*"):
        run(configured(tmp_path, server, 5, max_concurrency=5), tmp_path / "out")


def test_thoughts_that_only_the_total_counts_are_paid_for() -> None:
    assert read_usage(USAGE | {"total_tokens": 90}) == Spent(10, 80)
    assert read_usage(USAGE | {"total_tokens": 12}) == Spent(10, 2)
    assert read_usage(USAGE | {"total_tokens": 3}) == Spent(10, 2)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("https://user:password@elsewhere/v1?key=1", "https://elsewhere"),
        ("/login", "another path"),
        ("https://[", "nowhere"),
    ],
)
def test_a_redirect_tells_where_to(address: str, said: str) -> None:
    access = Access("https://x/v1", False, "k")
    failure = classify_status(302, {"location": address}, None, access)
    assert failure.reason.startswith(f"https://x/v1 redirects to {said}, to which the key is not")
