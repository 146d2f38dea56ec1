"""The guard itself: processes started by tests connect only to this machine, like the tests."""

import subprocess
import sys
from pathlib import Path

import pytest
from calls import Call

# Documentation addresses (RFC 5737, RFC 3849), at which nobody would answer.
WAYS = [
    "import socket; socket.create_connection(('192.0.2.1', 80), 1)",
    "import socket; socket.create_connection(('2001:db8::1', 80), 1)",
    "import socket; socket.getaddrinfo('example.org', 443)",
    "import socket; socket.gethostbyname('example.org')",
    "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'?', ('192.0.2.1', 53))",
    "import asyncio; asyncio.run(asyncio.open_connection('192.0.2.1', 80))",
    "import urllib.request; urllib.request.urlopen('https://example.org')",
]


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("code", WAYS)
def test_a_child_process_reaches_no_other_machine(code: str) -> None:
    done = run_python(code)
    assert done.returncode == 1
    assert "no test calls the internet" in done.stderr


def test_a_child_process_reaches_this_machine() -> None:
    code = (
        "import socket; server = socket.create_server(('127.0.0.1', 0));"
        "socket.create_connection(('localhost', server.getsockname()[1])).close(); print('there')"
    )
    assert run_python(code).stdout == "there\n"


def test_the_tests_themselves_look_no_name_up() -> None:
    import socket

    with pytest.raises(OSError, match="no test calls the internet"):
        socket.getaddrinfo("example.org", 443)


@pytest.mark.slow
def test_aqa_in_a_process_of_its_own_is_guarded(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    run_aqa: Call,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789")
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"id": "1", "question": "who", "context": "I"}\n')
    done = run_aqa(
        "predict", "gpt4", "--data", rows, "-o", tmp_path / "out",
        "--set", "backend.base_url=https://192.0.2.1/v1",
    code=1)  # fmt: skip
    assert "no test calls the internet, but socket.connect was called" in done.stderr
    assert "no connection to https://192.0.2.1/v1" in done.stderr
