"""Journals of several processes that share a run, one segment each, until they are merged.

A segment is a folder in `segments`, named by its process's number, with a journal and a lock.
The process holds the lock while it is alive; the system releases it when the process dies.
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from aqa.errors import FolderInUseError, RunError
from aqa.runs.files import discard, explain_write_errors
from aqa.runs.fingerprints import another_run, differences
from aqa.runs.folder import hold
from aqa.runs.journal import Journal, read_header, whole_lines
from aqa.runs.journal_lines import Lines
from aqa.runs.names import JOURNAL, QUEUE_LOCK, SEGMENTS

POLL_SECONDS = 0.3  # between two looks at the other processes
GONE_SECONDS = 60.0  # for a launch's processes to exit once all is answered

Json = dict[str, Any]


def is_alive(segment: Path) -> bool:
    """Whether the process that writes this segment is alive."""
    try:
        hold(segment).release()
    except FolderInUseError:
        return True
    return False


def segments_of(folder: Path) -> list[Path]:
    """Return the segments in a run folder."""
    return sorted(path.parent for path in (folder / SEGMENTS).glob(f"*/{JOURNAL}"))


def take_over_segments(
    folder: Path, fingerprint: Mapping[str, Any], unwanted: Iterable[str] = ()
) -> bool:
    """Whether an earlier launch left segments to merge; `unwanted` files are removed, or none is.

    Raises:
        FolderInUseError: their processes are still alive.
        RunError: they belong to another run.
    """
    end = time.monotonic() + GONE_SECONDS
    while any(map(is_alive, segments_of(folder))):
        if time.monotonic() > end:
            raise FolderInUseError(folder)
        time.sleep(POLL_SECONDS)
    discard(*(folder / name for name in unwanted))
    for segment in segments_of(folder):
        header = read_header(segment / JOURNAL)
        if header and (different := differences(header["fingerprint"], fingerprint)):
            raise RunError(another_run(folder, different))
    return bool(segments_of(folder))


def remove_segments(folder: Path) -> None:
    """Remove segments that were merged."""
    with explain_write_errors(folder), contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder / SEGMENTS)
        (folder / QUEUE_LOCK).unlink(missing_ok=True)


def join_segments(journal: Journal, window: int, since: int = 0) -> None:
    """Merge the segments into the journal, in the order in which one process would answer.

    Failures in the journal before `since` are replaced. Within a window, lines keep the order in
    which they were written. The segments are then removed.
    """
    lines = Lines()

    def wants(row: Json) -> bool:
        index, failed = row["index"], row.get("error") is not None
        return journal.wants(index, failed, since) and not (failed and index in lines)

    for segment in segments_of(journal.folder):
        lines.take(segment / JOURNAL, wants)
    with lines.reading() as read:
        for _, indices in groupby(lines, key=lambda index: index // window):
            for index in sorted(indices, key=lines.position):
                journal.append(index, read(index))
    remove_segments(journal.folder)


class Segment(Journal):
    """The journal of one of several processes, which reports each of its lines.

    It continues what a process of the same name left there: it may join again after its leader
    died, before the next one has merged the answers.
    """

    def __init__(
        self, folder: Path, fingerprint: Mapping[str, Any], report: Callable[[int], object]
    ) -> None:
        super().__init__(folder, fingerprint, fresh=False)
        self._report = report

    def append(self, index: int, row: Mapping[str, Any]) -> None:
        """Write one finished example to disk and report it."""
        super().append(index, row)
        self._report(index)


class SegmentFollower:
    """Reads the segments of other processes while they are being written."""

    def __init__(self, folder: Path, but: str) -> None:
        self._folder, self._but = folder, but
        self._offsets: dict[Path, int] = {}
        self._looked = 0.0

    def rows(self, seconds: float = 1.0) -> Iterator[Json]:
        """Yield rows added since the last look, unless that was less than `seconds` ago."""
        if time.monotonic() - self._looked < seconds:
            return
        for segment in segments_of(self._folder):
            if segment.name == self._but:
                continue
            path = segment / JOURNAL
            for line in whole_lines(path, self._offsets.get(path, 0)):
                self._offsets[path] = line.end
                yield line.row
        self._looked = time.monotonic()
