"""The journal of predictions: one line per finished example, on disk before anything else."""

import contextlib
import json
import os
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from aqa.errors import RunError
from aqa.records import AnswerPart, Prediction, Prompt
from aqa.runs.files import atomic, discard, explain_read_errors, explain_write_errors, is_gone
from aqa.runs.fingerprints import TOKEN_LIMITS, another_run, differences, flat
from aqa.runs.journal_rows import cleaned_again, withheld
from aqa.runs.names import JOURNAL, PREDICTIONS
from aqa.spent import Spent

JOURNAL_KIND = "aqa-journal"

Json = dict[str, Any]


class Line(NamedTuple):
    """A journal line: its start and end in bytes, and its content."""

    start: int
    end: int
    row: Json


class Journal:
    """Append-only JSONL of finished examples; its first line holds the run's fingerprint.

    Each line is flushed when written. Memory holds only the position of each example's last
    line, by its index in the data (8 bytes per example).
    """

    def __init__(
        self,
        folder: Path,
        fingerprint: Mapping[str, Any],
        fresh: bool,
        awaits: bool = False,
        may_change: Collection[str] = (),
    ) -> None:
        """Continue the folder's journal; one without answers may be replaced by this run's.

        `awaits`: answers to its run are still pending elsewhere. Those parts of the fingerprint in
        `may_change` that did change are noted in each new line as `asked_with`.

        Raises:
            RunError: it belongs to another run or is damaged.
        """
        self.folder = folder
        self.path = folder / JOURNAL
        self.dropped_lines = 0
        self.spent = Spent()  # over all lines, including replaced ones
        self.saved = Spent()  # by cached answers ...
        self.hits = 0  # ... and how many there are
        self.withheld = 0  # of the answers written to predictions.json
        self._offsets: array[int] = array("Q")  # 0, where the header is, means no answer yet
        self._failed: set[int] = set()
        self._may_change = may_change
        self._asked_with: Json = {}
        self.fingerprint: Json = dict(fingerprint)  # the first session's
        header = {"kind": JOURNAL_KIND, "version": 1, "fingerprint": dict(fingerprint)}
        with explain_write_errors(folder):
            if fresh:
                discard(self.path, folder / PREDICTIONS)
            if not self._resume(header, awaits):
                with atomic(self.path) as file:
                    file.write(_line(header))
            self._file = self.path.open("ab")
            self._end = self._file.tell()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(OSError):  # a full disk has already been reported
            self._file.close()

    def size(self) -> int:
        """Return the size in bytes; later lines start at or after it."""
        return self._file.tell()

    def is_done(self, index: int, since: int = 0) -> bool:
        """Whether this example needs no more work; failures before position `since` do."""
        offset = self._offsets[index] if index < len(self._offsets) else 0
        return offset > 0 and not (offset < since and index in self._failed)

    def wants(self, index: int, failed: bool, since: int = 0) -> bool:
        """Whether another journal's line would be new here, or replace a failure by an answer."""
        return not self.is_done(index, since) or (index in self._failed and not failed)

    def append(self, index: int, row: Mapping[str, Any]) -> None:
        """Write one finished example to disk before anything else happens."""
        with explain_write_errors(self.folder):
            if is_gone(self._file, self.path):
                raise RunError(
                    f"{self.path} was removed while the run wrote to it, so its answers are lost;"
                    " run the same command again"
                )
            changed = {"asked_with": self._asked_with} if self._asked_with else {}
            offset, line = self._end, _line({"index": index, **row, **changed})
            self._file.write(line)
            self._file.flush()
            self._end += len(line)
        self._remember(index, offset, row)

    def record(
        self,
        answers: Iterable[tuple[Prompt, Prediction]],
        line: Callable[[Prompt, Prediction], Json],
    ) -> Iterator[tuple[Prompt, Json]]:
        """Write each answer to disk before taking the next; yield its prompt and line."""
        for prompt, prediction in answers:
            row = line(prompt, prediction)
            self.append(prompt.index, row)
            yield prompt, row

    def counts(self, total: int) -> tuple[int, int]:
        """Return how many of the first `total` examples were answered and how many failed."""
        done = sum(1 for index in range(min(total, len(self._offsets))) if self._offsets[index])
        failed = sum(1 for index in self._failed if index < total)
        return done - failed, failed

    def rows(self, total: int) -> Iterator[Json]:
        """Yield the last line of each of the first `total` examples, in the data's order."""
        return self.rows_at(range(min(total, len(self._offsets))))

    def rows_at(self, indices: Iterable[int]) -> Iterator[Json]:
        """Yield the last line of each of these examples that has one."""
        with self.path.open("rb") as file:
            for index in indices:
                if index < len(self._offsets) and self._offsets[index]:
                    file.seek(self._offsets[index])
                    yield json.loads(file.readline())

    def write_predictions(
        self, total: int, part: AnswerPart | None = None, threshold: float | None = None
    ) -> Path:
        """Write predictions.json, {id: row}, in the data's order and without timing.

        `part` says how much of the raw texts makes the answers; None leaves them unchanged.
        Answers with a confidence below `threshold` are withheld.
        """
        path, self.withheld = self.folder / PREDICTIONS, 0
        with atomic(path) as file:
            opening = b"{"
            for row in self.rows(total):
                key = json.dumps(row.pop("id"), ensure_ascii=False)
                del row["index"]
                row.pop("seconds", None)  # otherwise no two runs would write the same file
                if part and (text := cleaned_again(row, part)) is not None:
                    row["predicted_answer"] = text
                if threshold is not None:
                    row = withheld(row, threshold)
                    self.withheld += "withheld" in row
                file.write(opening + f"\n {key}: ".encode() + _line(row).rstrip(b"\n"))
                opening = b","
            file.write(b"\n}\n" if opening == b"," else b"{}\n")
        return path

    def _resume(self, header: Json, awaits: bool) -> bool:
        """Take over an existing journal; False if there is none or it has no answers."""
        if not is_journal(self.path):
            return False
        end, size = 0, self.path.stat().st_size
        for line in _lines(self.path):
            end = line.end
            if line.start:
                self._remember(line.row["index"], line.start, line.row)
            elif different := self._compare(line.row, header["fingerprint"]):
                if not awaits and end == size:
                    return False  # nothing was answered, e.g. because of a wrong server
                raise RunError(another_run(self.folder, different))
        if end == size:
            return True
        with self.path.open("rb") as file:
            file.seek(end)
            rest = sum(1 for _ in file)
        if rest > 1:
            raise RunError(
                f"{self.path}: not JSON at byte {end}, with {rest - 1} lines after it, so another"
                " program has changed it; restore it, or start over with --fresh"
            )
        self.dropped_lines = 1
        os.truncate(self.path, end)
        return True

    def _compare(self, header: Json, ours: Json) -> dict[str, str]:
        """Describe how our fingerprint differs from the journal's."""
        different = differences(header["fingerprint"], ours)
        for name in self._may_change:
            if different.pop(name, None):
                self._asked_with[name.rpartition(".")[2]] = flat(ours).get(name)
        if not different:
            self.fingerprint = header["fingerprint"]
        return different

    def _remember(self, index: int, offset: int, row: Mapping[str, Any]) -> None:
        """Index a line and add up its cost."""
        self.spent += _spent(row.get("spent"))
        if saved := row.get("saved"):
            self.saved += _spent(saved)
            self.hits += 1
        if index >= len(self._offsets):
            self._offsets.extend([0] * (index + 1 - len(self._offsets)))
        self._offsets[index] = offset
        if row.get("error") is None:
            self._failed.discard(index)
        else:
            self._failed.add(index)


def _lines(path: Path, start: int = 0) -> Iterator[Line]:
    """Yield a journal's lines from byte `start` up to a broken one; the header is at 0."""
    with contextlib.suppress(FileNotFoundError), explain_read_errors(path), path.open("rb") as file:
        file.seek(start)
        for line in file:
            row = _parse(line, "index" if start else "kind", int if start else str)
            if row is None:
                return
            yield Line(start, start + len(line), row)
            start += len(line)


def read_header(path: Path) -> Json:
    """Return a journal's first line, empty if there is none; RunError if it is unreadable."""
    return next((line.row for line in _lines(path)), {})


def is_journal(path: Path) -> bool:
    """Whether there is a journal; RunError if the file is another program's."""
    if not path.exists() or not path.stat().st_size:
        return False
    header = read_header(path)
    if header.get("kind") != JOURNAL_KIND or not isinstance(header.get("fingerprint"), dict):
        raise RunError(f"{path}: not a journal of aqa; name another --output-dir")
    return True


def whole_lines(path: Path, start: int = 0) -> Iterator[Line]:
    """Yield the examples' lines from byte `start` up to a broken one, without the header."""
    return (line for line in _lines(path, start) if line.start)


def read_lines(path: Path) -> Iterator[Json]:
    """Yield the rows of a journal's examples, without its header."""
    return (line.row for line in whole_lines(path))


def done_before(folder: Path, fingerprint: Mapping[str, Any], retry_errors: bool) -> set[int]:
    """Return the indices of the examples that a resumed run would not answer again."""
    done: set[int] = set()
    if different_run(folder, fingerprint, retry_errors):
        return done
    for row in read_lines(folder / JOURNAL):
        if retry_errors and row.get("error") is not None:
            done.discard(row["index"])
        else:
            done.add(row["index"])
    return done


def different_run(
    folder: Path, fingerprint: Mapping[str, Any], retry_errors: bool
) -> dict[str, str]:
    """Describe how the run in a folder, if any, differs from the one to resume."""
    with explain_write_errors(folder):
        theirs = read_header(folder / JOURNAL).get("fingerprint")
    if not isinstance(theirs, dict):
        return {}
    texts = differences(theirs, fingerprint)
    return {key: text for key, text in texts.items() if not (retry_errors and key in TOKEN_LIMITS)}


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _parse(line: bytes, key: str, kind: type) -> Json | None:
    """Parse a complete journal line; None if it is incomplete or lacks the key."""
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get(key), kind) else None


def _spent(fields: Mapping[str, Any] | None) -> Spent:
    return Spent(**fields) if fields else Spent()
