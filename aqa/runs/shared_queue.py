"""Distribute a run's questions over several processes, which take windows of them in turn.

  segments/queue.json   the launch that works on it, and what it answers
  segments/done         a byte per example: whether it needs no more work
  segments/claims       who took or finished which window, one line each

Everything is in files, so machines need to share only the run folder. Windows of a process
that died are taken by others.
"""

import contextlib
import json
import time
from collections.abc import Iterable, Iterator
from errno import ENOSYS
from pathlib import Path
from typing import Any

from filelock import FileLock

from aqa.errors import RunError
from aqa.runs.files import atomic, explain_write_errors, write_json
from aqa.runs.folder import hold
from aqa.runs.journal import whole_lines
from aqa.runs.names import JOURNAL, QUEUE_LOCK, SEGMENTS
from aqa.runs.segments import POLL_SECONDS, Segment, SegmentFollower, is_alive, segments_of

QUEUE, DONE, CLAIMS = "queue.json", "done", "claims"
LEAVE_SECONDS = 30.0  # for the others to exit once all is answered

Json = dict[str, Any]


def open_queue(folder: Path, queue: Json, done: Iterable[bool]) -> None:
    """Let the processes of a launch begin; `queue` holds what `Share` and they need to know.

    Raises:
        RunError: the folder can't be written, or its file system has no locks.
    """
    _check_locks(folder)
    with explain_write_errors(folder):
        (folder / SEGMENTS).mkdir(exist_ok=True)
    with atomic(folder / SEGMENTS / DONE) as file:
        file.write(bytes(done))
    write_json(folder / SEGMENTS / QUEUE, queue)


def read_queue(folder: Path) -> Json:
    """Return what `open_queue` wrote; empty if there is no queue, or no longer."""
    try:
        queue = json.loads((folder / SEGMENTS / QUEUE).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return queue if isinstance(queue, dict) else {}


def take_part(folder: Path, name: str, launch: str) -> "Share | None":
    """Join this launch's queue under a name; None if there is no such queue (any more)."""
    if read_queue(folder).get("launch") != launch:
        return None
    with _locked(folder):
        queue = read_queue(folder)
        return Share(folder, name, queue) if queue.get("launch") == launch else None


class Share:
    """One process's share of a queue: the windows it takes, and its segment."""

    def __init__(self, folder: Path, name: str, queue: Json) -> None:
        self.folder = folder
        self._name, self._launch = name, queue["launch"]
        self._size: int = queue["window"]
        self._claims = folder / SEGMENTS / CLAIMS
        self._read = 0  # bytes of the claims file
        self._next = 0  # the first window that may be free
        self._owners: dict[int, list[str]] = {}  # of unfinished windows
        self._left: dict[int, int] = {}  # unanswered examples per window taken here
        self.fingerprint = queue["fingerprint"]
        with explain_write_errors(folder):
            self._done = bytearray((folder / SEGMENTS / DONE).read_bytes())
            self._lock = hold(folder / SEGMENTS / name)
            self.journal = Segment(folder / SEGMENTS / name, self.fingerprint, self._count)

    def __enter__(self) -> "Share":
        return self

    def __exit__(self, *exc: object) -> None:
        self.journal.__exit__(*exc)
        self._lock.release()

    def needs(self, index: int) -> bool:
        """Whether an example has no answer yet, as far as this process knows."""
        return not self._done[index]

    def take(self) -> range | None:
        """Take one more window and return its range of examples; None if none is free now."""
        with _locked(self.folder):
            window = self._free() if self._is_open() else None
            if window is None:
                return None
            for owner in self._owners.get(window, ()):
                self._absorb(owner)
            self._write("take", window)
        examples = self._examples(window)
        self._left[window] = sum(map(self.needs, examples))
        self._finish(window)
        return examples

    def rounds(self) -> Iterator[bool]:
        """Yield whether a window is free now, polling until all is answered."""
        while True:
            with _locked(self.folder):
                if not self._is_open():
                    return
                is_free = self._free() is not None
                if not is_free and not self._owners:
                    return
            yield is_free
            if not is_free:
                time.sleep(POLL_SECONDS)

    def close(self) -> None:
        """End the queue and wait until the other processes have left."""
        with _locked(self.folder):
            (self.folder / SEGMENTS / QUEUE).unlink(missing_ok=True)
        end = time.monotonic() + LEAVE_SECONDS
        others = [segment for segment in segments_of(self.folder) if segment.name != self._name]
        while any(map(is_alive, others)) and time.monotonic() < end:
            time.sleep(POLL_SECONDS)

    def others(self) -> "SegmentFollower":
        """Follow the other processes' answers."""
        return SegmentFollower(self.folder, self._name)

    def _is_open(self) -> bool:
        return bool(read_queue(self.folder).get("launch") == self._launch)

    def _examples(self, window: int) -> range:
        return range(window * self._size, min((window + 1) * self._size, len(self._done)))

    def _free(self) -> int | None:
        """Return a window that nobody has taken, or else one of a process that died."""
        self._read_claims()
        while examples := self._examples(self._next):
            if self._done.find(0, examples.start, examples.stop) >= 0:
                return self._next
            self._next += 1
        dead: dict[str, bool] = {self._name: False}
        for window, owners in self._owners.items():
            owner = owners[-1]
            if owner not in dead:
                dead[owner] = not is_alive(self.folder / SEGMENTS / owner)
            if dead[owner] or (owner == self._name and window not in self._left):
                return window  # its own are those of an earlier process of this name
        return None

    def _absorb(self, owner: str) -> None:
        """Mark what a process answered before it died as done."""
        for line in whole_lines(self.folder / SEGMENTS / owner / JOURNAL):
            self._done[line.row["index"]] = 1

    def _count(self, index: int) -> None:
        window = index // self._size
        self._done[index] = 1
        self._left[window] -= 1
        self._finish(window)

    def _finish(self, window: int) -> None:
        if self._left[window] == 0:
            del self._left[window]
            with _locked(self.folder):
                if self._is_open():
                    self._write("done", window)

    def _write(self, what: str, window: int) -> None:
        """Append to the claims, first reading the others' and cutting off a half-written line."""
        self._read_claims()
        with explain_write_errors(self.folder), self._claims.open("ab") as file:
            file.truncate(self._read)
            file.write(f"{what} {window} {self._name}\n".encode())
        self._read_claims()

    def _read_claims(self) -> None:
        with contextlib.suppress(FileNotFoundError), self._claims.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._read += len(line)
                what, number, owner = line.decode().split()
                window = int(number)
                if what == "take":
                    self._owners.setdefault(window, []).append(owner)
                    self._next = max(self._next, window + 1)
                else:
                    self._owners.pop(window, None)


def _locked(folder: Path) -> FileLock:
    return FileLock(folder / QUEUE_LOCK, poll_interval=0.02, fallback_to_soft=False)


def _check_locks(folder: Path) -> None:
    """Check that the folder's file system supports locks.

    A plain lock file would outlive its process, and process ids are not unique across machines.
    """
    try:
        _locked(folder).acquire().lock.release()
    except OSError as error:
        if error.errno == ENOSYS:
            raise RunError(
                f"{folder} is on a file system without locks (flock), which processes need to share"
                " work; mount it with locks (Lustre: -o flock), name another folder, or use one"
                " process"
            ) from error
        raise
