"""2,000 questions, 20 % mixed faults, and kill -9 at random moments."""

import json
import multiprocessing
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from fault_server import Server, by_chance, serving

from aqa.backends.gpt4 import Gpt4Backend
from aqa.config import build_config
from aqa.journal import JOURNAL, PREDICTIONS
from aqa.predict import predict
from aqa.progress import SilentProgress
from aqa.runs import read_manifest

QUESTIONS = 2000
KILLS = 15
CONCURRENCY = 16


def answer(data: Path, url: str, folder: Path) -> None:
    backend = {"base_url": url, "max_concurrency": CONCURRENCY}
    layer = {"data": {"path": str(data)}, "backend": backend}
    config = build_config(Gpt4Backend.Options, [layer])
    predict(config, Gpt4Backend, folder, SilentProgress())


def test_killed_at_any_moment_nothing_is_lost(tmp_path: Path) -> None:
    data, folder = tmp_path / "data.jsonl", tmp_path / "out"
    rows = [{"id": f"q{n}", "question": f"who {n}", "context": "text"} for n in range(QUESTIONS)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["aqa.predict", "aqa.backends.gpt4", "openai"])
    moments = random.Random(15)
    with serving(Server(script=by_chance(0.2), latency=0.005, keep_bodies=False)) as server:
        for _ in range(KILLS):
            before = server.requests
            process = context.Process(target=answer, args=(data, server.url, folder))
            process.start()
            while server.requests == before:
                assert process.is_alive()
                time.sleep(0.01)
            time.sleep(moments.uniform(0.0, 0.4))
            process.kill()
            process.join()
            assert process.exitcode == -signal.SIGKILL, "the moments must lie within the run"
        assert folder.joinpath(JOURNAL).stat().st_size > 0
        answer(data, server.url, folder)
    found = json.loads((folder / PREDICTIONS).read_bytes())
    assert [row["predicted_answer"] for row in found.values()] == list(map(str, range(QUESTIONS)))
    assert len(server.answered) == QUESTIONS
    assert server.answered.total() - QUESTIONS <= KILLS * CONCURRENCY
    assert server.requests <= 1.6 * QUESTIONS + KILLS * CONCURRENCY
    lines = (folder / JOURNAL).read_bytes().splitlines()[1:]
    assert len(lines) == QUESTIONS  # no answer stands twice


def test_ctrl_c_keeps_what_was_answered(tmp_path: Path) -> None:
    rows = [{"id": f"q{n}", "question": f"who {n}", "context": "text"} for n in range(500)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "data.jsonl").write_text(lines, encoding="utf-8")
    with serving(Server(latency=0.1)) as server:
        command = [sys.executable, "-m", "aqa", "predict", "gpt4", "-d", "data.jsonl", "-o", "out"]
        command += ["--set", f"backend.base_url={server.url}"]
        with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
            while server.answered.total() < 30:
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert not {"Traceback", "Warning", "never"} & set(errors.split())
    manifest = read_manifest(tmp_path / "out")
    assert manifest["status"] == "interrupted"
    assert manifest["counts"]["answered"] == manifest["served"]["requests"]["sent"]
    assert "unfinished" not in manifest["served"]
    assert manifest["counts"]["answered"] >= 30 - 16
