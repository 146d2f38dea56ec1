"""`aqa evaluate --verify`: a run's inputs and outputs are hashed again."""

import json
import shutil
from pathlib import Path

import pytest
from calls import Call

from aqa.errors import RunError
from aqa.runs.files import write_json
from aqa.runs.folder import read_manifest
from aqa.runs.names import MANIFEST
from aqa.verbs.verify import verify, verify_runs

FILES = {
    "data": "questions.jsonl",
    "passages": "bm25.trec",
    "corpus": "corpus.jsonl",
    "prompt": "mine.txt",
    "predictions": "out/predictions.json",
}


@pytest.fixture
def run(call_aqa: Call, tmp_path: Path) -> Path:
    """The folder of a finished prediction."""
    question = {"id": "q1", "question": "Who?", "answers": ["Ada"]}
    (tmp_path / "questions.jsonl").write_text(json.dumps(question), encoding="utf-8")
    (tmp_path / "bm25.trec").write_text("q1 Q0 d1 1 2.5 x\n", encoding="utf-8")
    document = {"id": "d1", "text": "Ada wrote it."}
    (tmp_path / "corpus.jsonl").write_text(json.dumps(document), encoding="utf-8")
    (tmp_path / "mine.txt").write_text("Answer from {context}", encoding="utf-8")
    words = ["--data", "questions.jsonl", "--passages", "bm25.trec", "--corpus", "corpus.jsonl"]
    call_aqa("predict", "stub", *words, "--prompt", "mine.txt", "-o", "out", "-q", code=0)
    return tmp_path / "out"


def statuses(folder: Path) -> dict[str, str]:
    return {each.what: each.status for each in verify(folder).checked}


def test_nothing_has_changed(run: Path, call_aqa: Call) -> None:
    assert statuses(run) == dict.fromkeys(FILES, "same")
    done = call_aqa("evaluate", "--verify", "out/predictions.json", "--json", code=0)
    (found,) = json.loads(done.stdout)["runs"]
    assert (found["folder"], found["run_status"], found["is_sound"]) == ("out", "done", True)
    assert found["files"][0] == {"what": "data", "name": "questions.jsonl", "status": "same"}


def test_a_folder_of_several_runs_names_each(run: Path, tmp_path: Path, call_aqa: Call) -> None:
    words = ["--data", "questions.jsonl", "--passages", "bm25.trec", "--corpus", "corpus.jsonl"]
    prompts = ["--prompt", "eng_v1", "--prompt", "eng_v2", "--stress", "duplicate"]
    call_aqa("predict", "stub", *words, *prompts, "-o", "all", "-q", code=0)
    runs = [Path("all", name, *inner) for name in ("eng_v1", "eng_v2")
            for inner in ((), ("stress", "duplicate"))]  # fmt: skip
    assert [found.folder for found in verify_runs([Path("all")])] == runs
    (tmp_path / runs[3] / "predictions.json").write_text("{}", encoding="utf-8")
    (tmp_path / runs[0] / "predictions.json").unlink()
    done = call_aqa("evaluate", "--verify", "all", code=1)
    assert done.stderr == f"error: {runs[0]}: predictions missing; {runs[3]}: predictions changed\n"


@pytest.mark.parametrize(("what", "name"), FILES.items())
def test_a_file_that_changed_or_is_gone(
    run: Path, tmp_path: Path, call_aqa: Call, what: str, name: str
) -> None:
    file = tmp_path / name
    file.write_bytes(file.read_bytes() + b" ")
    assert statuses(run) == dict.fromkeys(FILES, "same") | {what: "changed"}
    done = call_aqa("evaluate", "--verify", "out", code=1)
    assert done.stderr == f"error: out: {what} changed\n"
    assert "same" in done.stdout
    file.unlink()
    done = call_aqa("evaluate", "--verify", "out", "--json", code=1)
    assert done.stderr == f"error: out: {what} missing\n"
    (found,) = json.loads(done.stdout)["runs"]
    status = {each["what"]: each["status"] for each in found["files"]}
    assert status == dict.fromkeys(FILES, "same") | {what: "missing"}


def test_relative_paths_are_found_from_elsewhere(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert set(statuses(run).values()) == {"same"}
    for path in list(tmp_path.iterdir()):  # a copy on a machine without the old path
        if path.name != "elsewhere":
            shutil.move(path, tmp_path / "elsewhere" / path.name)
    assert set(statuses(tmp_path / "elsewhere" / "out").values()) == {"same"}


def test_what_has_no_hash_is_unchecked(run: Path) -> None:
    manifest = read_manifest(run)
    manifest["sources"]["model"] = {"name": "meta-llama/Llama-3.1-8B-Instruct"}
    del manifest["predictions_sha256"]
    write_json(run / MANIFEST, manifest | {"status": "interrupted"})
    found = verify(run)
    assert [each.what for each in found.checked if each.status == "unchecked"] == [
        "model",
        "predictions",
    ]
    assert not found.wrong
    (run / "predictions.json").unlink()
    assert "predictions" not in statuses(run)


def test_shipped_templates_and_samples(call_aqa: Call, tmp_path: Path) -> None:
    data = "package:aqa/samples/korean_dev.json"
    words = ["--data", data, "--limit", "2", "--prompt", "kor_v1", "-o", "out", "-q"]
    call_aqa("predict", "stub", *words, code=0)
    assert statuses(tmp_path / "out") == dict.fromkeys(["data", "prompt", "predictions"], "same")


def test_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run folder: it holds no run\.json"):
        verify(tmp_path)
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(RunError, match=r"a\.json is not in a run folder: its folder has no run"):
        verify(tmp_path / "a.json")
    with pytest.raises(RunError, match="nowhere: no such file or folder"):
        verify(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "sources", [None, {"data": "q.jsonl"}, {"data": {"sha256": "0"}}, {"data": {"name": 5}}]
)
def test_a_manifest_that_was_edited(tmp_path: Path, sources: object) -> None:
    write_json(tmp_path / MANIFEST, {"status": "done", "sources": sources})
    with pytest.raises(RunError, match="names no sources"):
        verify(tmp_path)
