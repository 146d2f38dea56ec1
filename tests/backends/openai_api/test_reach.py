"""Extra parts of requests, signing in to Azure, and settings for particular servers."""

import json
import stat
import sys
import types
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from fault_server import Body, Fault, Server, failure, serving
from gpt4_runs import KEY, completion, configured, predictions, run

from aqa.backends.openai_api.access import Access, find_access
from aqa.backends.openai_api.backend import Gpt4Backend
from aqa.backends.openai_api.cache import ResponseCache
from aqa.backends.openai_api.replies import error_text
from aqa.config.backend_options import Gpt4Options
from aqa.config.load import build_config
from aqa.display.terminal import safe_text
from aqa.errors import ConfigError, MissingExtraError, ModelError
from aqa.progress import SilentProgress
from aqa.runs.folder import read_manifest


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(Server()) as found:
        yield found


class HeaderServer(Server):
    """Records the headers of every request."""

    async def respond(self, lines: list[str], body: Body, writer: Any) -> bool:
        self.heads = [*getattr(self, "heads", []), "\n".join(lines).lower()]
        return await super().respond(lines, body, writer)


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_what_is_added_to_a_request(
    tmp_path: Path, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Secret: s3cret-of-mine")
    extra = {"provider": {"order": ["a"]}, "top_k": 5, "text": {"verbosity": "low"}}
    options: dict[str, Any] = {
        "api": api,
        "extra_body": extra,
        "extra_headers": {"X-Team": "readers"},
        "user_agent": "my-study/1.0",
        "service_tier": "flex",
        "structured": True,
    }
    with serving(HeaderServer()) as server:
        base = configured(tmp_path, server, 1, **options)
        config = build_config(
            Gpt4Backend.Options,
            [
                {
                    "data": {"path": base.data.path},
                    "backend": base.backend.model_dump(exclude_unset=True),
                    "generation": {"max_new_tokens": 16},
                }
            ],
        )
        server.answer = lambda body: json.dumps(
            {"answer": "x", "passages": [1], "answerable": True}
        )
        assert run(config, tmp_path / "out").answered == 1
        body = server.bodies[0]
        head = server.heads[0]  # type: ignore[attr-defined]
    assert (body["provider"], body["top_k"]) == ({"order": ["a"]}, 5)
    assert (body["service_tier"], body["stream"]) == ("flex", False)
    assert body["text"]["verbosity"] == "low"
    if api == "responses":
        assert body["text"]["format"]["name"] == "reader_answer", "it stands beside ours"
    assert "x-team: readers" in head
    assert "user-agent: my-study/1.0" in head
    assert "x-secret: s3cret-of-mine" in head
    manifest = read_manifest(tmp_path / "out")
    assert manifest["fingerprint"]["reader"]["extra_body"] == extra
    written = b"".join(p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert b"s3cret" not in written


def test_secret_headers_are_nowhere_even_if_the_server_repeats_them(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "X-Client-Secret: s3cret-of-mine\nX-Authorization: Bearer t0ken-of-mine"
    secret += "\nX-Auth: auth-of-mine\nX-Amz-Credential: credential-of-mine"
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"{secret}\nX-Author: readers-here")
    said = "s3cret-of-mine, t0ken-of-mine, auth-of-mine, credential-of-mine, readers-here"
    server.answer = lambda body: said
    server.script = lambda number, body: Fault(400, failure(said)) if number == 0 else None
    run(configured(tmp_path, server, 2, max_concurrency=1), tmp_path / "out")
    written = b"".join(p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert b"-of-mine" not in written
    rows = predictions(tmp_path / "out")
    assert rows["q0"]["error"] == rows["q1"]["raw"] == "***, ***, ***, ***, readers-here"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"extra_body": {"temperature": 1}}, "temperature is set by generation.temperature"),
        ({"extra_body": {"max_tokens": 1}}, "set by generation.max_new_tokens"),
        ({"extra_body": {"stream": True}}, "stream can't be changed"),
        ({"extra_body": {"messages": []}}, "messages is set by prompt"),
        ({"extra_body": {"until": date(2026, 1, 1)}}, "it holds something that JSON can't express"),
        ({"extra_headers": {"Authorization": "x"}}, "OPENAI_CUSTOM_HEADERS"),
        ({"extra_headers": {"x-api-key": "x"}}, "OPENAI_CUSTOM_HEADERS"),
        ({"extra_headers": {"X-Auth": "x"}}, "extra_headers: X-Auth may hold a secret"),
        ({"extra_headers": {"X Team": "x"}}, "not the name of a header"),
        ({"extra_headers": {"X-Team": "\ud300"}}, "can't be sent in a header"),
        ({"extra_headers": {"X-Team": "a\r\nX-Other: b"}}, "can't be sent in a header"),
        ({"user_agent": "\u00fc"}, "can't be sent in a header"),
        ({"entra_id": True}, "needs backend.provider = azure"),
    ],
)
def test_what_may_not_be_added(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        build_config(Gpt4Backend.Options, [{"backend": options}])


def test_what_is_added_is_read_again_as_it_was(tmp_path: Path) -> None:
    """YAML allows numeric keys, which JSON, and so the manifest, does not."""
    with serving(Server()) as server:
        config = configured(tmp_path, server, 2, extra_body={"logit_bias": {50256: -100}})
        run(config, tmp_path / "out")
        assert server.bodies[0]["logit_bias"] == {"50256": -100}
        assert run(config, tmp_path / "out").answered == 2
    assert server.requests == 2


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("base_url", f"http://localhost:9/{KEY}/v1"),
        ("extra_headers", {"X-Team": f"a {KEY}"}),
        ("extra_body", {"user": {"id": KEY}}),
    ],
)
def test_no_config_holds_the_key(option: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    options = {"base_url": "http://localhost:9/v1", option: value}
    with pytest.raises(ConfigError, match=f"backend.{option} holds the key of OPENAI_API_KEY"):
        find_access(Gpt4Options.model_validate(options))


def test_what_else_is_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cookies in headers, and a proxy's password, also in the form sent to the proxy."""
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Cookie: id=c00kie-1; b=x\nX-Team: readers")
    monkeypatch.setenv("http_proxy", "http://us3r:pr0xy%2Fword@127.0.0.1:9")
    access = find_access(Gpt4Options(base_url="http://localhost:9/v1"))
    said = "c00kie-1 pr0xy/word dXMzcjpwcjB4eS93b3Jk readers us3r"
    assert access.without_key(said) == "*** *** *** readers us3r"


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"extra_body": {"top_k": 5}}, "extra_body.top_k"),
        ({"service_tier": "fast"}, "service_tier"),
    ],
)
def test_what_was_added_and_is_refused_stops(
    tmp_path: Path, server: Server, options: dict[str, Any], name: str
) -> None:
    param = name.removeprefix("extra_body.")
    told = f"Unrecognized request argument supplied: '{param}'"
    server.script = lambda number, body: Fault(400, failure(told, None, param))
    with pytest.raises(ModelError, match=f"refuses backend.{name} = .*{told}"):
        run(configured(tmp_path, server, 3, **options), tmp_path / "out")


# Azure by Entra ID.

AZURE = {"provider": "azure", "api_version": "2024-10-21", "model": "mine"}
TOKEN = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.test"


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_keys")
def test_a_token_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", TOKEN)
    with serving(Server()) as server:
        server.script = lambda number, body: completion(f"It is {TOKEN}")
        base = server.url.removesuffix("/v1")
        assert run(configured(tmp_path, server, 2, **AZURE, base_url=base), tmp_path / "out")
        assert set(server.keys) == {(TOKEN, "")}
    assert predictions(tmp_path / "out")["q0"]["predicted_answer"] == "It is ***"


def as_azure_identity(monkeypatch: pytest.MonkeyPatch, give: Any) -> list[str]:
    """Install a fake package azure-identity whose tokens come from `give`."""
    scopes: list[str] = []
    core, identity = types.ModuleType("azure.core.exceptions"), types.ModuleType("azure.identity")
    core.AzureError = AzureError  # type: ignore[attr-defined]
    identity.DefaultAzureCredential = object  # type: ignore[attr-defined]

    def provider(credential: object, scope: str) -> Any:
        scopes.append(scope)
        return give

    identity.get_bearer_token_provider = provider  # type: ignore[attr-defined]
    for name in ("azure", "azure.core"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "azure.core.exceptions", core)
    monkeypatch.setitem(sys.modules, "azure.identity", identity)
    return scopes


class AzureError(Exception):
    pass


@pytest.mark.usefixtures("no_keys")
def test_azure_identity_signs_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scopes = as_azure_identity(monkeypatch, lambda: TOKEN)
    with serving(Server()) as server:
        server.script = lambda number, body: completion(f"It is {TOKEN}")
        base = server.url.removesuffix("/v1")
        config = configured(tmp_path, server, 2, **AZURE, base_url=base, entra_id=True)
        assert run(config, tmp_path / "out").answered == 2
        assert set(server.keys) == {(TOKEN, "")}
    assert scopes == ["https://cognitiveservices.azure.com/.default"]
    written = b"".join(p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert TOKEN.encode() not in written


@pytest.mark.usefixtures("no_keys")
def test_who_has_not_signed_in_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise AzureError("please run az login\nand much more")

    as_azure_identity(monkeypatch, refuse)
    with serving(Server()) as server:
        base = server.url.removesuffix("/v1")
        config = configured(tmp_path, server, 2, **AZURE, base_url=base, entra_id=True)
        with pytest.raises(ConfigError, match=r"Entra ID gives no token: please run az login$"):
            run(config, tmp_path / "out")
        monkeypatch.setitem(sys.modules, "azure.identity", None)
        with pytest.raises(MissingExtraError, match=r"aqa\[azure\]"):
            run(config, tmp_path / "out")


@pytest.mark.usefixtures("no_keys")
def test_without_any_of_them_all_ways_are_named() -> None:
    options = Gpt4Options(**AZURE, base_url="https://x.openai.azure.com")
    with pytest.raises(ConfigError, match=r"AZURE_OPENAI_API_KEY; or a token .* backend.entra_id"):
        find_access(options)


# Messages from servers.


def test_azures_details_are_read(tmp_path: Path, server: Server) -> None:
    refusal = {
        "error": {
            "code": "Invalid input",
            "status": 422,
            "message": "invalid input error",
            "details": [
                {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "not permitted"}
            ],
        }
    }
    assert error_text(refusal) == "invalid input error; body.seed: not permitted"
    server.script = lambda number, body: Fault(422, refusal) if "seed" in body else None
    assert run(configured(tmp_path, server, 4), tmp_path / "out").answered == 4


def test_nobody_turns_the_direction_of_our_words() -> None:
    told = "bad \u202etxet\x1b[2J \u2066x\u2069\u200f \u061c"
    shown = Access("http://localhost", True, "none").short_line(told)
    assert shown == "bad  txet [2J  x"
    assert not set("\u202e\u2066\u2069\u200f\u061c\x1b") & set(safe_text(told))


# The cache file.

ODD_ROWS: list[dict[str, Any]] = [
    {"raw": 5},
    {"raw": None},
    {"raw": "x", "answer_tokens": "many"},
    {"raw": "x", "nbest": [["a"]]},
    {"raw": "x", "structured": {"text": 5}},
    {"raw": "x", "error": "no"},
    {"raw": "x", "confidence": "high"},
    {"model": "m"},
]


@pytest.mark.parametrize("row", [*ODD_ROWS, [], "x", 1, None], ids=str)
def test_rows_of_another_shape_are_ignored(tmp_path: Path, row: object) -> None:
    cache = ResponseCache(tmp_path / "cache.sqlite")
    cache._file.execute("INSERT INTO answers VALUES (?, ?)", (b"key", json.dumps(row)))
    assert cache.find(b"key", "q") is None
    cache.close()


def test_nobody_else_reads_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cache.sqlite"
    cache = ResponseCache(path)
    cache._file.execute("INSERT INTO answers VALUES (?, ?)", (b"key", "{}"))
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()}
    cache.close()
    assert set(modes.values()) == {0o600}, modes
    path.chmod(0o664)  # shared with a group on purpose
    ResponseCache(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o664
    monkeypatch.setattr("aqa.backends.openai_api.cache.cache_path", lambda given: path)
    ResponseCache(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_run_without_them_sends_nothing_of_it(tmp_path: Path, server: Server) -> None:
    Gpt4Backend(configured(tmp_path, server, 1), SilentProgress()).check()
    run(configured(tmp_path, server, 1), tmp_path / "out")
    names = {"messages", "model", "seed", "temperature", "max_tokens", "stream"}
    assert set(server.bodies[0]) == names
    assert server.bodies[0]["stream"] is False
