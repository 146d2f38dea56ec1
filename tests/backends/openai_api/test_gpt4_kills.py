"""1,000 questions, 20 % mixed faults, and kill -9 at random moments."""

import json
import random
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fault_server import Server, by_chance, serving
from forked import Forked, wait_until

from aqa.backends.openai_api.backend import Gpt4Backend
from aqa.config.load import build_config
from aqa.errors import StoppedError
from aqa.progress import SilentProgress
from aqa.runs.folder import read_manifest
from aqa.runs.names import JOURNAL, PREDICTIONS
from aqa.verbs.predict import predict

QUESTIONS = 1000
KILLS = 7
CONCURRENCY = 16


def answer(data: Path, url: str, folder: Path, **options: object) -> None:
    backend = {"base_url": url, "max_concurrency": CONCURRENCY, "reasoning_tokens": 0, **options}
    layer = {"data": {"path": str(data)}, "backend": backend}
    config = build_config(Gpt4Backend.Options, [layer])
    predict(config, folder, SilentProgress())


def questions(folder: Path, count: int) -> Path:
    data = folder / "data.jsonl"
    rows = [{"id": f"q{n}", "question": f"who {n}", "context": "text"} for n in range(count)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return data


def kill(server: Server, requests: int, *arguments: object, **options: object) -> None:
    """Start answering, and kill -9 after so many requests."""
    enough = server.requests + requests
    process = Forked(partial(answer, *arguments, **options))
    wait_until(lambda: server.requests >= enough, process)
    process.kill()
    assert process.returncode == -signal.SIGKILL, "the moments must lie within the run"


@pytest.mark.slow
def test_killed_at_any_moment_nothing_is_lost(tmp_path: Path) -> None:
    data, folder = questions(tmp_path, QUESTIONS), tmp_path / "out"
    moments = random.Random(15)
    with serving(Server(script=by_chance(0.2), latency=0.005, keep_bodies=False)) as server:
        for _ in range(KILLS):
            kill(server, moments.randint(1, 100), data, server.url, folder)
        assert folder.joinpath(JOURNAL).stat().st_size > 0
        answer(data, server.url, folder)
    found = json.loads((folder / PREDICTIONS).read_bytes())
    assert [row["predicted_answer"] for row in found.values()] == list(map(str, range(QUESTIONS)))
    assert len(server.answered) == QUESTIONS
    assert server.answered.total() - QUESTIONS <= KILLS * CONCURRENCY
    assert server.requests <= 1.6 * QUESTIONS + KILLS * CONCURRENCY
    lines = (folder / JOURNAL).read_bytes().splitlines()[1:]
    assert len(lines) == QUESTIONS  # no answer occurs twice


@pytest.mark.slow
def test_no_kill_hides_spending_from_a_cap(tmp_path: Path) -> None:
    """Answers that were paid for but had not arrived at a kill count, too."""
    data, folder = questions(tmp_path, 200), tmp_path / "out"
    options: dict[str, Any] = {"price": {"input": 1, "output": 2}, "max_concurrency": 4}
    with serving(Server(latency=0.03, keep_bodies=False)) as server:
        answer(data, server.url, tmp_path / "whole", **options)
        options["max_cost"] = cap = server.cost(1, 2) / 2
        server.prompt_tokens = server.answer_tokens = 0
        for _ in range(2):  # each during its requests
            kill(server, 10, data, server.url, folder, **options)
        with pytest.raises(StoppedError, match="max-cost"):
            answer(data, server.url, folder, **options)
        paid = server.cost(1, 2)
    told = read_manifest(folder)["served"]["spent"]["usd"]
    journal = [json.loads(line) for line in (folder / JOURNAL).read_bytes().splitlines()[1:]]
    answers = sum(row["spent"]["cost"] for row in journal)
    assert answers < paid <= told <= cap


def patiently(*words: str) -> None:
    """Run `aqa`, giving requests in flight time to finish, which depends on the machine."""
    from aqa.__main__ import main
    from aqa.backends import event_loop

    event_loop.GRACE = 300.0
    sys.argv = ["aqa", *words]
    main()


@pytest.mark.slow
def test_ctrl_c_keeps_what_was_answered(tmp_path: Path) -> None:
    rows = [{"id": f"q{n}", "question": f"who {n}", "context": "text"} for n in range(500)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "data.jsonl").write_text(lines, encoding="utf-8")
    with serving(Server(latency=0.1)) as server:
        words = ["predict", "gpt4", "-d", "data.jsonl", "-o", "out"]
        words += ["--set", f"backend.base_url={server.url}"]
        process = Forked(patiently, *words, folder=tmp_path)
        wait_until(lambda: server.answered.total() >= 30, process)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode == 130
    assert "interrupted" in errors
    assert not {"Traceback", "Warning", "never"} & set(errors.split())
    manifest = read_manifest(tmp_path / "out")
    assert manifest["status"] == "interrupted"
    assert manifest["counts"]["answered"] == manifest["served"]["requests"]["sent"]
    assert "unfinished" not in manifest["served"]
    assert manifest["counts"]["answered"] >= 30 - 16
