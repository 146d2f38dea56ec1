"""Token limits with reasoning, and asking failed questions again with a higher limit."""

import json
from pathlib import Path
from typing import Any

import pytest
from fault_server import Fault, Server
from gpt4_runs import GO_ON, completion, configured, predictions, run

from aqa.backends.openai_api.backend import Gpt4Backend
from aqa.config.backend_options import Gpt4Options
from aqa.config.options import RunConfig
from aqa.errors import RunError
from aqa.progress import SilentProgress
from aqa.runs.folder import read_manifest
from aqa.verbs.predict import Resume, dry_run

pytestmark = pytest.mark.usefixtures("hurried")

AGAIN = Resume(retry_errors=True)


def longer(config: RunConfig, tokens: int) -> RunConfig:
    generation = config.generation.model_copy(update={"max_new_tokens": tokens})
    return config.model_copy(update={"generation": generation})


def room(body: dict[str, Any]) -> int:
    return next(int(body[name]) for name in body if name.startswith("max_"))


@pytest.mark.parametrize(
    ("options", "tokens"),
    [
        ({"model": "gpt-4.1"}, 0),
        ({"model": "gpt-5.1"}, 8192),
        ({"model": "openai/o3", "reasoning_effort": "low"}, 4096),
        ({"model": "gpt-6-luna", "reasoning_effort": "high"}, 16_384),
        ({"model": "gpt-5.1", "reasoning_effort": "none"}, 0),
        ({"model": "Qwen/Qwen3-8B"}, 8192),
        ({"model": "deepseek-reasoner", "max_seq_length": 4096}, 1024),
        ({"model": "mine", "reasoning_tokens": 500}, 500),
        ({"model": "gpt-5.1", "reasoning_tokens": 500}, 500),
    ],
)
def test_models_that_think_have_room_for_it(options: dict[str, Any], tokens: int) -> None:
    assert Gpt4Options(**options).reasoning_tokens == tokens


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_the_room_is_asked_for_and_counted(tmp_path: Path, server: Server, api: str) -> None:
    config = configured(tmp_path, server, 2, model="gpt-5.1", api=api)
    estimate = dry_run(config, tmp_path / "out", SilentProgress())
    assert estimate.output_tokens == (2, 2 * (4 + 8192))
    run(config, tmp_path / "out")
    assert {room(body) for body in server.bodies} == {4 + 8192}
    assert read_manifest(tmp_path / "out")["fingerprint"]["reader"]["reasoning_tokens"] == 8192


def test_what_has_no_room_to_think_is_as_before(tmp_path: Path, server: Server) -> None:
    reader = Gpt4Backend(configured(tmp_path, server, 1), SilentProgress())
    assert "reasoning_tokens" not in reader.identity()


def cut_below(tokens: int) -> Any:
    """Every other question needs so many tokens."""

    def script(number: int, body: dict[str, Any]) -> Fault | None:
        odd = int(body["messages"][-1]["content"].split()[-1]) % 2
        return completion("", "length") if odd and room(body) < tokens else None

    return script


def test_failed_ones_are_asked_again_with_more_room(tmp_path: Path, server: Server) -> None:
    server.script = cut_below(100)
    config, folder = configured(tmp_path, server, 6, max_concurrency=1), tmp_path / "out"
    assert run(config, folder).failed == 3
    with pytest.raises(RunError, match=r"max_new_tokens was 4 and is now 128.*with --retry-errors"):
        run(longer(config, 128), folder)
    more = dry_run(longer(config, 128), folder, SilentProgress(), AGAIN)
    assert (more.examples, more.answered) == (3, 3)
    assert run(longer(config, 128), folder, AGAIN).answered == 6
    assert server.requests == 9
    rows = predictions(folder)
    assert [row.get("asked_with") for row in rows.values()] == [None, {"max_new_tokens": 128}] * 3
    manifest = read_manifest(folder)
    assert manifest["fingerprint"]["reader"]["max_new_tokens"] == 4  # as when the run began
    assert manifest["config"]["generation"]["max_new_tokens"] == 128
    assert run(config, folder, GO_ON).resumed == 6  # the same run


def test_so_they_are_with_room_to_think(tmp_path: Path, server: Server) -> None:
    server.script = cut_below(1000)
    folder = tmp_path / "out"
    assert run(configured(tmp_path, server, 4, max_concurrency=1), folder).failed == 2
    config = configured(tmp_path, server, 4, reasoning_tokens=2000)
    assert run(config, folder, AGAIN).answered == 4
    assert predictions(folder)["q1"]["asked_with"] == {"reasoning_tokens": 2000}


def test_nothing_else_may_change(tmp_path: Path, server: Server) -> None:
    server.script = cut_below(100)
    run(configured(tmp_path, server, 4, max_concurrency=1), tmp_path / "out")
    config = longer(configured(tmp_path, server, 4, model="other"), 128)
    with pytest.raises(RunError, match="model was") as told:
        run(config, tmp_path / "out", AGAIN)
    assert "--retry-errors" not in str(told.value)
    journal = (tmp_path / "out" / "predictions.jsonl").read_text(encoding="utf-8")
    assert len(journal.splitlines()) == 1 + 4
    assert json.loads(journal.splitlines()[0])["fingerprint"]["reader"]["max_new_tokens"] == 4
