"""Run processes by forking one that has already imported the heavy libraries.

Importing torch, transformers and peft takes nine seconds of CPU time, far more than most tests need
otherwise. Tests of how `aqa` starts run Python itself.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path

_AT_FIRST = dict(os.environ)  # before any test changes it


class Forked:
    """A running process, with the methods of `subprocess.Popen` that tests need."""

    def __init__(
        self,
        target: Callable[..., object],
        *arguments: object,
        folder: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._outputs = [tempfile.NamedTemporaryFile() for _ in range(2)]  # noqa: SIM115
        for file in self._outputs:
            weakref.finalize(self, file.close)  # otherwise it warns, in whatever test is running
        names = [file.name for file in self._outputs]
        place = (str(folder or Path.cwd()), dict(os.environ if env is None else env))
        self._process = context().Process(target=_begin, args=(*place, names, target, arguments))
        self._process.start()

    @property
    def returncode(self) -> int | None:
        """As in `subprocess`: negative for the signal that ended the process."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The exit code, or None while the process is running."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal to this process only."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """Kill the process with -9, and wait until it is gone."""
        self.send_signal(signal.SIGKILL)
        self._process.join()

    def communicate(self, timeout: float = 1200) -> tuple[str, str]:
        """Wait for the end, and return what was written to standard output and error."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            self.kill()
            raise subprocess.TimeoutExpired("a forked process", timeout)
        output, errors = (Path(file.name).read_text(encoding="utf-8") for file in self._outputs)
        return output, errors


def start_aqa(
    *words: str | Path, folder: Path | None = None, env: Mapping[str, str] | None = None
) -> Forked:
    """Start `aqa` in its own process."""
    return Forked(_aqa, *map(str, words), folder=folder, env=env)


def run_aqa(
    *words: str | Path,
    folder: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 1200,
) -> subprocess.CompletedProcess[str]:
    """Run `aqa` in its own process to its end."""
    process = start_aqa(*words, folder=folder, env=env)
    output, errors = process.communicate(timeout)
    code = process.returncode
    assert code is not None
    return subprocess.CompletedProcess(["aqa", *map(str, words)], code, output, errors)


def run_script(
    script: Path, *words: str, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a Python file like `python FILE`."""
    process = Forked(_script, str(script), *words, folder=folder)
    output, errors = process.communicate()
    code = process.returncode
    assert code is not None
    return subprocess.CompletedProcess([str(script), *words], code, output, errors)


def wait_until(
    reached: Callable[[], bool], process: Forked | None = None, seconds: float = 1200
) -> None:
    """Wait for something that a process does; fail if it ends before, or on timeout."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def context() -> ForkServerContext:
    """The context that forks such processes; the first call takes seconds."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["heavy", "forked"])
    now = dict(os.environ)
    try:
        os.environ.clear()
        os.environ.update(_AT_FIRST)
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(now)
    return found


def _begin(
    folder: str,
    env: Mapping[str, str],
    outputs: list[str],
    target: Callable[..., object],
    arguments: tuple[object, ...],
) -> None:
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    for number, name in enumerate(outputs, 1):
        os.dup2(os.open(name, os.O_WRONLY | os.O_APPEND), number)
    target(*arguments)


def _script(path: str, *words: str) -> None:
    sys.argv = [path, *words]
    sys.path.insert(0, str(Path(path).parent))
    runpy.run_path(path, run_name="__main__")


def _aqa(*words: str) -> None:
    from aqa.__main__ import main

    sys.argv = ["aqa", *words]
    main()
