"""What gpt4 sends to each API and model, and how it handles broken answers."""

import gzip
import json
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fault_server import FAULTS, Fault, Server, failure, serving
from gpt4_runs import completion, configured, predictions, run

from aqa.backends.openai_api.backend import Gpt4Backend
from aqa.backends.openai_api.body_parsing import read_response
from aqa.backends.openai_api.replies import BadBodyError
from aqa.backends.openai_api.schemas import READER_ANSWER
from aqa.config.load import build_config
from aqa.config.options import RunConfig
from aqa.errors import ConfigError, ModelError, RunError, StoppedError
from aqa.progress import SilentProgress
from aqa.records import Evidence, Message, Prompt, Template
from aqa.runs.folder import read_manifest
from aqa.verbs.predict import Resume, dry_run
from aqa.verbs.preview import preview

pytestmark = pytest.mark.usefixtures("hurried")

KEY = "azure-0123456789abcdef-secret"
AGAIN = Resume(retry_errors=True)


def longer(config: RunConfig, tokens: int) -> RunConfig:
    generation = config.generation.model_copy(update={"max_new_tokens": tokens})
    return config.model_copy(update={"generation": generation})


# Responses.


def test_responses_are_the_other_way(tmp_path: Path, server: Server) -> None:
    server.cached = 5
    options = {"api": "responses", "reasoning_effort": "low", "structured": True, "model": "gpt-5"}
    server.answer = lambda body: json.dumps(
        {"answer": body["input"][-1]["content"], "passages": [1], "answerable": True}
    )
    result = run(longer(configured(tmp_path, server, 20, **options), 32), tmp_path / "out")
    assert (result.answered, result.failed) == (20, 0)
    rows = predictions(tmp_path / "out")
    assert rows["q7"]["predicted_answer"] == "who 7"
    assert rows["q7"]["evidence"]["named_ranks"] == [1]
    served = read_manifest(tmp_path / "out")["served"]
    assert served["models"] == {"gpt-5-2026-01-01": 20}
    assert served["spent"]["input_tokens"] == server.prompt_tokens
    assert served["spent"]["output_tokens"] == server.answer_tokens
    assert served["spent"]["cached_input_tokens"] == 100
    assert set(server.paths) == {"/v1/responses"}
    body = server.bodies[0]
    assert (body["max_output_tokens"], body["reasoning"]) == (32 + 4096, {"effort": "low"})
    assert body["store"] is False
    assert body["text"]["format"]["type"] == "json_schema"
    assert body["text"]["format"]["strict"] is True
    assert not {"seed", "temperature", "messages", "response_format"} & set(body)


def test_what_the_assistant_said_before_has_its_type(tmp_path: Path, server: Server) -> None:
    """llama.cpp's server refused few-shot templates without it."""
    config = longer(configured(tmp_path, server, 1, api="responses"), 16)
    run(config.model_copy(update={"prompt": "eng_fewshot"}), tmp_path / "out")
    kinds = {(turn["role"], turn.get("type")) for turn in server.bodies[0]["input"]}
    assert kinds == {("system", None), ("user", None), ("assistant", "message")}


def response(status: str, text: str | None = None, **more: object) -> bytes:
    part = {"type": "output_text", "text": text}
    output = [] if text is None else [{"type": "message", "content": [part]}]
    return json.dumps({"status": status, "output": output, "model": "m"} | more).encode()


def incomplete(text: str | None, reason: str) -> bytes:
    return response("incomplete", text, incomplete_details={"reason": reason})


def failed(code: str) -> bytes:
    return response("failed", error={"code": code, "message": "not that"})


NO = [{"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}]


@pytest.mark.parametrize(
    ("content", "text", "error"),
    [
        (response("completed", "Ann"), "Ann", None),
        (incomplete("An", "max_output_tokens"), "An", None),
        (incomplete(None, "max_output_tokens"), None, "no token was left"),
        (incomplete("An", "content_filter"), None, "content filter"),
        (response("completed"), None, "gave no answer"),
        (response("completed", output=NO), None, "the model refused: no"),
        (failed("invalid_prompt"), None, "not that"),
    ],
)
def test_what_a_response_says(content: bytes, text: str | None, error: str | None) -> None:
    reply = read_response(content)
    assert reply.text == text
    assert (reply.error is None) == (error is None)
    assert (error or "") in (reply.error or "")


@pytest.mark.parametrize(
    "content",
    [
        failed("server_error"),
        response("in_progress"),
        b'{"status": "completed", "output": [{"type": "message"}]}',
        b'{"status": "completed"}',
        b"[]",
        b'{"status": "completed", "output": [',
    ],
)
def test_what_is_no_response_is_asked_again(content: bytes) -> None:
    with pytest.raises(BadBodyError):
        read_response(content)


def test_responses_need_room(tmp_path: Path, server: Server) -> None:
    config = longer(configured(tmp_path, server, 1, api="responses"), 15)
    with pytest.raises(ConfigError, match="16 or more"):
        run(config, tmp_path / "out")


# Azure.


@pytest.fixture
def azure(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", server.url.removesuffix("/v1"))
    monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another-key-that-is-not-azures")
    return server


def test_azure_is_asked_as_its_client_does(tmp_path: Path, azure: Server) -> None:
    options = {"provider": "azure", "base_url": None, "model": "my-gpt"}
    assert run(configured(tmp_path, azure, 5, **options), tmp_path / "out").answered == 5
    path = "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21"
    assert set(azure.paths) == {path}
    assert set(azure.keys) == {("", KEY)}
    assert read_manifest(tmp_path / "out")["fingerprint"]["reader"]["api_version"] == "2024-10-21"
    options |= {"api": "responses", "api_version": "preview", "base_url": azure.url[:-3]}
    config = longer(configured(tmp_path, azure, 5, **options), 16)
    assert run(config, tmp_path / "b").answered == 5
    assert azure.paths[-1] == "/openai/responses?api-version=preview"
    assert azure.keys[-1] == ("", KEY)
    azure.script = lambda number, body: Fault(401, failure("Access denied: {key}"))
    with pytest.raises(ModelError, match=r"key of AZURE_OPENAI_API_KEY \(Access denied: \*\*\*\)"):
        run(config, tmp_path / "c")
    for file in tmp_path.rglob("*.json*"):
        assert KEY not in file.read_text(encoding="utf-8")


def test_a_dry_run_of_azure_needs_no_key(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "OPENAI_API_VERSION"):
        monkeypatch.delenv(name, raising=False)
    config = configured(tmp_path, server, 3, provider="azure", base_url=None, price=None)
    assert "not known" in dry_run(config, tmp_path / "out", SilentProgress()).price


@pytest.mark.parametrize(
    ("gone", "options", "sentence"),
    [
        ("AZURE_OPENAI_ENDPOINT", {}, "the resource's address"),
        ("OPENAI_API_VERSION", {}, "version of its API"),
        (
            "AZURE_OPENAI_API_KEY",
            {"base_url": "https://x.openai.azure.com"},
            "environment variable AZURE_OPENAI_API_KEY",
        ),
        ("", {"base_url": "https://x.openai.azure.com/openai/deployments/a"}, "named by --model"),
        ("", {"base_url": "http://x.openai.azure.com"}, "unencrypted"),
    ],
)
def test_what_azure_needs(
    tmp_path: Path,
    azure: Server,
    monkeypatch: pytest.MonkeyPatch,
    gone: str,
    options: dict[str, Any],
    sentence: str,
) -> None:
    monkeypatch.delenv(gone, raising=False)
    options = {"provider": "azure", "base_url": None} | options
    with pytest.raises(ConfigError, match=sentence):
        run(configured(tmp_path, azure, 1, **options), tmp_path / "out")
    assert azure.requests == 0


# Broken answers.


@pytest.mark.parametrize(
    "fault",
    [
        Fault(large=200 * 2**20),
        Fault(500, large=200 * 2**20),
        Fault(raw=gzip.compress(bytes(100 * 2**20), 1), headers={"Content-Encoding": "gzip"}),
    ],
    ids=["large", "large error", "bomb"],
)
def test_an_answer_of_200_mb_is_not_read(tmp_path: Path, server: Server, fault: Fault) -> None:
    """It fails its example, is asked only once, and is never held in memory."""
    server.script = lambda number, body: (
        fault if body["messages"][-1]["content"] == "who 1" else None
    )
    config = configured(tmp_path, server, 3)
    tracemalloc.start()
    try:
        result = run(config, tmp_path / "out")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (result.answered, result.failed, server.requests) == (2, 1, 3)
    row = predictions(tmp_path / "out")["q1"]
    assert row["error"] == "the server's answer is larger than 8 MiB, so it was not read"
    assert row["spent"]["input"] > 0  # it may have been counted
    assert peak < 64 * 2**20


def test_without_aiohttp_it_is_read_as_far(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    server.script = lambda number, body: Fault(large=200 * 2**20) if number == 0 else None
    result = run(configured(tmp_path, server, 3, max_concurrency=1), tmp_path / "out")
    assert (result.answered, result.failed, server.requests) == (2, 1, 3)
    assert "8 MiB" in predictions(tmp_path / "out")["q0"]["error"]


def test_a_body_that_drips_meets_its_deadline(tmp_path: Path, server: Server) -> None:
    server.script = lambda number, body: Fault(drip=0.02)
    options = {"request_timeout": 0.4, "example_deadline": 1}
    assert run(configured(tmp_path, server, 2, **options), tmp_path / "out").failed == 2
    for row in predictions(tmp_path / "out").values():
        assert "did not answer in time" in row["error"]
    assert server.requests <= 2 * 4


@pytest.mark.slow
def test_an_example_has_a_deadline_of_its_own(tmp_path: Path, server: Server) -> None:
    """It cuts a request off, and no request starts after it, however long the queue was."""
    server.script = lambda number, body: Fault(hang=3600)
    config = configured(tmp_path, server, 1, request_timeout=3600, example_deadline=0.5)
    assert run(config, tmp_path / "out").failed == 1
    server.script = lambda number, body: FAULTS["500"]
    options = {"requests_per_minute": 5, "example_deadline": 10}  # twelve seconds apart
    run(configured(tmp_path, server, 1, **options), tmp_path / "b")
    assert predictions(tmp_path / "b")["q0"]["error"] == "gave up after 1 attempt: it broke"
    assert server.requests == 2


@pytest.mark.parametrize(
    "fault",
    [
        Fault(close=True),
        Fault(reset=True),
        Fault(cut=True),
        Fault(raw=b"<html>busy</html>"),
        Fault(raw=b"[" * 100_000),
        Fault(raw=b'{"choices": {"0": {}}}'),
        Fault(raw=b'{"choices": [{"message": null}]}'),
        Fault(raw=b"\xff\xfe"),
        Fault(raw=b""),
        Fault(200, {"choices": []}),
    ],
)
def test_a_broken_body_is_asked_for_again(tmp_path: Path, server: Server, fault: Fault) -> None:
    server.script = lambda number, body: fault if number == 0 else None
    assert run(configured(tmp_path, server, 1), tmp_path / "out").answered == 1
    assert server.requests == 2


@pytest.mark.parametrize("choices", [[], None, [None], [{}], [{"message": None, "index": 0}]])
def test_who_never_gives_an_answer_is_paid_five_times_for_it(
    tmp_path: Path, server: Server, choices: object
) -> None:
    server.script = lambda number, body: Fault(200, {"choices": choices}) if number else None
    result = run(configured(tmp_path, server, 2, max_concurrency=1), tmp_path / "out")
    assert (result.answered, result.failed, server.requests) == (1, 1, 6)


@pytest.mark.parametrize(
    ("fault", "answer", "error"),
    [
        (completion("as far as", "length"), "as far as", None),
        (completion("", "length"), None, "raise generation.max_new_tokens"),
        (completion("x", "content_filter"), None, "content filter blocked the answer"),
        (completion(None, refusal="I won't"), None, "the model refused: I won't"),
        (completion(" \n"), None, "the model gave no answer"),
        (completion("\u200b\ufeff"), None, "the model gave no answer"),
        (completion("[TOOL_CALLS]search[ARGS]{}"), None, "the model called a tool"),
    ],
)
def test_how_an_answer_ends(
    tmp_path: Path, server: Server, fault: Fault, answer: str | None, error: str | None
) -> None:
    server.script = lambda number, body: fault
    run(configured(tmp_path, server, 1), tmp_path / "out")
    row = predictions(tmp_path / "out")["q0"]
    assert row["predicted_answer"] == answer
    assert (error or "") in row.get("error", "")
    assert server.requests == 1


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -5, "completion_tokens": 1},
        {"prompt_tokens": 10.5, "completion_tokens": 1},
        {"prompt_tokens": True, "completion_tokens": 1},
        {"prompt_tokens": 10**12, "completion_tokens": 1},
        {"prompt_tokens": "10", "completion_tokens": 1},
        {"completion_tokens": 1},
    ],
)
def test_wrong_numbers_count_as_the_worst_case(
    tmp_path: Path, server: Server, usage: dict[str, object]
) -> None:
    server.usage = usage
    assert run(configured(tmp_path, server, 1), tmp_path / "out").answered == 1
    spent = read_manifest(tmp_path / "out")["served"]["spent"]
    assert spent["output_tokens"] == 4
    assert server.prompt_tokens < spent["input_tokens"] < 5000


@pytest.mark.parametrize("told", [{"completion_tokens": 5000}, {"cost": 0.0101}])
def test_a_server_that_heeds_no_limit_passes_no_cap(
    tmp_path: Path, server: Server, told: dict[str, object]
) -> None:
    server.usage = {"prompt_tokens": 10, "completion_tokens": 2, **told}
    options = {"max_cost": 0.1, "max_concurrency": 16, "reasoning_tokens": 0}
    config = configured(tmp_path, server, 30, max_seq_length=5010, **options)
    notes: list[str] = []
    with pytest.raises(StoppedError, match="max-cost"):
        run(config, tmp_path / "out", notes=notes)
    assert server.requests == 9
    assert ("ignores the limit of an answer's length: one took 5,000" in "".join(notes)) == (
        "cost" not in told
    )
    assert 0.09 <= read_manifest(tmp_path / "out")["served"]["spent"]["usd"] <= 0.1


@pytest.mark.parametrize(
    ("told", "requests"), [({"completion_tokens": 50}, 2), ({"cost": 0.06}, 1)]
)
def test_nor_by_an_answer_longer_than_any_before(
    tmp_path: Path, server: Server, told: dict[str, object], requests: int
) -> None:
    """Nor in a later session, since what the server did is remembered."""

    def script(number: int, body: object) -> None:
        first = told if number == 0 else {"completion_tokens": 29_000}
        server.usage = {"prompt_tokens": 10, "completion_tokens": 2, **first}

    server.script = script
    options = {"max_concurrency": 4, "reasoning_tokens": 0, "max_seq_length": 30_000}
    config = configured(tmp_path, server, 30, max_cost=0.1, **options)
    for _ in range(2):
        with pytest.raises(StoppedError, match="max-cost"):
            run(config, tmp_path / "out")
        assert server.requests == requests
    assert 0.05 < read_manifest(tmp_path / "out")["served"]["spent"]["usd"] <= 0.1


def test_a_redirect_is_not_followed_with_the_key(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(Server()) as other:
        for status in (301, 307, 308):
            elsewhere = {"Location": f"{other.url}/chat/completions?key=secret"}
            server.script = lambda number, body, s=status, e=elsewhere: Fault(s, {}, e)  # type: ignore[misc]
            with pytest.raises(ModelError, match="redirects to") as error:
                run(configured(tmp_path, server, 4), tmp_path / f"out{status}")
            assert other.url.removesuffix("/v1") in str(error.value)
            assert "secret" not in str(error.value)
        assert other.requests == other.connections == 0
    assert {key for key, _ in server.keys} == {KEY}


# Roles, parameters and the context.


@pytest.mark.parametrize("api", ["chat", "responses", "completions"])
@pytest.mark.parametrize(
    "told",
    [
        "This model only support stream mode, please enable the stream parameter.",
        "Stream must be set to true",
        "parameter.enable_thinking must be set to false for non-streaming calls",
    ],
)
def test_a_server_that_only_streams(tmp_path: Path, server: Server, api: str, told: str) -> None:
    def script(number: int, body: dict[str, Any]) -> Fault | None:
        if not body["stream"]:
            return Fault(400, failure(told))
        whole = server.complete(body, api == "responses")
        event = {"type": "response.completed", "response": json.loads(whole)}
        return Fault(raw=b"data: " + (json.dumps(event).encode() if "input" in body else whole))

    server.script = script
    notes: list[str] = []
    config = configured(tmp_path, server, 4, api=api, reasoning_tokens=12)
    assert run(config, tmp_path / "out", notes=notes).answered == 4
    assert [note for note in notes if "only streams answers" in note] == notes
    assert ("stream_options" in server.bodies[-1]) == (api != "responses")
    assert read_manifest(tmp_path / "out")["served"]["spent"]["output_tokens"] == 4


def test_a_server_that_refuses_streams_too_fails_its_questions(
    tmp_path: Path, server: Server
) -> None:
    server.script = lambda number, body: (
        Fault(400, failure("stream must be set")) if number else None
    )
    result = run(configured(tmp_path, server, 3, max_concurrency=1), tmp_path / "out")
    assert (result.answered, result.failed) == (1, 2)
    assert server.requests == 4


def refusing(*roles: str) -> Callable[[int, dict[str, Any]], Fault | None]:
    def script(number: int, body: dict[str, Any]) -> Fault | None:
        for place, turn in enumerate(body.get("messages") or body["input"]):
            if turn["role"] in roles:
                told = f"Unsupported value: 'messages[{place}].role' does not support"
                told += f" '{turn['role']}' with this model."
                if "developer" not in roles:
                    told += " Use 'developer' instead."
                return Fault(400, failure(told, "unsupported_value", f"messages[{place}].role"))
        return None

    return script


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize(
    ("roles", "sent"),
    [((), "system"), (("system",), "developer"), (("system", "developer"), "user")],
)
def test_the_systems_role_is_learnt(
    tmp_path: Path, server: Server, api: str, roles: tuple[str, ...], sent: str
) -> None:
    server.script = refusing(*roles)
    config = longer(configured(tmp_path, server, 12, api=api, max_concurrency=2), 16)
    assert run(config, tmp_path / "out").answered == 12
    first = (server.bodies[-1].get("messages") or server.bodies[-1]["input"])[0]
    assert first["role"] == sent
    assert "some words" in first["content"]
    assert server.requests <= 12 + 2 * len(roles)


def test_what_is_learnt_to_no_end_is_an_error(tmp_path: Path, server: Server) -> None:
    """A chat without a user turn keeps its system role, and is not resent forever."""
    server.script = refusing("system", "developer")
    with Gpt4Backend(configured(tmp_path, server, 1), SilentProgress()) as reader:
        template = Template("t", (Message("system", "{context} {question}"),))
        ((_, found),) = reader.generate([Prompt("p", 0, "who ?", Evidence(()), template)])
    assert "does not support 'system'" in (found.error or "")
    assert server.requests <= 4


def test_a_prompt_beyond_the_context_is_not_sent(tmp_path: Path, server: Server) -> None:
    """For a model known to genai-prices, regardless of max_seq_length."""
    config = configured(tmp_path, server, 3, max_seq_length=600)
    path = Path(config.data.path or "")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[1]["question"] = "why " * 5000
    rows[2]["context"] = "A long text. " * 5000
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = run(config, tmp_path / "out")
    assert (result.answered, result.failed, server.requests) == (2, 1, 2)
    found = predictions(tmp_path / "out")
    assert "more than the 600 that fit" in found["q1"]["error"]
    assert found["q2"]["evidence"]["reader_cut_characters"] > 0


@pytest.mark.parametrize(
    ("model", "limit", "most"),
    [
        ("gpt-4", 128_000, 8192),
        ("gpt-4", 4000, 4000),
        ("gpt-4.1", 128_000, 128_000),
        ("mine", 9000, 9000),
    ],
)
def test_the_context_of_a_known_model(model: str, limit: int, most: int) -> None:
    layer: dict[str, Any] = {"backend": {"model": model, "max_seq_length": limit}}
    reader = Gpt4Backend(build_config(Gpt4Backend.Options, [layer]), SilentProgress())
    assert reader.identity()["max_seq_length"] == most


# Text completions.


def test_text_completions_send_the_prompt_as_a_text(tmp_path: Path, server: Server) -> None:
    config = configured(tmp_path, server, 6, api="completions", logprobs=True)
    assert run(config, tmp_path / "out").answered == 6
    row = predictions(tmp_path / "out")["q3"]
    assert (row["predicted_answer"], row["confidence"]) == ("3", -0.25)
    assert set(server.paths) == {"/v1/completions"}
    body = next(body for body in server.bodies if body["prompt"].endswith("who 3\n"))
    assert body.keys() == {
        "model", "prompt", "max_tokens", "seed", "temperature", "logprobs", "stream"
    }  # fmt: skip
    assert "some words" in body["prompt"]
    assert "\n\nwho 3\n" in body["prompt"]
    with pytest.raises(RunError, match=r"reader\.api"):
        run(configured(tmp_path, server, 6, logprobs=True), tmp_path / "out")


@pytest.mark.parametrize(
    "option", [{"structured": True}, {"reasoning_effort": "low"}, {"extra_body": {"best_of": 3}}]
)
def test_what_text_completions_do_not_do(
    tmp_path: Path, server: Server, option: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match=r"text completions do not support it|can't be changed"):
        configured(tmp_path, server, 1, api="completions", **option)


def test_a_judge_needs_another_api(tmp_path: Path, server: Server) -> None:
    config = configured(tmp_path, server, 1, api="completions")
    judge = Gpt4Backend(config, SilentProgress(), READER_ANSWER)
    with pytest.raises(ConfigError, match="follow no JSON schema"):
        judge.check()


# Previews show what is sent.


@pytest.mark.parametrize("api", ["chat", "responses", "completions"])
@pytest.mark.parametrize("model", ["reader-1", "gpt-5", "o1-mini"])  # system, developer, none
def test_a_preview_shows_the_very_request(
    tmp_path: Path, server: Server, api: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = longer(configured(tmp_path, server, 1, api=api, model=model), 16)
    run(config, tmp_path / "out")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    (shown,) = preview(config, SilentProgress())
    assert shown.request == server.bodies[0]
    sent = shown.request.get("prompt") or shown.request.get("input") or shown.request["messages"]
    turns = [{"role": turn.role, "content": turn.content} for turn in shown.turns]
    assert sent == (shown.text if api == "completions" else turns)
