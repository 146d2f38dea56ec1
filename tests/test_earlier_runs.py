"""Run folders made by an earlier version, f8c35df, are resumed, evaluated and verified.

`earlier_runs` contains them unchanged: `trained` and `predicted` (done), `stopped` (a training
after Ctrl-C), `predicted_killed` and `cached_killed` (predictions after a kill, the latter with all
answers in cache.sqlite), `batched` (two batches open at a server), `judged` (verdicts on
`predicted`). All were made in one folder, named /home/me/runs here, with a model inside a package.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from calls import Call
from fault_batches import Batch, BatchingServer
from fault_server import serving
from files import read

EARLIER = Path(__file__).parent / "earlier_runs"
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/v1")


@pytest.fixture
def runs(tmp_path: Path, call_aqa: Call, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the runs, as if they had been made in the folder where commands are run."""
    shutil.copytree(EARLIER, tmp_path, dirs_exist_ok=True)
    for manifest in tmp_path.rglob("run.json"):
        text = manifest.read_text(encoding="utf-8")
        manifest.write_text(text.replace("/home/me/runs", str(tmp_path)), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def done(answer: subprocess.CompletedProcess[str]) -> str:
    assert answer.returncode == 0, answer.stderr
    return answer.stdout + answer.stderr


def answers(folder: Path) -> dict[str, str]:
    return {key: row["predicted_answer"] for key, row in read(folder / "predictions.json").items()}


def predict(call: Call, backend: str, config: str, folder: str, *more: str) -> str:
    words = ["--data", "data.jsonl", "-o", folder, "--quiet", *more]
    return done(call("predict", backend, *config.split(), *words))


@pytest.mark.slow
def test_a_prediction_that_was_killed_goes_on(call_aqa: Call, runs: Path) -> None:
    before = (runs / "predicted_killed" / "predictions.jsonl").read_bytes()
    shown = predict(call_aqa, "llama", "--model trained", "predicted_killed")
    assert "8 examples: 8 answered, 0 failed" in shown
    after = (runs / "predicted_killed" / "predictions.jsonl").read_bytes()
    kept = before[: before.rindex(b"\n") + 1]
    assert kept.count(b"\n") == 4
    assert after.startswith(kept)
    assert answers(runs / "predicted_killed") == answers(runs / "predicted")


def test_a_prediction_that_was_finished_is_left_as_it_is(call_aqa: Call, runs: Path) -> None:
    before = (runs / "predicted" / "predictions.jsonl").read_bytes()
    predict(call_aqa, "llama", "--model trained", "predicted")
    assert (runs / "predicted" / "predictions.jsonl").read_bytes() == before


@pytest.mark.slow
def test_a_training_that_was_stopped_goes_on(call_aqa: Call, runs: Path) -> None:
    history = read(runs / "stopped" / "run.json")["history"]
    words = ["--data", "data.jsonl", "--dev-data", "data.jsonl", "-o", "stopped", "--quiet"]
    done(call_aqa("train", "llama", "--config", "llama.yaml", *words, "--resume"))
    manifest = read(runs / "stopped" / "run.json")
    assert manifest["status"] == "done"
    assert manifest["history"][: len(history)] == history
    assert len(manifest["history"]) > len(history) > 0
    assert answers(runs / "stopped").keys() == answers(runs / "trained").keys()
    (system,) = read(runs / "stopped" / "metrics.json")["systems"]
    assert system["scores"]["em"]["value"] >= 75


def test_answers_of_a_cache_are_found(call_aqa: Call, runs: Path) -> None:
    """No server is listening at the address any more."""
    shown = predict(call_aqa, "gpt4", "--config gpt4.yaml", "cached_killed")
    assert "8 examples: 8 answered, 0 failed" in shown
    assert len(answers(runs / "cached_killed")) == 8
    served = read(runs / "cached_killed" / "run.json")["served"]
    assert served["requests"].get("sent", 0) == 0


def left_with(server: BatchingServer, folder: Path) -> None:
    """Move the run to the server's address, and give the server the run's open batches."""
    for path in [folder.parent / "batch.yaml", *folder.rglob("*.json*")]:
        text = path.read_text(encoding="utf-8")
        path.write_text(ADDRESS.sub(server.url, text), encoding="utf-8")
    for part in read(folder / "batches" / "record.json")["open"]:
        sent = (folder / "batches" / f"{part['number']:04d}.requests.jsonl").read_bytes()
        server.files[part["file_id"]] = sent
        requests = [json.loads(line) for line in sent.splitlines()]
        server.batches[part["batch_id"]] = Batch(
            part["batch_id"], part["file_id"], {"aqa": part["key"]}, requests, "completed"
        )


def test_batches_are_collected(call_aqa: Call, runs: Path) -> None:
    with serving(BatchingServer()) as server:
        assert isinstance(server, BatchingServer)
        left_with(server, runs / "batched")
        shown = predict(call_aqa, "gpt4", "--config batch.yaml", "batched")
        assert "8 examples: 8 answered, 0 failed" in shown
        assert len(server.batches) == 2, "none is asked again"
        assert set(server.answered.values()) == {1}
    assert len(answers(runs / "batched")) == 8
    assert read(runs / "batched" / "batches" / "record.json")["open"] == []


def test_scores_and_verdicts_are_the_same(call_aqa: Call, runs: Path) -> None:
    """All verdicts are known; no server is listening at the judge's address any more."""
    earlier = read(runs / "judged" / "metrics.json")
    manifest = next((runs / "judged" / "judge").glob("*/run.json"))
    url = read(manifest)["config"]["backend"]["base_url"]
    settings = [f"backend.base_url={url}", "backend.model=gpt-4.1", "prompt=judge.txt"]
    settings += ["backend.price.input=1", "backend.price.output=2", "backend.cache=false"]
    judge = [word for setting in settings for word in ("--judge-set", setting)]
    words = ["--data", "data.jsonl", "--metrics", "em,f1,judge", *judge, "-q"]
    done(call_aqa("evaluate", "predicted", *words, "--output", "judged/metrics.json"))
    found = read(runs / "judged" / "metrics.json")
    assert found["judge"]["asked"] == 0
    (now,), (was,) = found["systems"], earlier["systems"]
    assert now["scores"].keys() == was["scores"].keys() == {"em", "f1", "judge"}
    for name, score in was["scores"].items():
        assert now["scores"][name]["value"] == score["value"]
    assert now["judge"]["verdicts"] == was["judge"]["verdicts"]


def test_what_changed_is_told(call_aqa: Call, runs: Path) -> None:
    folders = ["trained", "predicted"]
    done(call_aqa("evaluate", *folders, "--verify"))
    (runs / "data.jsonl").write_text("{}\n", encoding="utf-8")
    (runs / "trained" / "adapter" / "adapter_model.safetensors").unlink()
    told = call_aqa("evaluate", *folders, "--verify", code=1)
    assert told.stderr.splitlines()[-1] == (
        "error: trained: data changed; trained: dev_data changed; trained: weights changed;"
        " predicted: data changed; predicted: adapter changed"
    )
