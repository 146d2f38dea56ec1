"""The tests' fault server in its own process, for benchmarks of an API client.

It prints its address. For each line on its standard input, it prints the counts since the last one.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

BACKEND_TESTS = Path(__file__).parents[1] / "fakes"
Counts = dict[str, float]


class Loopback:
    """A server that runs inside `with`; `settings` are fields of `fault_server.Server`.

    With `batches`, it also has the Batch API.
    """

    def __init__(self, batches: bool = False, **settings: Any) -> None:
        self._settings = {"batches": batches, **settings}
        self.url = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(self._settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = self._read().strip()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def counts(self) -> Counts:
        """Requests, refusals, answers, and seconds from the first request to the last answer.

        All are counted since the last call.
        """
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        found: Counts = json.loads(self._read())
        return found

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def main() -> None:
    """Serve until standard input ends."""
    sys.path.insert(0, str(BACKEND_TESTS))
    from fault_batches import BatchingServer
    from fault_server import Server, serving

    settings = json.loads(sys.argv[1])
    kind: type[Server] = BatchingServer if settings.pop("batches") else Server

    class Timed(kind):  # type: ignore[misc, valid-type]
        """Records the times of the first request and the last answer."""

        first = last = 0.0

        async def respond(self, *request: Any) -> bool:
            self.first = self.first or time.monotonic()
            try:
                return await super().respond(*request)
            finally:
                self.last = time.monotonic()

    server = Timed(keep_bodies=False, **settings)
    with serving(server):
        print(server.url, flush=True)
        for _ in sys.stdin:
            found = {
                "requests": server.requests,
                "refused": server.refused,
                "answered": server.answered.total(),
                "seconds": server.last - server.first,
                "prompt_tokens": server.prompt_tokens,
            }
            server.requests = server.refused = server.prompt_tokens = 0
            server.first = 0.0
            server.answered.clear()
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
