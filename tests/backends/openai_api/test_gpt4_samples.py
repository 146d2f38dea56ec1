"""Several samples per answer: what is asked, paid for, stored and chosen."""

import json
from pathlib import Path
from typing import Any

import pytest
from fault_server import FILTERED, Fault, Server
from gpt4_runs import configured, predictions, run

from aqa.config.options import EvaluationOptions, GenerationOptions, RunConfig
from aqa.errors import RunError, StoppedError
from aqa.evaluation.predictions import read_predictions
from aqa.evaluation.report.cost import cost_of, journal_seconds
from aqa.progress import SilentProgress
from aqa.runs.folder import read_manifest
from aqa.runs.names import JOURNAL, SAMPLES
from aqa.verbs.predict import Resume, dry_run

pytestmark = pytest.mark.usefixtures("hurried")

SEED = 42
TEXTS = {0: "Rome", 1: "New York", 2: "York", 3: "new york."}
SAID = {0: "부산", 1: "서울시", 2: "서울", 3: "서울시"}


def sampled(folder: Path, server: Server, count: int, samples: int = 4, **more: Any) -> RunConfig:
    config = configured(folder, server, count, **more)
    generation = GenerationOptions(max_new_tokens=4, temperature=0.7, samples=samples)
    return config.model_copy(update={"generation": generation})


@pytest.fixture
def by_seed(server: Server) -> Server:
    server.answer = lambda body: TEXTS[body["seed"] - SEED]
    return server


def test_the_most_central_sample_is_the_answer(tmp_path: Path, by_seed: Server) -> None:
    result = run(sampled(tmp_path, by_seed, 3), tmp_path / "a")
    assert (result.answered, by_seed.requests) == (3, 12)
    assert sorted({body["seed"] for body in by_seed.bodies}) == [42, 43, 44, 45]
    row = predictions(tmp_path / "a")["q1"]
    assert row["predicted_answer"] == "New York"
    assert row["confidence"] == pytest.approx((0 + 2 / 3 + 1) / 3)
    assert row["confidence_kind"] == "agreement"
    assert [each["answer"] for each in row["nbest"]] == ["New York", "new york.", "York", "Rome"]
    assert row["spent"]["input"] == row["tokens"]["prompt"] == by_seed.prompt_tokens // 3
    assert row["spent"]["cost"] == pytest.approx(by_seed.cost(1, 2) / 3)
    assert row["tokens"]["answer"] == 6


def test_korean_samples_are_compared_by_characters(tmp_path: Path, server: Server) -> None:
    server.answer = lambda body: SAID[body["seed"] - SEED]
    evaluation = EvaluationOptions(profile="korquad")
    config = sampled(tmp_path, server, 1).model_copy(update={"evaluation": evaluation})
    run(config, tmp_path / "a")
    row = predictions(tmp_path / "a")["q0"]
    assert row["predicted_answer"] == "서울시"
    assert row["confidence"] == pytest.approx((0 + 0.8 + 1) / 3)


def test_a_killed_run_pays_for_no_sample_twice(tmp_path: Path, by_seed: Server) -> None:
    """After a kill, there are samples without an answer, the last of them half a line."""
    folder = tmp_path / "a"
    run(sampled(tmp_path, by_seed, 2), folder)
    whole = (folder / "predictions.json").read_bytes()
    lines = (folder / SAMPLES).read_bytes().splitlines(keepends=True)
    assert len(lines) == 8
    (folder / SAMPLES).write_bytes(b"".join(lines[:6]) + lines[6][:20])
    header = (folder / JOURNAL).read_bytes().splitlines(keepends=True)[0]
    (folder / JOURNAL).write_bytes(header)
    asked = by_seed.requests
    result = run(sampled(tmp_path, by_seed, 2), folder)
    assert (result.answered, by_seed.requests - asked) == (2, 2)
    assert (folder / "predictions.json").read_bytes() == whole


def test_caps_count_every_sample(tmp_path: Path, by_seed: Server) -> None:
    run(sampled(tmp_path, by_seed, 1), tmp_path / "one")
    words = by_seed.prompt_tokens // 4
    before = by_seed.requests
    capped = sampled(tmp_path, by_seed, 20, max_tokens_total=12 * words, max_concurrency=1)
    with pytest.raises(StoppedError):
        run(capped, tmp_path / "a")
    assert 4 <= by_seed.requests - before <= 12
    spent = read_manifest(tmp_path / "a")["served"]["spent"]
    assert spent["input_tokens"] == (by_seed.requests - before) * words
    result = run(sampled(tmp_path, by_seed, 20), tmp_path / "a")
    assert (result.answered, by_seed.requests - before) == (20, 80)
    spent = read_manifest(tmp_path / "a")["served"]["spent"]
    assert spent["input_tokens"] == 80 * words


def test_a_sample_that_fails_is_asked_again_alone(tmp_path: Path, by_seed: Server) -> None:
    def script(number: int, body: Any) -> Fault | None:
        is_first = body["messages"][-1]["content"] == "who 1"
        return FILTERED if is_first and body["seed"] == SEED + 2 else None

    by_seed.script = script
    config = sampled(tmp_path, by_seed, 3)
    assert run(config, tmp_path / "a").failed == 1
    error = predictions(tmp_path / "a")["q1"]["error"]
    assert error.startswith("sample 3 of 4: ")
    asked, by_seed.script = by_seed.requests, lambda number, body: None
    assert run(config, tmp_path / "a", Resume(retry_errors=True)).failed == 0
    assert by_seed.requests - asked == 2
    spent = read_manifest(tmp_path / "a")["served"]["spent"]
    assert spent["input_tokens"] == by_seed.prompt_tokens


def test_the_cache_knows_each_sample(tmp_path: Path, by_seed: Server) -> None:
    kept = {"cache": True, "cache_path": str(tmp_path / "answers.sqlite")}
    run(sampled(tmp_path, by_seed, 2, samples=2, **kept), tmp_path / "a")
    more = sampled(tmp_path, by_seed, 2, **kept)
    estimate = dry_run(more, tmp_path / "b", SilentProgress())
    assert (estimate.examples, estimate.cached, estimate.samples) == (2, 0, 4)
    assert estimate.output_tokens == (4, 16)
    run(more, tmp_path / "b")
    assert by_seed.requests == 4 + 4
    again = run(more, tmp_path / "c")
    assert (again.cached, by_seed.requests) == (2, 8)
    rows = [predictions(tmp_path / name)["q0"] for name in "bc"]
    assert rows[0]["nbest"] == rows[1]["nbest"]
    assert rows[1]["spent"]["input"] == 0
    assert dry_run(more, tmp_path / "d", SilentProgress()).cached == 2


def test_a_dry_run_counts_every_sample(tmp_path: Path, server: Server) -> None:
    found = [
        dry_run(sampled(tmp_path, server, 5, samples=k), tmp_path, SilentProgress()) for k in (1, 3)
    ]
    one, three = found
    assert (one.examples, three.examples, three.samples) == (5, 5, 3)
    assert three.input_tokens == 3 * one.input_tokens
    assert one.cost is not None
    assert three.cost == pytest.approx([3 * part for part in one.cost])


def test_beside_log_probabilities(tmp_path: Path, server: Server) -> None:
    def script(number: int, body: Any) -> Fault:
        text = TEXTS[body["seed"] - SEED]
        content = [{"token": text, "logprob": -0.1 * body["seed"], "bytes": list(text.encode())}]
        choice = {"message": {"content": text}, "logprobs": {"content": content}}
        return Fault(200, {"model": "m", "choices": [{**choice, "finish_reason": "stop"}]})

    server.script = script
    run(sampled(tmp_path, server, 1, logprobs=True), tmp_path / "a")
    row = predictions(tmp_path / "a")["q0"]
    assert row["confidence_kind"] == "agreement"
    assert row["other_confidences"] == pytest.approx({"mean_logprob": -4.3, "min_logprob": -4.3})


def test_the_journal_alone_holds_how_long_answers_took(tmp_path: Path, server: Server) -> None:
    server.latency = 0.02
    run(configured(tmp_path, server, 3), tmp_path / "one")
    run(sampled(tmp_path, server, 3), tmp_path / "four")
    for name, least in (("one", 0.02), ("four", 0.08)):
        assert all("seconds" not in row for row in predictions(tmp_path / name).values())
        rows = read_predictions(tmp_path / name)
        seconds = journal_seconds(tmp_path / name)
        found = [cost_of(row, seconds).seconds for row in rows.values()]
        assert all(each is not None and each >= least for each in found)
    (tmp_path / "one" / JOURNAL).unlink()  # as if only the run's predictions were left
    assert journal_seconds(tmp_path / "one") == {}


def test_a_damaged_record_is_refused(tmp_path: Path, by_seed: Server) -> None:
    run(sampled(tmp_path, by_seed, 1), tmp_path / "a")
    path = tmp_path / "a" / SAMPLES
    path.write_bytes(b"x\n" + path.read_bytes())
    with pytest.raises(RunError, match="not JSON at byte 0"):
        run(sampled(tmp_path, by_seed, 1), tmp_path / "a")
    run(sampled(tmp_path, by_seed, 1), tmp_path / "a", Resume(fresh=True))
    assert len(path.read_bytes().splitlines()) == 4
    assert json.loads(path.read_bytes().splitlines()[0])["answer"]["raw"] == "Rome"
