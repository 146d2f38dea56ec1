"""Local addresses, certificates, SOCKS proxies, and invalid header values."""

import os
import socket
import ssl
import sys
from errno import EHOSTUNREACH, EMFILE
from itertools import pairwise
from pathlib import Path

import aiohttp
import httpx2
import pytest
from aiohttp.client_reqrep import ConnectionKey
from fault_server import Server, serving
from gpt4_runs import KEY, configured, run
from socks_proxy import leading
from untrusted_server import serving_untrusted

from aqa.backends.openai_api.access import Access, find_access
from aqa.backends.openai_api.connection import why_unreachable
from aqa.config.backend_options import Gpt4Options
from aqa.errors import ConfigError, MissingExtraError, ModelError
from aqa.runs.folder import read_manifest


@pytest.mark.parametrize(
    ("host", "spelt"),
    [
        ("localhost", "localhost"),
        ("localhost.", "localhost"),
        ("LOCALHOST", "localhost"),
        ("my.localhost", "my.localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.8.9.1", "127.8.9.1"),
        ("127.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("0.0.0.0", "0.0.0.0"),
        ("[::1]", "[::1]"),
        ("[::]", "[::]"),
        ("[::ffff:127.0.0.1]", "[::ffff:127.0.0.1]"),
    ],
)
def test_this_machine_has_many_names(
    host: str, spelt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    access = find_access(Gpt4Options(base_url=f"http://{host}:8000/v1"))
    assert access.is_local
    assert access.url.lower() == f"http://{spelt}:8000/v1"


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "1.1", "[::ffff:10.0.0.1]", "localhost.example.com", "128.1", "[fe80::1]"]
)
def test_another_machine_is_not_asked_without_encryption(host: str) -> None:
    with pytest.raises(ConfigError, match="unencrypted"):
        find_access(Gpt4Options(base_url=f"http://{host}:8000/v1"))


@pytest.mark.parametrize("host", ["a" * 70 + ".com", "a..b", "[::1", "", "host:port", "a b"])
def test_what_is_no_host_is_refused_before_anything_is_sent(host: str) -> None:
    with pytest.raises(ConfigError, match="not the address of a server"):
        find_access(Gpt4Options(base_url=f"https://{host}/v1"))


def test_an_address_and_a_key_as_they_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", " https://example.com/v1/\n")
    monkeypatch.setenv("OPENAI_API_KEY", f" {KEY}\r\n")
    access = find_access(Gpt4Options())
    assert (access.url, access.key) == ("https://example.com/v1", KEY)
    for key in (f'"{KEY}"', f"'{KEY}'", f"Bearer {KEY}", f"{KEY[:9]}\n{KEY[9:]}", f"{KEY}\u200b"):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        with pytest.raises(ConfigError, match=r"OPENAI_API_KEY is not .* spaces or quotation"):
            find_access(Gpt4Options())
    monkeypatch.setenv("OPENAI_API_KEY", "not needed")
    assert find_access(Gpt4Options(base_url="http://localhost:8000/v1")).key == "not needed"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:8000/v1?")
    with pytest.raises(ConfigError, match="a query"):
        find_access(Gpt4Options())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OPENAI_PROJECT_ID", "\ud504\ub85c\uc81d\ud2b8"),
        ("OPENAI_ORG_ID", "org-\u00fc"),
        ("OPENAI_CUSTOM_HEADERS", "X-Team: \u00fcber\nX-Other: 1"),
        ("OPENAI_PROJECT_ID", "proj\x07"),
    ],
)
def test_what_no_header_can_hold_is_named(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=f"{name} is not a valid .*; copy it again"):
        find_access(Gpt4Options(base_url="http://localhost:1/v1"))


def test_headers_of_the_environment_may_be_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Team: a\nX-Other: 1")
    assert find_access(Gpt4Options(base_url="http://localhost:1/v1")).is_local


@pytest.mark.parametrize("with_aiohttp", [True, False])
@pytest.mark.slow
def test_a_certificate_that_nobody_signed(
    tmp_path: Path, with_aiohttp: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence, and nothing counts as spent, since nothing was sent."""
    if not with_aiohttp:
        monkeypatch.setitem(sys.modules, "aiohttp", None)
    with serving_untrusted() as url:
        config = configured(tmp_path, Server(url=url), 3)
        with pytest.raises(ModelError, match="certificate is not trusted: self-signed"):
            run(config, tmp_path / "out")
    spent = read_manifest(tmp_path / "out")["served"]["spent"]
    assert (spent["input_tokens"], spent["usd"]) == (0, 0)


@pytest.mark.parametrize(
    ("code", "reason", "told"),
    [
        (18, "self-signed certificate", "self-signed certificate; if your own authority"),
        (10, "certificate has expired", "certificate has expired)"),
        (62, "Hostname mismatch.", "Hostname mismatch)"),
    ],
)
def test_an_authority_is_asked_for_only_if_it_is_missing(code: int, reason: str, told: str) -> None:
    failed = ssl.SSLCertVerificationError(1, reason)
    failed.verify_code, failed.verify_message = code, reason
    why = why_unreachable(unsent(failed), Access("https://localhost/v1", True, KEY))
    assert why is not None
    assert why.startswith(f" (its certificate is not trusted: {told}")


def unsent(*causes: BaseException) -> BaseException:
    """The client's error for a request that was not sent; each cause is that of the previous."""
    chain = [RuntimeError(), httpx2.ConnectError(""), *causes]
    for error, cause in pairwise(chain):
        error.__cause__ = cause
    return chain[0]


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (OSError(EHOSTUNREACH, "Connect call failed"), os.strerror(EHOSTUNREACH)),
        (OSError(EMFILE, "Too many open files"), os.strerror(EMFILE)),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "no names of hosts can be looked"),
        (socket.gaierror(socket.EAI_NONAME, "Name not known"), "there is no such host"),
    ],
)
def test_a_reason_of_the_system_is_told(cause: OSError, reason: str) -> None:
    place = ConnectionKey("host", 443, True, True, None, None, None, None)
    error = unsent(aiohttp.ClientConnectorError(place, cause), cause)
    why = why_unreachable(error, Access("https://localhost/v1", True, KEY))
    assert why is not None
    assert why.startswith(f" ({reason}")


@pytest.mark.parametrize(
    ("cause", "reason"),
    [
        (socket.gaierror(), "(there is no such host)"),
        (ConnectionRefusedError(), "(nothing listens"),
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
def test_a_proxy_that_is_not_there_is_not_taken_for_the_server(
    cause: OSError, reason: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = Access("https://api.example.com/v1", False, KEY)
    through = f" through the proxy that the environment names {reason}"
    monkeypatch.setenv(variable, "socks5://proxy:1080")
    assert str(why_unreachable(unsent(cause), access)).startswith(through)
    monkeypatch.setenv("NO_PROXY", "example.com")
    assert str(why_unreachable(unsent(cause), access)).startswith(f" {reason}")


# Through a SOCKS proxy.


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return "http://api.example.com/v1"


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_socks_proxy_is_spoken_to_as_such(
    tmp_path: Path, remote: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Server()) as server, leading(int(server.url.split(":")[2].split("/")[0])) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://127.0.0.1:{proxy.port}")
        config = configured(tmp_path, server, 4, base_url=remote, allow_http=True)
        assert run(config, tmp_path / "out").answered == 4
    assert set(proxy.hosts) == {"api.example.com"}
    assert proxy.others == []


def test_without_the_package_no_key_goes_to_a_socks_proxy(
    tmp_path: Path, remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    with leading(1) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"socks5://127.0.0.1:{proxy.port}")
        config = configured(tmp_path, Server(), 1, base_url=remote, allow_http=True)
        with pytest.raises(MissingExtraError, match=r"aqa\[socks\]"):
            run(config, tmp_path / "out")
    assert (proxy.hosts, proxy.others) == ([], [])
