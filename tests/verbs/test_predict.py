import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aqa_stub import WINDOW, StubBackend, asked_ids
from forked import Forked, start_aqa, wait_until
from river_questions import write_rivers

from aqa.config.load import build_config
from aqa.config.options import RunConfig
from aqa.errors import ConfigError, ModelError, RunError
from aqa.progress import SilentProgress
from aqa.records import Prediction
from aqa.runs.folder import open_run, read_manifest
from aqa.runs.names import JOURNAL, LOCK, MANIFEST, PREDICTIONS, SAMPLES, SEGMENTS, SPENDING
from aqa.verbs.predict import PredictResult, Resume, predict

KILLS = 20
GO_ON = Resume()


def configured(path: Path, *layers: dict[str, Any]) -> RunConfig:
    return build_config(StubBackend.Options, [{"data": {"path": str(path)}}, *layers])


def run(
    config: RunConfig, folder: Path, resume: Resume = GO_ON, notes: list[str] | None = None
) -> PredictResult:
    progress = SilentProgress()
    result = predict(config, folder, progress, resume)
    if notes is not None:
        notes += progress.notes
    return result


def predictions(folder: Path) -> dict[str, Mapping[str, Any]]:
    return json.loads((folder / PREDICTIONS).read_bytes())  # type: ignore[no-any-return]


def journal_ids(folder: Path) -> list[str]:
    """Ids in the journal's complete lines."""
    path = folder / JOURNAL
    lines = path.read_bytes().split(b"\n")[1:-1] if path.exists() else []
    return [json.loads(line)["id"] for line in lines]


def test_what_a_run_leaves(tmp_path: Path) -> None:
    config = configured(write_rivers(tmp_path, 20))
    result = run(config, tmp_path / "out")
    assert (result.examples, result.answered, result.failed, result.resumed) == (20, 20, 0, 0)
    found = predictions(tmp_path / "out")
    assert list(found) == [f"q{number}" for number in range(20)]
    assert journal_ids(tmp_path / "out") != list(found)  # answers came in another order
    assert found["q1"]["answer"] == "1번 강 이다."
    assert found["q1"]["predicted_answer"] == found["q1"]["raw"] == "1번 강 이다."
    assert (found["q0"]["answer"], found["q0"]["answers"]) == (None, [])
    assert found["q1"]["evidence"]["ranks"] == [1]
    manifest = read_manifest(tmp_path / "out")
    assert manifest["status"] == "done"
    assert manifest["counts"] == {"examples": 20, "answered": 20, "failed": 0}
    counts = [row["tokens"] for row in found.values()]
    assert manifest["tokens"]["prompt"] == sum(count["prompt"] for count in counts) > 400
    assert manifest["tokens"]["answer"] == sum(count["answer"] for count in counts) == 60
    assert manifest["config"]["backend"]["name"] == "stub"


def test_a_resumed_run_shows_the_scores_of_all_answers(tmp_path: Path) -> None:
    questions = write_rivers(tmp_path, 9)  # the stub answers the first of every three wrongly
    run(configured(questions, {"data": {"limit": 1}}), tmp_path / "out")
    told: list[tuple[int, Any]] = []

    class Told(SilentProgress):
        @contextmanager
        def task(
            self, title: str, total: int | None = None, unit: str = "examples", done: int = 0
        ) -> Iterator[Any]:
            advanced = done

            def advance(amount: int = 1, fields: Any = None) -> None:
                nonlocal advanced
                advanced += amount
                told.append((advanced, fields))

            yield SimpleNamespace(advance=advance)

    progress = Told()
    predict(configured(questions), tmp_path / "out", progress, GO_ON)
    assert [count for count, fields in told if fields] == list(range(2, 10))
    assert told[-1][1]["em"] == pytest.approx(100 * 6 / 9)  # in this session alone, 6 of 8


@pytest.mark.parametrize(
    ("file", "prompt"),
    [("squad2-cs224n/dev-v2.0.json", "eng_v1"), ("korquad1/KorQuAD_v1.0_dev.json", "kor_v1")],
)
def test_published_data(tmp_path: Path, shared_data: Path, file: str, prompt: str) -> None:
    layer = {"data": {"limit": 200}, "prompt": prompt, "backend": {"max_length": 200}}
    result = run(configured(shared_data / file, layer), tmp_path / "out")
    assert (result.examples, result.answered, result.failed) == (200, 200, 0)
    rows = predictions(tmp_path / "out").values()
    assert any(row["evidence"]["reader_cut_characters"] for row in rows)
    assert max(row["tokens"]["prompt"] for row in rows) <= 200 - 3


def test_an_answer_is_cleaned_and_its_text_kept(tmp_path: Path) -> None:
    data = tmp_path / "data.jsonl"
    rows = [
        {"id": "a", "question": "?", "context": "Answer: 'Rome'"},
        {"id": "b", "question": "?", "context": "Unanswerable."},
    ]
    data.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    run(configured(data), tmp_path / "out")
    kept = ("predicted_answer", "raw", "abstained", "answers")
    found = predictions(tmp_path / "out")
    assert [found["a"][key] for key in kept] == ["Rome", "Answer: 'Rome'", False, None]
    assert [found["b"][key] for key in kept] == ["", "Unanswerable.", True, None]


LONG = "**Answer:** The Han.\nIt flows through Seoul."


def test_long_answers_are_kept_whole_and_old_ones_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raws = iter([LONG, "알 수 없음\nThe passage is about trains.", LONG])
    monkeypatch.setattr(StubBackend, "answer", lambda _, prompt: Prediction(prompt.id, next(raws)))
    questions = write_rivers(tmp_path, 3)
    short = {"prompt": "kor_v1"}
    run(configured(questions, short, {"data": {"limit": 2}}), tmp_path / "out")
    answers = [row["predicted_answer"] for row in predictions(tmp_path / "out").values()]
    assert answers == ["", "The Han."]
    # The rest of the same run: earlier answers are kept, and not asked again.
    long = configured(questions, short, {"evaluation": {"answer": "text"}})
    assert run(long, tmp_path / "out").resumed == 2
    whole = "The Han.\nIt flows through Seoul."
    found = predictions(tmp_path / "out")
    assert [row["predicted_answer"] for row in found.values()] == ["", whole, whole]
    assert found["q1"]["raw"] == LONG
    run(configured(questions, short), tmp_path / "out")
    answers = [row["predicted_answer"] for row in predictions(tmp_path / "out").values()]
    assert answers == ["", "The Han.", "The Han."]


def test_the_template_says_how_much_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StubBackend, "answer", lambda _, prompt: Prediction(prompt.id, LONG))
    for name, layer, kept in (
        ("a", {}, "The Han.\nIt flows through Seoul."),
        ("b", {"evaluation": {"answer": "line"}}, "The Han."),
    ):
        config = configured(write_rivers(tmp_path, 1), {"prompt": "kor_long"}, layer)
        run(config, tmp_path / name)
        assert predictions(tmp_path / name)["q0"]["predicted_answer"] == kept


def test_a_limit_is_extended_later(tmp_path: Path) -> None:
    path = write_rivers(tmp_path, 30)
    asked = {"backend": {"asked": str(tmp_path / "asked")}}
    first = run(configured(path, asked, {"data": {"limit": 10}}), tmp_path / "out")
    assert (first.examples, first.answered) == (10, 10)
    assert len(predictions(tmp_path / "out")) == 10
    second = run(configured(path, asked), tmp_path / "out")
    assert (second.examples, second.answered, second.resumed) == (30, 30, 10)
    run(configured(path), tmp_path / "whole")
    assert (tmp_path / "out" / PREDICTIONS).read_bytes() == (
        tmp_path / "whole" / PREDICTIONS
    ).read_bytes()
    assert len((tmp_path / "asked").read_text().split()) == 30
    smaller = run(configured(path, {"data": {"limit": 5}}), tmp_path / "out")
    assert (smaller.examples, smaller.answered, smaller.resumed) == (5, 5, 5)


def test_failures_are_kept_until_they_are_retried(tmp_path: Path) -> None:
    path = write_rivers(tmp_path, 20)
    failing = configured(path, {"backend": {"fail_ids": ["q3", "q11"]}})
    result = run(failing, tmp_path / "out")
    assert (result.answered, result.failed) == (18, 2)
    failed = predictions(tmp_path / "out")["q3"]
    assert (failed["predicted_answer"], failed["error"]) == (None, "the stub was told to fail")
    assert run(configured(path), tmp_path / "out").failed == 2
    retried = run(configured(path), tmp_path / "out", Resume(retry_errors=True))
    assert (retried.answered, retried.failed, retried.resumed) == (20, 0, 18)
    assert "error" not in predictions(tmp_path / "out")["q3"]


def test_a_template_that_can_not_fit_is_told_before_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_it(self: StubBackend) -> None:
        raise AssertionError("the reader was opened")

    monkeypatch.setattr(StubBackend, "__enter__", open_it)
    config = configured(write_rivers(tmp_path, 3), {"backend": {"max_length": 20}})
    told = r"the template eng_v1: instructions, .* alone take \d+ tokens, more than the 20 that fit"
    with pytest.raises(ConfigError, match=told):
        run(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_that_can_not_be_had_is_told_before_anything(tmp_path: Path) -> None:
    evidence = {"max_tokens": 5, "tokenizer": str(tmp_path)}
    config = configured(write_rivers(tmp_path, 3), {"evidence": evidence})
    with pytest.raises(ModelError, match="holds neither a model"):
        run(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("long", [(0,), (5, 9), (19,), tuple(range(20))])
def test_a_prompt_that_can_not_fit_fails_alone(tmp_path: Path, long: tuple[int, ...]) -> None:
    config = configured(write_rivers(tmp_path, 20, long))
    result = run(config, tmp_path / "out")
    assert (result.answered, result.failed) == (20 - len(long), len(long))
    found = predictions(tmp_path / "out")
    assert [key for key, row in found.items() if "error" in row] == [f"q{n}" for n in long]
    assert "alone take" in found[f"q{long[0]}"]["error"]
    assert run(config, tmp_path / "out").resumed == 20


def test_a_finished_run_loads_no_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configured(write_rivers(tmp_path, 3))
    run(config, tmp_path / "out")
    before = (tmp_path / "out" / PREDICTIONS).read_bytes()
    tokens = read_manifest(tmp_path / "out")["tokens"]
    monkeypatch.setattr(StubBackend, "__enter__", None)
    assert run(config, tmp_path / "out").resumed == 3
    assert (tmp_path / "out" / PREDICTIONS).read_bytes() == before
    assert read_manifest(tmp_path / "out")["tokens"] == tokens


@pytest.mark.parametrize(
    ("layer", "differs"),
    [
        ({"backend": {"max_length": 300}}, r"reader\.\w+ was"),
        ({"prompt": "kor_v1"}, r"prompt\.\w+ was"),
        ({"evidence": {"top_k": 1}}, r"evidence\.\w+ was"),
        ({"data": {"normalize": "nfc"}}, r"data\.\w+ was"),
    ],
)
def test_another_run_is_not_gone_on_with(
    tmp_path: Path, layer: dict[str, Any], differs: str
) -> None:
    path = write_rivers(tmp_path, 3)
    run(configured(path), tmp_path / "out")
    kept = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    with pytest.raises(RunError, match=f"holds another run: {differs}"):
        run(configured(path, layer), tmp_path / "out")
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == kept
    assert run(configured(path, layer), tmp_path / "out", Resume(fresh=True)).answered == 3


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", [PREDICTIONS, SPENDING])
def test_a_fresh_run_removes_nothing_if_it_can_not_remove_all(name: str, tmp_path: Path) -> None:
    config, folder = configured(write_rivers(tmp_path, 3)), tmp_path / "out"
    run(config, folder)
    (folder / SEGMENTS).mkdir()
    (folder / SEGMENTS / "answers").touch()
    (folder / name).unlink(missing_ok=True)
    (folder / name).mkdir()
    before = contents(folder)
    with pytest.raises(RunError, match=rf"{name}: can't be used \(Is a directory\)"):
        run(config, folder, Resume(fresh=True))
    assert contents(folder) == before
    (folder / name).rmdir()
    for left in (SPENDING, SAMPLES):
        (folder / left).touch()
    assert run(config, folder, Resume(fresh=True)).resumed == 0
    assert contents(folder).keys() == {MANIFEST, LOCK, JOURNAL, PREDICTIONS}


def test_other_data_is_another_run(tmp_path: Path) -> None:
    run(configured(write_rivers(tmp_path, 3)), tmp_path / "out")
    with pytest.raises(RunError, match="another run: data has changed"):
        run(configured(write_rivers(tmp_path, 4)), tmp_path / "out")


def test_a_training_is_not_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / MANIFEST).write_text('{"verb": "train"}', encoding="utf-8")
    (folder / PREDICTIONS).write_text("{}", encoding="utf-8")
    for resume in (Resume(), Resume(fresh=True)):
        with pytest.raises(RunError, match="holds a run of `aqa train`"):
            run(configured(write_rivers(tmp_path, 3)), folder, resume)
    assert (folder / PREDICTIONS).read_text(encoding="utf-8") == "{}"


def test_a_reader_that_leaves_examples_out_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate = StubBackend.generate

    def lossy(self, prompts):  # type: ignore[no-untyped-def]
        return (pair for pair in generate(self, prompts) if pair[0].id != "q2")

    config = configured(write_rivers(tmp_path, 5))
    monkeypatch.setattr(StubBackend, "generate", lossy)
    with pytest.raises(RunError, match="5 examples, but 4 answers and 0 failures"):
        run(config, tmp_path / "out")
    monkeypatch.undo()
    assert run(config, tmp_path / "out").answered == 5


def test_a_reader_that_breaks_off_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate = StubBackend.generate

    def broken(self, prompts):  # type: ignore[no-untyped-def]
        for number, answered in enumerate(generate(self, prompts)):
            if number == 3:
                raise RuntimeError("the driver is gone")
            yield answered

    config = configured(write_rivers(tmp_path, 20))
    monkeypatch.setattr(StubBackend, "generate", broken)
    with pytest.raises(RuntimeError):
        run(config, tmp_path / "out")
    assert read_manifest(tmp_path / "out")["status"] == "failed"
    monkeypatch.undo()
    assert run(config, tmp_path / "out").resumed == 3


def test_an_incomplete_last_line_is_told_of(tmp_path: Path) -> None:
    config = configured(write_rivers(tmp_path, 5))
    run(config, tmp_path / "out")
    path = tmp_path / "out" / JOURNAL
    path.write_bytes(path.read_bytes()[:-5])
    notes: list[str] = []
    assert run(config, tmp_path / "out", notes=notes).resumed == 4
    assert any("last line was incomplete" in note for note in notes)


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path: Path) -> None:
    """kill -9 at 20 random moments: the same file in the end, and no answer is asked for twice."""
    path = write_rivers(tmp_path, 300, long=(7, 150))
    settings = {"fail_ids": ["q9", "q200"], "asked": str(tmp_path / "asked")}
    config = configured(path, {"backend": settings})
    slow = configured(path, {"backend": settings | {"seconds_per_answer": 0.05}})
    folder = tmp_path / "killed"
    moments = random.Random(20)
    kept: list[int] = []
    for number in range(KILLS):
        before = len(asked_ids(tmp_path / "asked"))
        done = set(journal_ids(folder))
        process = Forked(run, slow, folder)
        if number % 4:  # while answering; otherwise perhaps while the run is being prepared
            wait_until(lambda: len(journal_ids(folder)) > len(done), process)  # noqa: B023
        time.sleep(moments.uniform(0.0, 0.1))
        process.kill()
        assert process.returncode == -signal.SIGKILL, "the moments must lie within the run"
        assert not done & set(asked_ids(tmp_path / "asked")[before:])
        kept.append(len(set(journal_ids(folder))))
    assert kept == sorted(kept)
    assert len(set(kept)) > KILLS // 2, "most moments must lie among the gold answers"
    done, before = set(journal_ids(folder)), len(asked_ids(tmp_path / "asked"))
    last = run(config, folder)
    assert (last.examples, last.failed) == (300, 4)
    asked = asked_ids(tmp_path / "asked")
    assert not done & set(asked[before:])
    assert len(set(asked)) == 298
    assert sum(count - 1 for count in Counter(asked).values()) <= KILLS * WINDOW
    run(config, tmp_path / "whole")
    assert (folder / PREDICTIONS).read_bytes() == (tmp_path / "whole" / PREDICTIONS).read_bytes()


def start(folder: Path) -> Forked:
    """A slow prediction in its own process, once its first answers are on disk."""
    words = ["predict", "stub", "--data", "questions.jsonl", "-o", "out"]
    process = start_aqa(*words, "--set", "backend.seconds_per_answer=0.2", folder=folder)
    wait_until(lambda: len(journal_ids(folder / "out")) >= 3, process)
    return process


def test_a_stray_rank_is_no_group_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some schedulers and shells leave one behind; the folder is locked and written anyway."""
    monkeypatch.setenv("RANK", "1")
    config, folder = configured(write_rivers(tmp_path, 3)), tmp_path / "out"
    with (
        open_run(folder, "predict"),
        pytest.raises(RunError, match="another process is using this run folder"),
    ):
        run(config, folder)
    assert run(config, folder).answered == 3
    assert read_manifest(folder)["status"] == "done"
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert run(config, folder).resumed == 3


@pytest.mark.slow
def test_one_process_per_folder_and_ctrl_c(tmp_path: Path) -> None:
    config = configured(write_rivers(tmp_path, 100))
    folder = tmp_path / "out"
    process = start(tmp_path)
    with pytest.raises(RunError, match="another process is using this run folder"):
        run(config, folder)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate()
    assert process.returncode == 130
    assert output == ""
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert read_manifest(folder)["status"] == "interrupted"
    assert not (folder / PREDICTIONS).exists()
    kept = len(journal_ids(folder))
    assert 3 <= kept < 100
    assert run(config, folder).resumed == kept
    run(config, tmp_path / "whole")
    assert (folder / PREDICTIONS).read_bytes() == (tmp_path / "whole" / PREDICTIONS).read_bytes()


@pytest.mark.slow
def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    """A limit on file size stands in for a full disk."""
    config = configured(write_rivers(tmp_path, 100))
    command = 'ulimit -f 8; exec "$0" -m aqa predict stub --data questions.jsonl -o out'
    done = subprocess.run(
        ["bash", "-c", command, sys.executable],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("error: out: can't write there (File too large)")
    assert "Traceback" not in done.stderr
    kept = len(journal_ids(tmp_path / "out"))
    assert 3 <= kept < 100
    assert run(config, tmp_path / "out").resumed == kept
