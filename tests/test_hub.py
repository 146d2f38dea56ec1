"""Checking whether the Hugging Face hub can be reached."""

import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from huggingface_hub import constants

from aqa.backends.model_files import find_model
from aqa.config.backend_options import T5Options
from aqa.hub import ready_hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HTTPServer]:
    """A server in place of the hub that has nothing."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_EVALUATE_OFFLINE", "0")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    ready_hub.cache_clear()
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield server
    ready_hub.cache_clear()


def test_a_hub_that_answers_is_asked(hub: HTTPServer) -> None:
    """Even if it refuses."""
    answering = Thread(target=hub.handle_request)
    answering.start()
    ready_hub()
    answering.join()
    assert (constants.HF_HUB_OFFLINE, os.environ["HF_HUB_OFFLINE"]) == (False, "0")


def test_a_hub_that_can_not_be_reached_is_asked_once(hub: HTTPServer) -> None:
    hub.server_close()
    find_model(T5Options(name="t5", model="owner/reader"))
    assert (constants.HF_HUB_OFFLINE, os.environ["HF_HUB_OFFLINE"]) == (True, "1")


def test_a_local_model_asks_nobody(hub: HTTPServer, tmp_path: Path) -> None:
    hub.server_close()
    (tmp_path / "config.json").write_text("{}")
    find_model(T5Options(name="t5", model=str(tmp_path)))
    assert not constants.HF_HUB_OFFLINE
