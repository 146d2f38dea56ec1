"""The run folder: its lock, manifest, journal of predictions and atomically written files."""

import contextlib
import json
import os
import platform
import re
import shlex
import subprocess
import time
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from aqa import __version__
from aqa.errors import RunError

MANIFEST = "run.json"
JOURNAL = "predictions.jsonl"
PREDICTIONS = "predictions.json"
METRICS = "metrics.json"
LOCK = ".lock"
KIND = "aqa-journal"
PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "datasets", "accelerate", "openai")
SECRET = re.compile(r"\b(sk|hf)[-_][A-Za-z0-9_-]{8,}")

Json = dict[str, Any]


@contextmanager
def open_run(folder: Path, verb: str) -> Iterator["Run"]:
    """Make the folder if need be and hold it for this process alone; `verb` will work in it.

    The operating system frees the lock when a process dies, however it dies.

    Raises:
        RunError: the folder can't be written, another process holds it, or another verb's run
            is in it.
    """
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise RunError(
                f"{folder}: another process is using this run folder; wait for it, or name"
                " another --output-dir"
            ) from error
    try:
        run = Run(folder)
        other = run.previous.get("verb", verb)
        if other != verb:
            raise RunError(f"{folder} holds a run of `aqa {other}`; name another --output-dir")
        yield run
    finally:
        lock.release()


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn the system's refusal to write into one sentence."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{folder}: can't write there ({error.strerror}); free some space, mend the"
            " permissions, or name another place. What was written before is kept."
        ) from error


def write_json(path: Path, value: object) -> None:
    """Write JSON so that the file is either the old one or the whole new one."""
    with atomic(path) as file:
        text = json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False)
        file.write(text.encode() + b"\n")


@contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes its name only when it is complete and on the disk."""
    draft = path.with_name(f".{path.name}.draft")
    with explained(path.parent):
        try:
            with draft.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


def read_manifest(folder: Path) -> Json:
    """The manifest of a run folder; empty where there is none.

    Raises:
        RunError: run.json is not JSON.
    """
    path = folder / MANIFEST
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError as error:
        raise RunError(f"{path}: not JSON; restore it, or name another folder") from error
    raise RunError(f"{path}: not a manifest of aqa; name another folder")


def inherited_config(folder: Path) -> Json:
    """The parts of a run's config that its adapter was trained with, for going on with it.

    Data, output folder and training options are the business of the new run.
    """
    manifest = read_manifest(folder) or read_manifest(folder.parent)
    config: Json = manifest.get("config", {}) if manifest.get("verb") == "train" else {}
    kept = ("backend", "prompt", "evidence", "generation", "evaluation", "seed")
    return {key: config[key] for key in kept if key in config}


class Run:
    """An open run folder. Make one with `open_run`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest: Json = {}
        self.previous = read_manifest(folder)
        self._started = time.time()

    def start(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest of work that begins now."""
        self.manifest = {
            "version": 1,
            "status": "running",
            "aqa": __version__,
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(self._started)),
            "git_revision": _git_revision(),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "packages": _package_versions(),
            **manifest,
        }
        self.update({})

    def update(self, fields: Mapping[str, Any]) -> None:
        """Add to the manifest, on disk too."""
        self.manifest.update(fields)
        self.manifest["wall_seconds"] = round(time.time() - self._started, 3)
        write_json(self.folder / MANIFEST, self.manifest)

    def open_journal(self, fingerprint: Mapping[str, Any], fresh: bool) -> "Journal":
        """Open the journal for going on; `fresh` forgets the answers that are there.

        Raises:
            RunError: the folder holds a run with another fingerprint.
        """
        return Journal(self.folder, fingerprint, fresh)


class Journal:
    """Append-only JSONL of finished examples; its first line holds the run's fingerprint.

    Each line is flushed as it is written. For every example, by its index in the data, the
    position of its last line is kept in memory (8 bytes an example), not the line.
    """

    def __init__(self, folder: Path, fingerprint: Mapping[str, Any], fresh: bool) -> None:
        self.folder = folder
        self.path = folder / JOURNAL
        self.dropped_lines = 0
        self._places: array[int] = array("Q")  # 0: no answer yet (the header stands there)
        self._failed: set[int] = set()
        header = {"kind": KIND, "version": 1, "fingerprint": dict(fingerprint)}
        with explained(folder):
            if fresh:
                self.path.unlink(missing_ok=True)
                (folder / PREDICTIONS).unlink(missing_ok=True)
            if not self._resume(header):
                with atomic(self.path) as file:
                    file.write(_line(header))
            self._file = self.path.open("ab")

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *exc: object) -> None:
        with contextlib.suppress(OSError):  # a full disk was told of when it was met
            self._file.close()

    def is_done(self, index: int, retry_errors: bool = False) -> bool:
        """Whether this example needs no more work."""
        answered = index < len(self._places) and self._places[index] > 0
        return answered and not (retry_errors and index in self._failed)

    def append(self, index: int, row: Mapping[str, Any]) -> None:
        """Put one finished example on disk before anything else happens."""
        with explained(self.folder):
            place = self._file.tell()
            self._file.write(_line({"index": index, **row}))
            self._file.flush()
        self._remember(index, place, failed=row.get("error") is not None)

    def counts(self, total: int) -> tuple[int, int]:
        """How many of the first `total` examples were answered, and how many failed."""
        done = sum(1 for index in range(min(total, len(self._places))) if self._places[index])
        failed = sum(1 for index in self._failed if index < total)
        return done - failed, failed

    def rows(self, total: int) -> Iterator[Json]:
        """Give the last line of each of the first `total` examples, in the data's order."""
        with self.path.open("rb") as file:
            for index in range(min(total, len(self._places))):
                if self._places[index]:
                    file.seek(self._places[index])
                    yield json.loads(file.readline())

    def write_predictions(self, total: int) -> Path:
        """Write predictions.json, {id: row}, in the data's order and without timing."""
        path = self.folder / PREDICTIONS
        with atomic(path) as file:
            opening = b"{"
            for row in self.rows(total):
                key = json.dumps(row.pop("id"), ensure_ascii=False)
                del row["index"]
                file.write(opening + f"\n {key}: ".encode() + _line(row).rstrip(b"\n"))
                opening = b","
            file.write(b"\n}\n" if opening == b"," else b"{}\n")
        return path

    def _resume(self, header: Json) -> bool:
        """Take over an existing journal; False where there is none."""
        if not self.path.exists():
            return False
        place = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file):
                row = _parse(line, ("index", int) if number else ("kind", str))
                if row is None:
                    break
                if number == 0:
                    self._check_header(row, header)
                else:
                    self._remember(row["index"], place, failed=row.get("error") is not None)
                place += len(line)
            else:
                return place > 0
            rest = 1 + sum(1 for _ in file)
        if place == 0:
            raise RunError(f"{self.path}: not a journal of aqa; name another --output-dir")
        if rest > 1:
            raise RunError(
                f"{self.path}: not JSON at byte {place}, with {rest - 1} lines after it, so it was"
                " changed by something else; restore it, or begin anew with --fresh"
            )
        self.dropped_lines = 1
        os.truncate(self.path, place)
        return True

    def _check_header(self, found: Json, header: Json) -> None:
        theirs = found.get("fingerprint")
        if found.get("kind") != KIND or not isinstance(theirs, dict):
            raise RunError(f"{self.path}: not a journal of aqa; name another --output-dir")
        ours = json.loads(json.dumps(header["fingerprint"]))
        different = [key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]
        if different:
            told = "; ".join(
                f"{key} was {_short(theirs.get(key))} and is now {_short(ours.get(key))}"
                for key in different[:3]
            )
            raise RunError(
                f"{self.folder} holds another run: {told}. Name another --output-dir, or begin"
                " anew with --fresh"
            )

    def _remember(self, index: int, place: int, failed: bool) -> None:
        if index >= len(self._places):
            self._places.extend([0] * (index + 1 - len(self._places)))
        self._places[index] = place
        if failed:
            self._failed.add(index)
        else:
            self._failed.discard(index)


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _parse(line: bytes, needed: tuple[str, type]) -> Json | None:
    """A whole line of the journal, or None where it is not one or lacks the key it needs."""
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
    except ValueError:
        return None
    key, kind = needed
    return row if isinstance(row, dict) and isinstance(row.get(key), kind) else None


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _package_versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def _git_revision() -> str | None:
    """The revision of the folder one works in; None outside a checkout."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607
            capture_output=True, text=True, timeout=5, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def command_line(arguments: list[str]) -> str:
    """The command as it can be typed again, anything that looks like a key left out."""
    return SECRET.sub("***", shlex.join(["aqa", *arguments[1:]]))
