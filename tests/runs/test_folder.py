import shutil
import subprocess
import sys
from collections.abc import Callable
from errno import ENOENT
from pathlib import Path

import pytest

from aqa.backends.openai_api.samples import SampleRecord
from aqa.errors import RunError
from aqa.runs.files import hash_files, write_json
from aqa.runs.folder import (
    Run,
    check_begun,
    check_previous,
    command_line,
    hold,
    inherited_config,
    open_run,
    read_manifest,
    write_inherited,
)
from aqa.runs.journal import Journal, different_run
from aqa.runs.names import (
    ADAPTER,
    CHECKPOINTS,
    JOURNAL,
    MANIFEST,
    MERGED,
    METRICS,
    PREDICTIONS,
    SAMPLES,
    SPENDING,
)
from aqa.runs.spending import SpendingRecord


def test_locks_of_killed_launches_are_removed(tmp_path: Path) -> None:
    for name in (".lock.4711-0-0", ".lock.1"):
        (tmp_path / name).touch()
    mine = hold(tmp_path, ".lock.mine")
    with open_run(tmp_path, "predict"):
        left = {path.name for path in tmp_path.glob(".lock.*")}
    mine.release()
    assert left == {".lock.1", ".lock.mine"}


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for folder, told in (
        (file, "is a file, where a folder"),
        (file / "below", "file is a file, where a folder"),
    ):
        with pytest.raises(RunError, match=told), open_run(folder, "predict"):
            pass


@pytest.mark.parametrize(
    ("name", "opened"),
    [
        (SPENDING, lambda folder: SpendingRecord(folder).read()),
        (SAMPLES, lambda folder: SampleRecord(folder)),
    ],
)
def test_a_file_of_the_run_that_can_not_be_used_is_named(
    name: str, opened: Callable[[Path], object], tmp_path: Path
) -> None:
    (tmp_path / MANIFEST).write_text('{"verb": "predict"}', encoding="utf-8")
    (tmp_path / name).mkdir()
    told = rf"{name}: can't be used \(Is a directory\)"
    with pytest.raises(RunError, match=told), open_run(tmp_path, "predict"):
        opened(tmp_path)


def test_what_is_refused_elsewhere_is_no_fault_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), open_run(tmp_path / "run", "predict"):
        (tmp_path / "none").read_bytes()


@pytest.mark.parametrize(
    ("verb", "name", "told"),
    [
        ("predict", PREDICTIONS, "holds predictions.json, but no run.json"),
        ("predict", SPENDING, "holds spending.json, but no run.json"),
        ("predict", JOURNAL, "not a journal of aqa"),
        ("predict", MANIFEST, "not a manifest of aqa"),
        ("train", METRICS, "holds metrics.json, but no run.json"),
        ("train", ADAPTER, "holds adapter, but no run.json"),
    ],
)
def test_the_files_of_other_programs_stay(verb: str, name: str, told: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text('{"mine": 1}', encoding="utf-8")
    with pytest.raises(RunError, match=told):
        open_run(tmp_path, verb).__enter__()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, '{"mine": 1}')]


def test_what_a_verb_does_not_write_may_be_there(tmp_path: Path) -> None:
    """Scores of other predictions, and the journal of a run that was killed early."""
    (tmp_path / METRICS).write_text("{}", encoding="utf-8")
    Journal(tmp_path, {}, fresh=False).__exit__()
    (tmp_path / PREDICTIONS).write_text("{}", encoding="utf-8")
    with open_run(tmp_path, "predict") as run:
        assert run.previous == {}


@pytest.mark.parametrize("resume", [False, True])
def test_a_fresh_start_leaves_nothing_of_another_training(resume: bool, tmp_path: Path) -> None:
    """If it were killed before it has weights, those of the other would seem to be its own."""
    write_json(tmp_path / MANIFEST, {"verb": "train", "status": "done"})
    names = [ADAPTER, CHECKPOINTS, MERGED, "predict-dev"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    files = [JOURNAL, PREDICTIONS, METRICS, f"{MERGED}-q8_0.gguf", "notes.txt"]
    for name in files:
        (tmp_path / name).write_text('{"kind": "header"}\n', encoding="utf-8")
    with open_run(tmp_path, "train") as run:
        check_previous(run, {}, resume, fresh=not resume)
    kept = [*names, *files] if resume else ["predict-dev", "notes.txt"]
    assert {path.name for path in tmp_path.iterdir()} - {".lock"} == {MANIFEST, *kept}


def test_a_fresh_start_that_can_not_remove_all_keeps_the_weights(tmp_path: Path) -> None:
    write_json(tmp_path / MANIFEST, {"verb": "train", "status": "done"})
    (tmp_path / ADAPTER).mkdir()
    (tmp_path / ADAPTER / "weights").touch()
    (tmp_path / PREDICTIONS).mkdir()
    told = r"predictions\.json: can't be used"
    with pytest.raises(RunError, match=told), open_run(tmp_path, "train") as run:
        check_previous(run, {}, resume=False, fresh=True)
    assert (tmp_path / ADAPTER / "weights").exists()


@pytest.mark.parametrize("exists", [True, False])
def test_there_is_nothing_to_resume(exists: bool, tmp_path: Path) -> None:
    folder = tmp_path if exists else tmp_path / "none"
    with pytest.raises(RunError, match="holds no training to resume; leave out --resume"):
        check_begun(folder, resume=True)
    check_begun(folder, resume=False)
    assert not [*tmp_path.iterdir()]


HOLD = "import sys; from pathlib import Path; from aqa.runs.folder import open_run\n"
HOLD += "with open_run(Path(sys.argv[1]), 'predict'): print('held', flush=True); sys.stdin.read()"


def test_one_process_at_a_time(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RunError, match="another process"), open_run(tmp_path, "predict"):
            pass
        other.kill()
    with open_run(tmp_path, "predict") as run:  # released by the system
        assert run.previous == {}


def no_facts() -> dict[str, str]:
    return {}


def no_journal() -> dict[str, str]:
    raise FileNotFoundError(ENOENT, "No such file", "out/predictions.jsonl")


def end_without_folder(run: Run, facts: Callable[[], dict[str, str]], error: BaseException) -> None:
    with run.recording(facts):
        shutil.rmtree(run.folder)
        raise error


@pytest.mark.parametrize("facts", [no_facts, no_journal])
@pytest.mark.parametrize("error", [RunError("the journal was removed"), KeyboardInterrupt()])
def test_what_ended_a_run_is_told_even_if_it_can_not_be_recorded(
    error: BaseException, facts: Callable[[], dict[str, str]], tmp_path: Path
) -> None:
    with open_run(tmp_path / "out", "predict") as run:
        run.start({})
        with pytest.raises(type(error)) as told:
            end_without_folder(run, facts, error)
    assert told.value is error


def test_the_manifest(tmp_path: Path) -> None:
    with open_run(tmp_path / "a" / "b", "predict") as run:
        run.start({"verb": "predict", "config": {"seed": 1}})
        assert read_manifest(run.folder)["status"] == "running"
        run.update({"status": "done"})
    found = read_manifest(tmp_path / "a" / "b")
    assert found["status"] == "done"
    assert found["config"] == {"seed": 1}
    assert found["wall_seconds"] >= 0
    assert found.keys() >= {"aqa", "started", "git_revision", "python", "packages", "version"}
    assert read_manifest(tmp_path) == read_manifest(tmp_path / "nowhere") == {}
    with pytest.raises(RunError, match="holds a run of `aqa predict`"):
        open_run(tmp_path / "a" / "b", "train").__enter__()


@pytest.mark.parametrize(("content", "told"), [("{", "not JSON"), ("[]", "not a manifest of aqa")])
def test_a_manifest_that_is_none(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / MANIFEST).write_text(content, encoding="utf-8")
    with pytest.raises(RunError, match=told):
        read_manifest(tmp_path)


@pytest.mark.parametrize("below", ["", "adapter"])
def test_an_adapter_goes_on_as_it_was_trained(tmp_path: Path, below: str) -> None:
    config = {"prompt": "kor_v1", "backend": {"model": "m"}, "seed": 7, "data": {"path": "x"}}
    manifest = {"verb": "train", "config": config | {"training": {}, "output_dir": "x"}}
    write_json(tmp_path / MANIFEST, manifest)
    kept = {"prompt": "kor_v1", "backend": {"model": "m"}, "seed": 7}
    assert inherited_config(tmp_path / below) == kept
    write_json(tmp_path / MANIFEST, manifest | {"verb": "predict"})
    assert inherited_config(tmp_path / below) == {}


@pytest.mark.parametrize("prompt", ["mine/t.txt", "kor_v1", "gone.txt"])
def test_a_template_is_found_from_another_folder(
    prompt: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its path is relative to where the training was started; bare names are built-in templates."""
    for folder in ("mine", "run"):
        (tmp_path / folder).mkdir()
    (tmp_path / "mine" / "t.txt").touch()
    (tmp_path / "elsewhere" / "mine").mkdir(parents=True)
    (tmp_path / "elsewhere" / "mine" / "t.txt").touch()  # another template with this name
    manifest = {"verb": "train", "directory": str(tmp_path), "config": {"prompt": prompt}}
    write_json(tmp_path / "run" / MANIFEST, manifest)
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = inherited_config(Path("../run"))["prompt"]
    assert found == (str(tmp_path / prompt) if prompt == "mine/t.txt" else prompt)


def test_a_folder_from_somebody_else_runs_nothing(tmp_path: Path) -> None:
    mine = {"name": "llama-qlora", "quantization": "none"}
    theirs = {"trust_remote_code": True, "vllm": {"python": "./run", "urls": ["http://them"]}}
    write_json(tmp_path / MANIFEST, {"verb": "train", "config": {"backend": {**mine, **theirs}}})
    assert inherited_config(tmp_path) == {"backend": mine}


@pytest.mark.parametrize(
    ("prompt", "found"),
    [("mine.yaml", "moved/prompt.yaml"), ("edited.txt", None), ("kor_v1", None)],
)
def test_weights_shared_alone_read_as_they_were_trained(
    prompt: str, found: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A template that was changed during the training is not taken for the one trained with."""
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text("as in training", encoding="utf-8")
    Path("edited.txt").write_text("edited since", encoding="utf-8")
    parts = {name: {"of": name} for name in ("evidence", "generation", "evaluation")}
    backend = {"model": "/home/me/m", "vllm": {"python": "/home/me/p"}, "fusion": "fid"}
    config = {"backend": backend, "seed": 7, **parts}
    private = {"data": {"path": "/home/me/x"}, "output_dir": "/home/me/run"}
    Path("weights").mkdir()
    trained_with = hash_files(Path("mine.yaml"))
    write_inherited(Path("weights"), {**config, **private, "prompt": prompt}, trained_with)
    assert "/home/me" not in Path("weights", MANIFEST).read_text(encoding="utf-8")
    Path("weights").rename("moved")
    Path("mine.yaml").unlink()
    kept = {**config, "backend": {"fusion": "fid"}, "prompt": found or prompt}
    assert inherited_config(Path("moved")) == kept


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["/usr/bin/aqa", "predict", "a b"], "aqa predict 'a b'"),
        (["aqa", "--set", "x=sk-abcDEF_123-456"], "aqa --set x=***"),
        (["aqa", "hf_abcdefghijkl", "sk-proj-0123456789"], "aqa *** ***"),
        (["aqa", "--data", "task_questions_v2.json"], "aqa --data task_questions_v2.json"),
        (["aqa", "--model", "hf_small"], "aqa --model hf_small"),
    ],
)
def test_keys_are_masked_in_the_command(arguments: list[str], told: str) -> None:
    assert command_line(arguments) == told


@pytest.mark.parametrize("name", [MANIFEST, JOURNAL])
def test_a_file_that_can_not_be_read_is_named(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with (
        pytest.raises(RunError, match=rf"{name}: can't be read \(Is a directory\); fix the perm"),
        open_run(tmp_path, "predict"),
    ):
        pass


def test_a_dry_run_refuses_a_file_as_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for folder in (file, file / "below"):
        with pytest.raises(RunError, match="file is a file, where a folder is needed"):
            different_run(folder, {}, retry_errors=False)
