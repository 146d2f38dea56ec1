"""A new user's commands without internet access: one sentence at once, and nothing is written.

In all other tests HF_HUB_OFFLINE says that there is no hub; here libraries have to find out.
"""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from calls import Call

HUB = "huggingface.co:443"
MODEL = "this model could not be downloaded from the hub"
COMMANDS = {
    "llama": ("predict llama --config llama_3_1_8b --data q.json", MODEL),
    "t5": ("predict t5 --model owner/reader --data q.json", MODEL),
    "training": ("train t5 --config t5_small --data q.json", MODEL),
    "preview": ("prompt-preview llama --model owner/reader --data q.json", MODEL),
    "tokenizer": ("predict gpt4 --dry-run --data q.json --set backend.tokenizer=owner/it", MODEL),
    "data": ("predict gpt4 --dry-run --data squad_v2", "no file, folder or data set of the hub"),
    "references": ("evaluate a.json --data squad_v2 --metrics em", "or data set of the hub"),
    "metric": ("evaluate a.json --data q.json --metrics hf:rouge", "this metric can't be loaded"),
    "bertscore": ("evaluate a.json --data q.json --metrics bertscore", "can't load the model"),
}


class Refusing(BaseHTTPRequestHandler):
    """A proxy that refuses everybody."""

    def do_CONNECT(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.send_error(503)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """The requests to the only way out, from a user with an empty cache."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as proxy:
        proxy.asked = []  # type: ignore[attr-defined]
        Thread(target=proxy.serve_forever, daemon=True).start()
        for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_port}")
        monkeypatch.delenv("HF_HUB_OFFLINE")
        monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
        yield proxy.asked  # type: ignore[attr-defined]
        proxy.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_the_hub_is_asked_once(
    name: str,
    run_aqa: Call,
    tmp_path: Path,
    asked: list[str],
) -> None:
    rows = [{"id": "1", "question": "Who?", "context": "Ada wrote it.", "answers": ["Ada"]}]
    (tmp_path / "q.json").write_text(json.dumps(rows))
    (tmp_path / "a.json").write_text('{"1": "Ada"}')
    command, told = COMMANDS[name]
    done = run_aqa(*command.split(), code=1)
    *notes, error = done.stderr.strip().splitlines()
    assert error.startswith("error: ")
    assert told in error
    assert not [note for note in notes if "etry" in note or "http" in note or "Error" in note]
    assert done.stdout == ""
    assert asked == [HUB]
    assert {path.name for path in tmp_path.iterdir()} <= {"q.json", "a.json", "cache"}
