"""Shared by the tests of gpt4: questions, a config for the fault server, and a run."""

import json
from pathlib import Path
from typing import Any

from fault_server import Fault, Server
from files import lines, write

from aqa.backends.openai_api.backend import Gpt4Backend
from aqa.config.load import build_config
from aqa.config.options import RunConfig
from aqa.progress import SilentProgress
from aqa.runs.names import PREDICTIONS
from aqa.verbs.predict import PredictResult, Resume, predict

GO_ON = Resume()
KEY = "sk-test-0123456789abcdef-secret"
USAGE = {"prompt_tokens": 10, "completion_tokens": 2}


def write_questions(folder: Path, count: int) -> Path:
    rows = [
        {"id": f"q{n}", "question": f"who {n}", "context": "some words", "answers": [str(n)]}
        for n in range(count)
    ]
    return write(folder, "questions.jsonl", lines(rows))


def configured(folder: Path, server: Server, count: int, **backend: object) -> RunConfig:
    options = {
        "model": "reader-1",
        "base_url": server.url,
        "price": {"input": 1, "output": 2},
        **backend,
    }
    layer: dict[str, Any] = {
        "data": {"path": str(write_questions(folder, count))},
        "backend": options,
        "generation": {"max_new_tokens": 4},
    }
    return build_config(Gpt4Backend.Options, [layer])


def run(
    config: RunConfig, folder: Path, resume: Resume = GO_ON, notes: list[str] | None = None
) -> PredictResult:
    progress = SilentProgress()
    try:
        return predict(config, folder, progress, resume)
    finally:
        if notes is not None:
            notes += progress.notes


def command_line(server: Server) -> list[str]:
    """The words of a run on the written questions."""
    words = ["predict", "gpt4", "-d", "questions.jsonl", "-o", "out"]
    return [*words, "--set", f"backend.base_url={server.url}"]


def predictions(folder: Path) -> dict[str, Any]:
    return json.loads((folder / PREDICTIONS).read_bytes())  # type: ignore[no-any-return]


def completion(content: str | None, finish: str = "stop", **message: object) -> Fault:
    """A chat completion to send instead of the server's own."""
    choice = {"message": {"content": content, **message}, "finish_reason": finish}
    return Fault(200, {"model": "m", "choices": [choice], "usage": USAGE})
