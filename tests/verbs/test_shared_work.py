"""One prediction in several processes: the same files as from one, whoever dies."""

import errno
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from aqa_stub import StubBackend, asked_ids
from river_questions import write_rivers
from shared_runs import Launch

from aqa.config.load import build_config
from aqa.config.options import RunConfig
from aqa.errors import FolderInUseError, RunError, UsageError
from aqa.evaluation.sequential_testing import StopRule
from aqa.processes import (
    first_host,
    is_first_process,
    join_slurm_step,
    local_rank,
    process_count,
    process_rank,
)
from aqa.progress import SilentProgress
from aqa.runs.files import write_json
from aqa.runs.folder import hold, read_manifest
from aqa.runs.names import JOURNAL, LOCK, MANIFEST, PREDICTIONS, SEGMENTS
from aqa.runs.segments import segments_of
from aqa.runs.shared_queue import CLAIMS, open_queue, take_part
from aqa.verbs.distributed_prediction import predict_distributed
from aqa.verbs.launch import LAUNCH, launch_name
from aqa.verbs.predict import Resume, predict

GO_ON = Resume()
COUNT, SIZE = 90, 16  # questions, and how many of them a process takes at a time
SLOW = {"seconds_per_answer": 0.02}
HELD = "held"  # a file, while which all launched processes wait after two answers


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith(("SLURM_", "MASTER_", "TORCHELASTIC_")):
            monkeypatch.delenv(name)


def be_told(monkeypatch: pytest.MonkeyPatch, told: Mapping[str, str]) -> None:
    """Set the environment variables about processes to these, and no others."""
    for name in ["RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", LAUNCH]:
        monkeypatch.setenv(name, "")  # so that it is restored, whoever changes it
        monkeypatch.delenv(name)
    for name in [name for name in os.environ if name.startswith(("SLURM_", "TORCHELASTIC_"))]:
        monkeypatch.delenv(name)
    for name, value in told.items():
        monkeypatch.setenv(name, value)


def configured(folder: Path, count: int = COUNT, **backend: Any) -> RunConfig:
    """Questions of which one can't fit and two fail."""
    path = write_rivers(folder, count, long=[7])
    backend = {"asked": str(folder / "asked"), "fail_ids": ["q3", "q40"], **backend}
    settings = {"data": {"path": str(path)}, "generation": {"window": SIZE}}
    return build_config(StubBackend.Options, [{**settings, "backend": backend}])


def rows(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def run_alone(config: RunConfig, folder: Path, resume: Resume = GO_ON) -> Any:
    return predict(config, folder, SilentProgress(), resume)


def run_together(config: RunConfig, folder: Path, resume: Resume = GO_ON) -> Any:
    return predict_distributed(config, folder, SilentProgress(), resume, "", "l")


def wait_until(condition: Callable[[], object], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


def launched(folder: Path, count: int) -> Launch:
    """Processes that have two answers each, and wait until `HELD` is deleted."""
    (folder / HELD).touch()
    launch = Launch(configured(folder, held_by=str(folder / HELD)), folder / "out", count)
    names = [str(rank) for rank in range(count)]
    wait_until(lambda: all(answered(folder / "out", name) >= 2 for name in names))
    return launch


def answered(folder: Path, name: str) -> int:
    """The number of answers in a process's segment."""
    path = folder / SEGMENTS / name / JOURNAL
    return path.read_bytes().count(b"\n") - 1 if path.exists() else 0


def is_whole(folder: Path, single: Path) -> None:
    """Assert that the files are those of one process, and nothing is left over."""
    assert (folder / PREDICTIONS).read_bytes() == (single / PREDICTIONS).read_bytes()
    assert sorted(rows(folder / JOURNAL)) == sorted(rows(single / JOURNAL))
    assert not (folder / SEGMENTS).exists()
    manifest = read_manifest(folder)
    assert manifest["status"] == "done"
    assert manifest["counts"] == {"examples": COUNT, "answered": COUNT - 3, "failed": 3}


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a single process."""
    folder = tmp_path_factory.mktemp("single")
    run_alone(configured(folder), folder / "out")
    return folder / "out"


@pytest.mark.parametrize("victims", [[1], [0], [0, 1]])
@pytest.mark.slow
def test_the_others_do_the_part_of_one_that_dies(
    victims: list[int], single: Path, tmp_path: Path
) -> None:
    folder, launch = tmp_path / "out", launched(tmp_path, 3)
    for victim in victims:
        launch.kill(victim)
    (tmp_path / HELD).unlink()
    codes = launch.exit_codes()
    assert [code for rank, code in enumerate(codes) if rank not in victims] == [0] * (
        3 - len(victims)
    )
    is_whole(folder, single)
    twice = sum(count - 1 for count in Counter(asked_ids(tmp_path / "asked")).values())
    assert twice <= SIZE * len(victims)


@pytest.mark.slow
def test_another_leads_where_the_first_never_came(single: Path, tmp_path: Path) -> None:
    launch = Launch(configured(tmp_path, **SLOW), tmp_path / "out", 3, Resume(fresh=True))
    launch.kill(0)
    assert launch.exit_codes()[1:] == [0, 0]
    is_whole(tmp_path / "out", single)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.slow
def test_any_number_of_processes_resumes(count: int, single: Path, tmp_path: Path) -> None:
    config, folder, launch = configured(tmp_path), tmp_path / "out", launched(tmp_path, 3)
    for rank in launch.living():
        launch.kill(rank)
    kept = sum(answered(folder, name) for name in "012")
    before = len(asked_ids(tmp_path / "asked"))
    if count == 1:
        assert run_alone(config, folder).resumed >= kept
    else:
        assert Launch(config, folder, count).exit_codes() == [0] * count
    is_whole(folder, single)
    assert len(asked_ids(tmp_path / "asked")) - before <= COUNT - kept


@pytest.mark.slow
def test_while_one_of_them_lives_the_folder_is_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aqa.runs.segments.GONE_SECONDS", 0.1)
    config, folder, launch = configured(tmp_path), tmp_path / "out", launched(tmp_path, 2)
    with pytest.raises(FolderInUseError, match="another process is using"):
        run_alone(config, folder)
    launch.kill(0)
    with pytest.raises(FolderInUseError, match="another process is using"):
        run_alone(config, folder, Resume(fresh=True))
    launch.kill(1)
    assert segments_of(folder)
    other = configured(tmp_path, max_length=300)
    with pytest.raises(RunError, match=r"another run: reader\.max_length was 400 and is now 300"):
        run_alone(other, folder)
    assert run_alone(other, folder, Resume(fresh=True)).resumed == 0
    assert not segments_of(folder)


def test_the_first_follows_another_one_that_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came late: the other one is still reading the journal."""
    folder, waited = tmp_path / "out", []

    def begin(seconds: float) -> None:
        waited.append(seconds)
        (folder / MANIFEST).write_text(json.dumps({"launch": "l", "status": "done"}))

    monkeypatch.setattr("aqa.verbs.shared_work.time.sleep", begin)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    locks = [hold(folder, f"{LOCK}.l"), hold(folder)]
    try:
        assert run_together(configured(tmp_path), folder) is None
    finally:
        for lock in locks:
            lock.release()
    assert len(waited) == 1


@pytest.mark.parametrize("status", ["running", "done", None])
def test_a_folder_that_one_process_holds_is_refused_at_once(
    status: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("it waited"))
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    lock = hold(tmp_path / "out")
    if status is not None:
        write_json(tmp_path / "out" / MANIFEST, {"verb": "predict", "status": status})
    try:
        with pytest.raises(FolderInUseError, match="another process is using"):
            run_together(configured(tmp_path), tmp_path / "out")
    finally:
        lock.release()
    assert not [*(tmp_path / "out").glob(f"{LOCK}.*")]


def test_a_folder_where_another_launch_answers_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "out"
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("it waited"))
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    lock = hold(folder)
    try:
        open_queue(folder, {"launch": "other", "window": SIZE, "fingerprint": {}}, [False] * COUNT)
        share = take_part(folder, "0", "other")
        assert share is not None
        with share, pytest.raises(FolderInUseError, match="another process is using"):
            run_together(configured(tmp_path), folder)
    finally:
        lock.release()


def test_failures_are_asked_again_by_all(single: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    run_alone(configured(tmp_path), folder)
    before = len(asked_ids(tmp_path / "asked"))
    launch = Launch(configured(tmp_path, fail_ids=["q40"]), folder, 2, Resume(retry_errors=True))
    assert launch.exit_codes() == [0, 0]
    assert sorted(asked_ids(tmp_path / "asked")[before:]) == ["q3", "q40"]
    found = json.loads((folder / PREDICTIONS).read_bytes())
    assert "error" not in found["q3"]
    assert {name for name, row in found.items() if row.get("error")} == {"q7", "q40"}


def test_one_that_works_on_another_run_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = {"launch": "l", "window": SIZE, "fingerprint": {"reader": {"max_length": 400}}}
    (tmp_path / "out").mkdir()
    open_queue(tmp_path / "out", inputs, [False] * COUNT)
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2"), (LAUNCH, "l")):
        monkeypatch.setenv(name, value)
    with pytest.raises(RunError, match="another run"):
        run_together(configured(tmp_path, max_length=300), tmp_path / "out")
    assert asked_ids(tmp_path / "asked") == []


@pytest.fixture
def queue(tmp_path: Path) -> Path:
    """A queue of ten examples in windows of four, the first four of them done."""
    fingerprint = {"launch": "l", "window": 4, "fingerprint": {}}
    open_queue(tmp_path, fingerprint, (index < 4 for index in range(10)))
    return tmp_path


def test_windows_are_taken_in_turn(queue: Path) -> None:
    one, two = take_part(queue, "0", "l"), take_part(queue, "1", "l")
    assert one is not None
    assert two is not None
    assert take_part(queue, "2", "another launch") is None
    with one, two:
        assert one.take() == range(4, 8)
        # A process killed while writing leaves half a line.
        with (queue / SEGMENTS / CLAIMS).open("ab") as file:
            file.write(b"take 2")
        assert two.take() == range(8, 10)
        assert one.take() is None
        for index in range(8, 10):
            two.journal.append(index, {"id": str(index)})
        one.journal.append(4, {"id": "4"})
        assert next(two.rounds()) is False  # the first may still die
        one.__exit__()
        assert next(two.rounds()) is True
        assert two.take() == range(4, 8)
        assert [index for index in range(4, 8) if two.needs(index)] == [5, 6, 7]
        for index in range(5, 8):
            two.journal.append(index, {"id": str(index)})
        assert list(two.rounds()) == []


def test_who_joins_again_keeps_its_answers(queue: Path) -> None:
    """As after a leader's death: the next one has not merged them, and the queue is still open."""
    first = take_part(queue, "1", "l")
    assert first is not None
    with first:
        assert [first.take(), first.take()] == [range(4, 8), range(8, 10)]
        for index in (5, 8, 9):
            first.journal.append(index, {"id": str(index)})
    again = take_part(queue, "1", "l")
    assert again is not None
    with again:
        assert next(again.rounds()) is True
        assert again.take() == range(4, 8)
        assert [index for index in range(4, 8) if again.needs(index)] == [4, 6, 7]
        for index in (4, 6, 7):
            again.journal.append(index, {"id": str(index)})
        assert list(again.rounds()) == []
    assert answered(queue, "1") == 6


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ("", (0, 1, 0)),
        ("RANK=1", (0, 1, 0)),
        ("SLURM_PROCID=0 SLURM_NTASKS=8", (0, 1, 0)),  # a batch script
        ("SLURM_STEP_NUM_TASKS=8 SLURM_PROCID=5 SLURM_LOCALID=1", (5, 8, 1)),
        (
            "SLURM_STEP_NUM_TASKS=8 SLURM_PROCID=5 SLURM_LOCALID=1 CUDA_VISIBLE_DEVICES=1",
            (5, 8, 0),
        ),
        # torchrun on each of two machines, alone or together
        (
            "SLURM_STEP_NUM_TASKS=2 SLURM_PROCID=1 RANK=0 WORLD_SIZE=1 TORCHELASTIC_RUN_ID=none",
            (0, 1, 0),
        ),
        (
            "SLURM_STEP_NUM_TASKS=2 SLURM_PROCID=1 RANK=9 WORLD_SIZE=16 LOCAL_RANK=1",
            (9, 16, 1),
        ),
    ],
)
def test_who_tells_of_processes(
    told: str, found: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    be_told(monkeypatch, dict(pair.split("=") for pair in told.split()))
    join_slurm_step()
    assert (process_rank(), process_count(), local_rank()) == found
    assert is_first_process() == (found[0] == 0)


@pytest.mark.parametrize(
    ("hosts", "first"),
    [("gpu[03-05,9],big1", "gpu03"), ("a1", "a1"), ("a1,b2", "a1"), ("n[1,2]-ib,c", "n1-ib")],
)
def test_the_first_of_slurms_machines(hosts: str, first: str) -> None:
    assert first_host(hosts) == first


def test_the_name_of_a_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    step = {"SLURM_JOB_ID": "12", "SLURM_STEP_ID": "0", "SLURM_RESTART_COUNT": "1"}
    group = {"RANK": "1", "WORLD_SIZE": "2"}
    for told, name in (({"RANK": "1"}, None), ({**group, **step}, "12-0-1")):
        be_told(monkeypatch, told)
        assert launch_name() == name
    be_told(monkeypatch, group)
    with pytest.raises(UsageError, match=r"process 2 of 2 .* does not know where"):
        launch_name()


def test_a_launch_agrees_on_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first process makes it up; torch's store passes it to the others."""
    from torch.distributed import TCPStore

    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    told = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port)}
    told["TORCHELASTIC_USE_AGENT_STORE"] = "True"
    names = []
    for rank in "01":
        be_told(monkeypatch, {**told, "RANK": rank})
        names.append(launch_name())
    assert names[0] == names[1]


@pytest.mark.parametrize("how", ["remote", "decided", "api"])
def test_what_is_the_work_of_one(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aqa.backends.openai_api.backend import Gpt4Backend

    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    config, out = configured(tmp_path), tmp_path / "out"
    asked = build_config(Gpt4Backend.Options, [{"data": {"path": "none.jsonl"}}])
    silent, decided = SilentProgress(), Resume(stop=StopRule(tmp_path))
    calls = {
        "remote": lambda: predict_distributed(asked, out, silent, GO_ON, "", "l"),
        "decided": lambda: run_together(config, out, decided),
        "api": lambda: run_alone(config, out),
    }
    with pytest.raises(UsageError, match="runs in one process only; start it without torchrun"):
        calls[how]()
    assert not out.exists()


@pytest.mark.slow
def test_workers_of_one_command(single: Path, tmp_path: Path, run_aqa: Any) -> None:
    configured(tmp_path)
    words = ["predict", "stub", "--data", "questions.jsonl", "-o", "out", "--json"]
    words += ["--set", f"generation.window={SIZE}", "--set", "backend.seconds_per_answer=0.04"]
    words += ["--set", "backend.fail_ids=[q3, q40]", "--set", "backend.asked=asked"]
    done = run_aqa(*words, "--set", "workers.count=3", code=0)
    assert json.loads(done.stdout)["examples"] == COUNT
    is_whole(tmp_path / "out", single)
    windows = [json.loads(row)["index"] // SIZE for row in rows(tmp_path / "out" / JOURNAL)[1:]]
    assert windows == sorted(windows)  # as a single process would take them
    assert Counter(asked_ids(tmp_path / "asked")).most_common(1)[0][1] == 1
    assert sorted(asked_ids(tmp_path / "asked")) == sorted(f"q{n}" for n in range(COUNT) if n != 7)


@pytest.mark.slow
def test_tasks_of_srun_on_two_machines(single: Path, tmp_path: Path) -> None:
    """Only what `srun` sets, and nothing of torch."""
    configured(tmp_path)
    words = ["predict", "stub", "--data", "questions.jsonl", "-o", "out", "--json"]
    words += ["--set", f"generation.window={SIZE}", "--set", "backend.seconds_per_answer=0.03"]
    words += ["--set", "backend.fail_ids=[q3, q40]", "--set", "backend.asked=asked"]
    step = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "2", "SLURM_LOCALID": "0"}
    step |= {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NODELIST": "gpu[1-2]"}
    tasks = [
        subprocess.Popen(
            [sys.executable, "-m", "aqa", *words],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            env={**os.environ, **step, "SLURM_PROCID": rank, "SLURM_NODEID": rank},
        )
        for rank in "01"
    ]
    told = [task.communicate()[0] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0]
    assert json.loads(told[0])["examples"] == COUNT
    assert told[1] == b""
    is_whole(tmp_path / "out", single)
    assert Counter(asked_ids(tmp_path / "asked")).most_common(1)[0][1] == 1


def test_where_nothing_can_be_locked_one_process_works(
    single: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    """As on Lustre mounted without flock."""

    def flock(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)
    config, out = configured(tmp_path), tmp_path / "out"
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), (LAUNCH, "l")):
        monkeypatch.setenv(name, value)
    with pytest.raises(RunError, match=r"is on a file system without locks \(flock\)"):
        run_together(config, out)
    assert asked_ids(tmp_path / "asked") == []
    monkeypatch.delenv("RANK")
    run_alone(config, out)
    is_whole(out, single)


def test_workers_are_not_started_by_one_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    from aqa.cli.workers import further_processes

    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match=r"workers\.count starts its own processes"):
        further_processes(2).__enter__()


def test_a_worker_that_does_not_leave_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    from aqa.cli import workers

    started = []
    begin = subprocess.Popen

    def begun(command: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
        started.append(begin(["sleep", "600"]))
        return started[-1]

    monkeypatch.setattr(workers.subprocess, "Popen", begun)
    monkeypatch.setattr(workers, "LEAVE_SECONDS", 0.01)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with workers.further_processes(3):
        pass
    assert [process.returncode for process in started] == [-9, -9]
