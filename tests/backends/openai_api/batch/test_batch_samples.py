"""Several samples per answer through the Batch API: as when live, each paid for once."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fault_batches import BatchingServer, disordered
from fault_server import FILTERED, Fault, serving
from gpt4_runs import configured, predictions, run

from aqa.config.options import GenerationOptions, RunConfig
from aqa.errors import AqaError, StoppedError
from aqa.progress import SilentProgress
from aqa.runs.folder import read_manifest
from aqa.runs.names import JOURNAL, PREDICTIONS, SAMPLES
from aqa.verbs.predict import Resume, dry_run

pytestmark = pytest.mark.usefixtures("hurried")

SEED, COUNT, SAMPLED = 42, 6, 3
TEXTS = ("Rome", "New York", "new york.")


@pytest.fixture
def server() -> Iterator[BatchingServer]:
    with serving(BatchingServer()) as found:
        assert isinstance(found, BatchingServer)
        found.answer = lambda body: TEXTS[body["seed"] - SEED]
        found.arrange = disordered
        yield found


def sampled(folder: Path, server: BatchingServer, live: bool = False, **more: Any) -> RunConfig:
    batch = {"poll_seconds": 0.01, "max_requests": 7}
    config = configured(
        folder, server, COUNT, batch_api=not live, **{"price": None, "batch": batch, **more}
    )
    generation = GenerationOptions(max_new_tokens=4, temperature=0.7, samples=SAMPLED)
    return config.model_copy(update={"generation": generation})


def ids_of(server: BatchingServer) -> list[int]:
    batches = server.batches.values()
    return sorted(int(one["custom_id"]) for batch in batches for one in batch.requests)


def test_the_same_files_as_asked_live(tmp_path: Path, server: BatchingServer) -> None:
    run(sampled(tmp_path, server, live=True), tmp_path / "live")
    result = run(sampled(tmp_path, server), tmp_path / "batch")
    assert (result.answered, result.failed) == (COUNT, 0)
    assert [len(batch.requests) for batch in server.batches.values()] == [7, 7, 4]
    assert ids_of(server) == list(range(COUNT * SAMPLED))
    rows, live = predictions(tmp_path / "batch"), predictions(tmp_path / "live")
    assert rows.keys() == live.keys()
    for key, row in rows.items():
        assert row["predicted_answer"] == "New York"
        assert (row["confidence"], row["nbest"]) == (live[key]["confidence"], live[key]["nbest"])
    assert (
        read_manifest(tmp_path / "batch")["fingerprint"]
        == (read_manifest(tmp_path / "live")["fingerprint"])
    )


def test_the_dry_run_prices_each_sample_by_batch(tmp_path: Path, server: BatchingServer) -> None:
    price = {"input": 1, "output": 2}
    live, batch = (
        dry_run(
            sampled(tmp_path, server, live=live, price=price),
            tmp_path / "out",
            SilentProgress(),
        )
        for live in (True, False)
    )
    assert (batch.examples, batch.samples) == (COUNT, SAMPLED)
    assert batch.cost is not None
    assert live.cost is not None
    assert batch.cost[1] == pytest.approx(live.cost[1] / 2)


def test_samples_that_a_kill_left_are_not_asked_again(
    tmp_path: Path, server: BatchingServer
) -> None:
    folder = tmp_path / "out"
    priced = {"price": {"input": 1, "output": 2}}
    run(sampled(tmp_path, server, **priced), folder)
    whole, spent = predictions(folder), read_manifest(folder)["served"]["spent"]
    lines = (folder / SAMPLES).read_bytes().splitlines(keepends=True)
    (folder / SAMPLES).write_bytes(b"".join(lines[:10]) + lines[10][:9])
    (folder / JOURNAL).write_bytes((folder / JOURNAL).read_bytes().splitlines(keepends=True)[0])
    server.batches.clear()
    result = run(sampled(tmp_path, server, **priced), folder)
    assert result.answered == COUNT
    assert len(ids_of(server)) == COUNT * SAMPLED - 10
    answers = {key: row["predicted_answer"] for key, row in predictions(folder).items()}
    assert answers == {key: row["predicted_answer"] for key, row in whole.items()}
    told = read_manifest(folder)["served"]["spent"]
    assert told["input_tokens"] >= spent["input_tokens"]


def test_a_run_may_go_on_live(tmp_path: Path, server: BatchingServer) -> None:
    """A cap allows only some samples, which count when the rest is asked live."""
    tokens = 260
    with pytest.raises(StoppedError):
        run(sampled(tmp_path, server, max_tokens_total=tokens), tmp_path / "out")
    kept = len((tmp_path / "out" / SAMPLES).read_bytes().splitlines())
    assert 0 < kept < COUNT * SAMPLED
    before = server.requests
    run(sampled(tmp_path, server, live=True), tmp_path / "out")
    assert server.requests - before == COUNT * SAMPLED - kept


def test_a_failed_sample_fails_its_question_alone(tmp_path: Path, server: BatchingServer) -> None:
    def line(body: dict[str, Any]) -> Fault | None:
        is_third = "who 2" in json.dumps(body["messages"])
        return FILTERED if is_third and body["seed"] == SEED + 1 else None

    server.line = line
    config = sampled(tmp_path, server)
    result = run(config, tmp_path / "out")
    assert (result.answered, result.failed) == (COUNT - 1, 1)
    assert predictions(tmp_path / "out")["q2"]["error"].startswith("sample 2 of 3: ")
    server.line = lambda body: None
    server.batches.clear()
    assert run(config, tmp_path / "out", Resume(retry_errors=True)).failed == 0
    assert ids_of(server) == [2 * SAMPLED + 1]
    assert (tmp_path / "out" / PREDICTIONS).is_file()


def test_questions_that_are_alike_have_samples_of_their_own(
    tmp_path: Path, server: BatchingServer
) -> None:
    priced = {"price": {"input": 1, "output": 2}}
    for live in (True, False):
        config = sampled(tmp_path, server, live=live, **priced)
        row = {"question": "who", "context": "some words", "answers": ["Rome"]}
        rows = [json.dumps({"id": f"q{number}", **row}) for number in range(COUNT)]
        Path(str(config.data.path)).write_text("\n".join(rows), encoding="utf-8")
        result = run(config, tmp_path / str(live))
        assert (result.answered, result.failed) == (COUNT, 0)
        served = read_manifest(tmp_path / str(live))["served"]
        assert served["requests"]["sent"] == COUNT * SAMPLED
        assert served["spent"]["input_tokens"] == sum(
            json.loads(line)["answer"]["spent"]["input"]
            for line in (tmp_path / str(live) / SAMPLES).read_bytes().splitlines()
        )


def test_another_number_of_samples_is_another_run(tmp_path: Path, server: BatchingServer) -> None:
    run(sampled(tmp_path, server), tmp_path / "out")
    config = sampled(tmp_path, server)
    fewer = config.generation.model_copy(update={"samples": 2})
    with pytest.raises(AqaError, match="samples"):
        run(config.model_copy(update={"generation": fewer}), tmp_path / "out")
