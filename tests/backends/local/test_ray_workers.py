"""Prediction by Ray actors: the same files as from one process, whoever dies."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
from aqa_stub import StubBackend
from fake_ray import FakeRay
from river_questions import write_rivers

import aqa
from aqa.backends.openai_api.backend import Gpt4Backend
from aqa.config.load import build_config
from aqa.config.options import RunConfig
from aqa.errors import ConfigError, MissingExtraError, ModelError, RunError, UsageError
from aqa.progress import SilentProgress
from aqa.prompting.templates import load_template
from aqa.records import Evidence, Prompt
from aqa.runs.names import JOURNAL, PREDICTIONS
from aqa.verbs.predict import PredictResult, Resume, predict
from aqa.verbs.session import result_of
from aqa.verbs.variants import answers_of, check_variants, make_variants

COUNT, SIZE = 40, 8


def configured(folder: Path, workers: int = 0, gpus: float | None = None) -> RunConfig:
    """Questions of which one can't fit and one fails, for so many actors."""
    backend = {"asked": str(folder / "asked"), "fail_ids": ["q3"]}
    told = {
        "data": {"path": str(write_rivers(folder, COUNT, long=[7]))},
        "generation": {"window": SIZE},
        "backend": backend,
        "workers": {"engine": "ray", "count": workers, "gpus": gpus} if workers else {},
    }
    return build_config(StubBackend.Options, [told])


def run(config: RunConfig, folder: Path) -> PredictResult:
    return predict(config, folder, SilentProgress(), Resume())


def asked_twice(folder: Path) -> int:
    ids = (folder / "asked").read_text(encoding="utf-8").split()
    return sum(count - 1 for count in Counter(ids).values())


def is_whole(folder: Path, single: Path) -> None:
    assert (folder / PREDICTIONS).read_bytes() == (single / PREDICTIONS).read_bytes()
    lines = [sorted((each / JOURNAL).read_bytes().splitlines()) for each in (folder, single)]
    assert lines[0] == lines[1]


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of a single process."""
    folder = tmp_path_factory.mktemp("single")
    run(configured(folder), folder / "out")
    return folder / "out"


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRay]:
    """Fake Ray within this process, for all later imports."""
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.setitem(sys.modules, "ray.exceptions", fake.exceptions)
    ours = ["aqa.backends.local.ray_cluster", "aqa.backends.local.ray_workers"]
    for name in ours:
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_USAGE_STATS_ENABLED"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    yield fake
    for name in ours:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("deaths", [[], [0], [5, 6, 20], [31]])
def test_the_files_are_those_of_one_process(
    workers: int, deaths: list[int], ray: FakeRay, single: Path, tmp_path: Path
) -> None:
    ray.deaths = [*deaths]
    result = run(configured(tmp_path, workers), tmp_path / "out")
    assert (result.answered, result.failed) == (COUNT - 2, 2)
    is_whole(tmp_path / "out", single)
    assert len(ray.actors) == workers + len(deaths)
    assert all(actor.dead for actor in ray.actors)
    assert asked_twice(tmp_path) <= SIZE * len(deaths)
    assert (ray.ended, ray.told) == (1, None)


def test_prompts_are_streamed(ray: FakeRay, tmp_path: Path) -> None:
    """No more is in flight than a window per actor and one to come."""
    from aqa.backends.local.ray_workers import on_ray

    config = configured(tmp_path, 2)
    evidence, template = Evidence(()), load_template("eng_v1")
    read, open_at_most = 0, 0

    def prompts() -> Iterator[Any]:
        nonlocal read
        for read in range(1, 1001):
            yield Prompt(str(read), read - 1, "", evidence, template)

    with on_ray(_Echo)(config, SilentProgress()) as reader:
        for answered, _ in enumerate(reader.generate(prompts())):
            open_at_most = max(open_at_most, read - answered)
    assert read == answered + 1 == 1000
    assert open_at_most <= 3 * SIZE


def test_a_local_ray_is_for_this_process_alone(ray: FakeRay, tmp_path: Path) -> None:
    run(configured(tmp_path, 2), tmp_path / "out")
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    assert {actor.placed["num_gpus"] for actor in ray.actors} == {0}
    assert {actor.placed["num_cpus"] for actor in ray.actors} == {2}
    told = [(each["RANK"], each["CUDA_VISIBLE_DEVICES"]) for each in ray.environments]
    assert told == [("0", ""), ("1", "")]


def test_a_ray_that_runs_already_stays(ray: FakeRay, tmp_path: Path) -> None:
    ray.init()
    ray.resources = {"CPU": 8.0, "GPU": 2.0}
    run(configured(tmp_path, 2), tmp_path / "out")
    assert ray.told == {}
    assert ray.ended == 0
    assert {actor.placed["num_gpus"] for actor in ray.actors} == {1}
    asked_of, *answering = ray.actors
    assert asked_of.dead  # it was only asked for its hardware
    assert len(answering) == 2


@pytest.mark.parametrize("deaths", [{"deadly": {"q12"}}, {"deaths_at_load": range(1, 9)}])
def test_deaths_in_vain_are_an_end(
    deaths: dict[str, Any], ray: FakeRay, single: Path, tmp_path: Path
) -> None:
    vars(ray).update(deaths)
    with pytest.raises(RunError, match=r"3 Ray workers died .* after the other: It was killed"):
        run(configured(tmp_path, 2), tmp_path / "out")
    assert ray.told is None
    ray.deadly, ray.deaths_at_load = set(), ()
    run(configured(tmp_path, 2), tmp_path / "out")
    is_whole(tmp_path / "out", single)


def test_an_interrupted_run_resumes_without_ray(ray: FakeRay, single: Path, tmp_path: Path) -> None:
    ray.interrupt_at = 20
    with pytest.raises(KeyboardInterrupt):
        run(configured(tmp_path, 2), tmp_path / "out")
    assert ray.told is None
    assert all(actor.dead for actor in ray.actors)
    assert run(configured(tmp_path), tmp_path / "out").resumed > 10
    is_whole(tmp_path / "out", single)


class _Failing(StubBackend):
    def __enter__(self) -> "_Failing":
        raise ModelError("no such weights")


class _Lacking(StubBackend):
    def generate(self, prompts: Any) -> Any:
        raise MissingExtraError("ctranslate2", "fast")
        yield


class _Noting(StubBackend):
    def __enter__(self) -> "_Noting":
        self._progress.note("device: cpu")
        return self


class _Various(StubBackend):
    made = 0

    def hardware(self) -> dict[str, str]:
        _Various.made += 1
        return {"dtype": "float16" if _Various.made == 3 else "bfloat16"}


class _Echo(StubBackend):
    def _note(self, window: list[Any]) -> None:
        """Nothing is kept."""


def test_what_a_worker_says(ray: FakeRay, tmp_path: Path, as_stub: Callable[[type], None]) -> None:
    as_stub(_Failing)
    with pytest.raises(ModelError, match="no such weights"):
        run(configured(tmp_path, 2), tmp_path / "out")
    as_stub(_Lacking)
    with pytest.raises(MissingExtraError, match="ctranslate2 is not installed"):
        run(configured(tmp_path, 2), tmp_path / "lacking")
    assert ray.told is None
    progress = SilentProgress()
    as_stub(_Noting)
    predict(configured(tmp_path, 3), tmp_path / "noting", progress)
    assert progress.notes.count("device: cpu") == 1
    as_stub(_Various)
    with pytest.raises(ModelError, match="would compute in float16 and others in bfloat16"):
        run(configured(tmp_path, 3), tmp_path / "various")


class _Unknown(StubBackend):
    def hardware(self) -> dict[str, str]:
        raise ModelError("no such device")


def test_what_fails_at_the_beginning_leaves_nothing(
    ray: FakeRay,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    as_stub: Callable[[type], None],
) -> None:
    from aqa.backends.local.ray_workers import on_ray

    ray.most_actors = 1
    with pytest.raises(ray.exceptions.RayError, match="no room for another actor"):
        on_ray(StubBackend)(configured(tmp_path, 2), SilentProgress()).__enter__()
    assert [actor.dead for actor in ray.actors] == [True]
    assert (ray.ended, ray.told) == (1, None)
    ray.most_actors = -1
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    as_stub(_Unknown)
    with pytest.raises(ModelError, match="no such device"):
        run(configured(tmp_path, 2), tmp_path / "out")
    assert [actor.dead for actor in ray.actors] == [True, True]
    assert (ray.ended, ray.told) == (2, None)


def test_runs_of_one_reader_share_the_actors(ray: FakeRay, tmp_path: Path) -> None:
    config = configured(tmp_path, 2)
    variants = make_variants(config, tmp_path / "out", ["eng_v1", "eng_v2"], [])
    checked = check_variants(variants, SilentProgress())
    found = result_of(answers_of(checked, SilentProgress(), Resume(), ""))
    assert [result.answered for result in found.values()] == [COUNT - 2] * 2
    assert len(ray.actors) == 2
    assert ray.ended == 1


def test_actors_that_stay_start_over_after_answers_that_nobody_took(
    ray: FakeRay, single: Path, tmp_path: Path
) -> None:
    config = configured(tmp_path, 2)
    with aqa.Reader(config) as reader:
        with aqa.predict(reader) as begun:
            next(iter(begun))
        busy = len(ray.actors)
        list(aqa.predict(reader, output_dir=tmp_path / "out"))
        again = len(ray.actors)
        list(aqa.predict(reader))
        assert busy < again <= busy + 2
        assert len(ray.actors) == again
        assert not ray.ended
    is_whole(tmp_path / "out", single)
    assert all(actor.dead for actor in ray.actors)
    assert ray.ended == 1


def test_what_is_refused(ray: FakeRay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"data": {"path": "none.jsonl"}, "workers": {"engine": "ray"}}
    with pytest.raises(UsageError, match="runs in one process only"):
        run(build_config(Gpt4Backend.Options, [asked]), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"workers\.gpus = 2\.0 has no effect: it needs workers"):
        build_config(StubBackend.Options, [{"workers": {"gpus": 2}}])
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(RunError, match=r"RAY_ADDRESS=127.0.0.1:1 can't be used: nothing answers"):
        run(configured(tmp_path, 2), tmp_path / "out")
    monkeypatch.setenv("RAY_ADDRESS", "nowhere")
    with pytest.raises(RunError, match="RAY_ADDRESS=nowhere can't be used: Could not find any"):
        run(configured(tmp_path, 2), tmp_path / "out")
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(RunError, match="is for Ray's client, which can't stream answers"):
        run(configured(tmp_path, 2), tmp_path / "out")
    monkeypatch.delenv("RAY_ADDRESS")
    assert not (tmp_path / "out").exists()
    with pytest.raises(RunError, match=r"Ray has 0 GPUs, but workers\.gpus = 2 for each worker"):
        run(configured(tmp_path, 2, gpus=2), tmp_path / "out")
    assert ray.told is None
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'run: pip install "aqa\[ray\]"'):
        run(configured(tmp_path, 2), tmp_path / "out")


def family_of(process: int) -> list[psutil.Process]:
    """The descendants of a process."""
    return psutil.Process(process).children(recursive=True)


def actors_of(process: int) -> list[psutil.Process]:
    """The processes of a local Ray's actors."""
    found = []
    for each in family_of(process):
        with suppress(psutil.NoSuchProcess):
            if any("Reading" in word for word in each.cmdline()):
                found.append(each)
    return found


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray (the extra `ray`) is not installed")
def test_a_ray_of_two_workers_of_which_one_is_killed(single: Path, tmp_path: Path) -> None:
    """Then the command is interrupted, and resumes without Ray, which leaves nothing behind."""
    configured(tmp_path)
    words = ["predict", "stub", "--data", "questions.jsonl", "-o", "out", "--quiet"]
    words += ["--set", f"generation.window={SIZE}", "--set", "backend.fail_ids=[q3]"]
    words += ["--set", "backend.asked=asked", "--set", "backend.up_to=up_to"]
    actors = ["--set", "workers.engine=ray", "--set", "workers.count=2"]
    command = [sys.executable, "-m", "aqa", *words]
    journal, up_to = tmp_path / "out" / JOURNAL, tmp_path / "up_to"
    up_to.write_text(str(2 * SIZE))  # however late a worker starts, there is work left

    def answered() -> int:
        return len(journal.read_bytes().splitlines()) - 1 if journal.exists() else 0

    with subprocess.Popen([*command, *actors], cwd=tmp_path, stderr=subprocess.PIPE) as process:

        def wait_until(condition: Callable[[], bool]) -> None:
            while not condition():
                assert process.poll() is None
                time.sleep(0.05)

        wait_until(lambda: answered() >= 4 and len(actors_of(process.pid)) == 2)
        actors_of(process.pid)[0].kill()
        up_to.write_text(str(4 * SIZE))
        wait_until(lambda: answered() >= 3 * SIZE and len(actors_of(process.pid)) == 2)
        family = family_of(process.pid)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode != 0
    assert b"Traceback" not in said
    psutil.wait_procs(family, timeout=1800)
    assert not [each for each in family if each.is_running()]
    assert answered() < COUNT
    up_to.write_text(str(COUNT))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    assert b"error" not in done.stderr
    is_whole(tmp_path / "out", single)
    assert asked_twice(tmp_path) <= SIZE * 3
