"""A stand-in for vLLM: its completions endpoint for token ids, and a Python that starts it.

In a test, `serving(VllmServer())` is a running server. As a program it is the Python of an
environment with vLLM: it prints vLLM's version, or serves; the environment variable FAKE_VLLM
contains a `Start` as JSON.
"""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from fault_server import Body, Server, send, serving

ANSWER = slice(1, 4)  # of the prompt's ids, which is a fake's answer
LOG_PROBABILITIES = (-0.5, -0.25, -0.125, -1.0)
Choice = tuple[list[int], list[float]]  # ids and log-probabilities, including the end token


def echo(body: Body) -> list[Choice]:
    """Some ids of the prompt and the end token; further answers are shorter and less likely."""
    found = []
    for number in range(body["n"]):
        ids = [*body["prompt"][ANSWER][number:], body["stop_token_ids"][0]]
        found.append((ids, [value - number for value in LOG_PROBABILITIES[: len(ids)]]))
    return found


def digest(asked: Path, body: Body) -> list[Choice]:
    """Three ids derived from the whole prompt, which is recorded."""
    number = zlib.crc32(json.dumps(body["prompt"]).encode())
    with asked.open("a", encoding="utf-8") as file:
        file.write(f"{number}\n")
    ids = [10 + (number >> shift) % 256 for shift in (0, 8, 16)]
    return [([*ids, body["stop_token_ids"][0]], [*LOG_PROBABILITIES])]


@dataclass
class VllmServer(Server):
    """Answers posts to /v1/completions by `write`."""

    write: Callable[[Body], list[Choice]] = echo
    models: list[Body] = field(default_factory=lambda: [{"id": "base", "root": "elsewhere"}])
    key: str = ""  # required
    up: bool = True

    async def handle(self, lines: list[str], body: bytes, writer: asyncio.StreamWriter) -> bool:
        path = lines[0].split()[1]
        if path == "/health":
            await send(writer, 200 if self.up else 503, b"", {})
        elif self.key and f"Bearer {self.key}" not in " ".join(lines):
            await send(writer, 401, b'{"error": "Unauthorized"}', {})
        elif path == "/v1/models":
            await send(writer, 200, json.dumps({"data": self.models}).encode(), {})
        else:
            return await self.respond(lines, json.loads(body), writer)
        return True

    def complete(self, body: Body, as_response: bool) -> bytes:
        choices = [
            {
                "index": number,
                "text": "",
                "token_ids": ids,
                "prompt_token_ids": body["prompt"],
                "logprobs": {"token_logprobs": values},
                "finish_reason": "stop",
            }
            for number, (ids, values) in enumerate(self.write(body))
        ]
        return json.dumps({"choices": choices}).encode()


@dataclass
class Start:
    """How a started server behaves. `folder` receives `pids`, its processes, and `argv`.

    `says` is printed before it exits by itself. `deaf` processes ignore SIGTERM; `child` starts a
    second one in a new session, as detached from the first as possible. The file `asked` gets a
    line for each prompt, when it is answered.
    """

    folder: str
    says: str = ""
    deaf: bool = False
    child: bool = False
    latency: float = 0.0
    wait: float = 0.0  # seconds until it is ready
    asked: str = ""

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @property
    def pids(self) -> list[int]:
        path = Path(self.folder, "pids")
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    @property
    def argv(self) -> list[str]:
        found: list[str] = json.loads(Path(self.folder, "argv").read_text())
        return found


def make_python(folder: Path) -> Path:
    """The Python of an environment with this vLLM."""
    path = folder / "python-of-vllm"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "$@"\n', encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def alive(pids: Sequence[int]) -> list[int]:
    """The processes that are still running; zombies don't count."""
    found = []
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            found.append(pid)
    return found


def wait_for(condition: Callable[[], Any], seconds: float = 300) -> None:
    """Wait until the condition holds, for long since the machine may be busy."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.02)


@contextmanager
def starting(work: Callable[[], None]) -> Iterator[None]:
    """Run something in parallel; its exception is raised at the end."""
    with ThreadPoolExecutor(1) as beside:
        found = beside.submit(work)
        yield
        found.result()


def main(words: list[str]) -> None:
    if words[0] == "-c":
        print(json.dumps({"name": "vllm", "version": "0.0"}))
        return
    start = Start(**json.loads(os.environ["FAKE_VLLM"]))
    folder = Path(start.folder)
    (folder / "argv").write_text(json.dumps(words))
    if start.deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pids = [os.getpid()]
    if start.child:
        hold = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        pids.append(subprocess.Popen([sys.executable, "-c", hold], start_new_session=True).pid)
    draft = folder / "pids.draft"
    draft.write_text("\n".join(map(str, pids)))
    draft.replace(folder / "pids")
    time.sleep(start.wait)
    if start.says:
        sys.exit(start.says)
    options = dict(pairwise(words))
    names = [options["--served-model-name"]]
    if "--lora-modules" in options:
        names.append(options["--lora-modules"].partition("=")[0])
    server = VllmServer(
        write=partial(digest, Path(start.asked)) if start.asked else echo,
        models=[{"id": name, "root": name} for name in names],
        key=os.environ["VLLM_API_KEY"],
        latency=start.latency,
    )
    with serving(server, int(options["--port"])):
        while True:
            time.sleep(600)


if __name__ == "__main__":
    main(sys.argv[1:])
