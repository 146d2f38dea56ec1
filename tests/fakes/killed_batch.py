"""The command line in a process that dies (-9) before a chosen step."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

NEVER = 10**9


def ask(words: list[str], moment: int) -> None:
    """Run `aqa` with these words until it reaches this step, counted from 0.

    Steps are what changes a batch's state: posts, writing or deleting files, and each line of the
    journal. Their names are written to `steps`; the last one is that before which the process died.
    """
    import httpx2

    from aqa.__main__ import main
    from aqa.runs.journal import Journal

    steps = Path("steps").open("w", encoding="utf-8")  # noqa: SIM115
    reached = 0

    def step(name: str) -> None:
        nonlocal reached
        print(name, file=steps, flush=True)
        if reached == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        reached += 1

    def dying(owner: type, method: str, name: Callable[..., str | None]) -> None:
        original = getattr(owner, method)

        def call(*arguments: Any, **named: Any) -> Any:
            if told := name(*arguments):
                step(told)
            return original(*arguments, **named)

        setattr(owner, method, call)

    dying(Path, "replace", lambda draft, path: f"write {path.name}" if in_batches(path) else None)
    dying(Path, "unlink", lambda path: f"remove {path.name}" if "requests" in path.name else None)
    dying(Journal, "append", lambda journal, index, row: f"journal {index}")
    dying(
        httpx2.AsyncClient, "send",
        lambda client, request: f"POST {request.url.path}" if request.method == "POST" else None,
    )  # fmt: skip
    sys.argv = ["aqa", *words]
    try:
        main()
    except SystemExit as stop:
        steps.close()
        if stop.code:
            raise


def in_batches(path: Path) -> bool:
    return path.parent.name == "batches"
