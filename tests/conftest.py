"""Shared by all tests: no hub, no internet, the stub backend, and running aqa."""

import gc
import importlib
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis  # before freezing: it searches what is imported for its own objects
import pytest

if TYPE_CHECKING:
    from calls import Call
    from fault_server import Server

ROOT = Path(__file__).parents[1]
STUB = Path(__file__).parent / "fakes"
GUARD = Path(__file__).parent / "guard"

# Before importing any library that reads them; processes started by tests inherit them. The user's
# cache folder is unchanged: what was converted once serves all tests.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["COLUMNS"] = "200"
# Two workers with two threads each would slow each other down by far more than half.
os.environ.setdefault("OMP_NUM_THREADS", "1")
for name in ("FORCE_COLOR", "OPENAI_API_KEY", "HF_TOKEN"):
    os.environ.pop(name, None)
folders = [str(STUB), str(GUARD)]
os.environ["PYTHONPATH"] = os.pathsep.join([*folders, *filter(None, [os.getenv("PYTHONPATH")])])
sys.path[:0] = folders
importlib.import_module("loopback_only")  # guards child processes; pytest-socket guards this one
# A process started in the background ignores Ctrl-C, and so would those that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
# An example's time depends mostly on what else the machine is doing.
slow = hypothesis.HealthCheck.too_slow
hypothesis.settings.register_profile("any machine", deadline=None, suppress_health_check=[slow])
hypothesis.settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the slowest files, so that no worker waits for another at the end.

    Some are named, then come the files with the most slow tests.

    Coverage is measured where it costs little: tracing doubles the time of tests that run the same
    lines thousands of times: those with large data, hypothesis, or marked slow.
    """
    longest = ("test_quickstart.py", "test_benchmarks.py")
    slow_tests = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: (item.path.name not in longest, -slow_tests[item.path]))
    for item in items:
        searches = hypothesis.is_hypothesis_test(getattr(item, "obj", None))
        if searches or item.get_closest_marker("slow") or "shared_data" in fixtures_of(item):
            item.add_marker("no_cover")


def fixtures_of(item: pytest.Item) -> list[str]:
    """The names of the fixtures that a test uses."""
    return list(getattr(item, "fixturenames", ()))


frozen = 0


@pytest.hookimpl(trylast=True)
def pytest_runtest_setup() -> None:
    """Make the garbage collector skip libraries, since each reader runs it when it ends.

    Checking half a million objects of torch and transformers takes a second each time.
    """
    global frozen
    if len(sys.modules) > frozen + 20:
        gc.collect(1)
        gc.freeze()
        frozen = len(sys.modules)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The published data sets beside the checkout, or where AQA_SHARED_DATA says."""
    folder = Path(os.getenv("AQA_SHARED_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no data sets in {folder}; AQA_SHARED_DATA names another folder")
    return folder


@pytest.fixture
def run_aqa(tmp_path: Path) -> "Call":
    """Run `aqa` in its own process, in the test's folder; assert that it ends with the `code`."""

    def run(
        *arguments: str | Path, timeout: float = 1200, code: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "aqa", *map(str, arguments)],
            cwd=tmp_path,
            capture_output=True,
            encoding="utf-8",
            timeout=timeout,
            check=False,
        )
        assert code in (None, done.returncode), done.stderr
        return done

    return run


@pytest.fixture
def call_aqa(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> "Call":
    """The same within this process, which is faster and can be monkeypatched."""
    from aqa.__main__ import main

    monkeypatch.chdir(tmp_path)

    def call(*arguments: str | Path, code: int | None = None) -> subprocess.CompletedProcess[str]:
        words = ["aqa", *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", words)
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        found = stop.value.code or 0
        assert isinstance(found, int)
        assert code in (None, found), printed.err
        return subprocess.CompletedProcess(words, found, printed.out, printed.err)

    return call


@pytest.fixture
def server() -> "Iterator[Server]":
    """A chat-completions server on loopback that answers as its attributes say."""
    from fault_server import Server, serving

    with serving(Server()) as found:
        yield found


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry failed requests almost at once."""
    monkeypatch.setattr("aqa.backends.openai_api.retry_delays.FIRST_BACK_OFF", 0.01)
    monkeypatch.setattr("aqa.backends.openai_api.retry_delays.LONGEST_BACK_OFF", 0.1)


@pytest.fixture
def as_stub(monkeypatch: pytest.MonkeyPatch) -> Callable[[type], None]:
    """Make another class the backend called stub."""
    from aqa.backends import BACKENDS

    def register(reader_type: type) -> None:
        name = reader_type.__name__
        monkeypatch.setattr(f"aqa_stub.{name}", reader_type, raising=False)
        monkeypatch.setitem(BACKENDS, "stub", f"aqa_stub:{name}")

    return register
