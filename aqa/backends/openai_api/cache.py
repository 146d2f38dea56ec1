"""Cache an API's answers across runs, so that no question is paid for twice."""

import json
import os
import sqlite3
from collections.abc import Awaitable, Callable, Collection
from contextlib import ExitStack
from dataclasses import asdict, fields
from functools import lru_cache
from pathlib import Path

from platformdirs import user_cache_path
from pydantic import TypeAdapter

from aqa.config.backend_options import Gpt4Options
from aqa.config.paths import expand_home
from aqa.errors import RunError
from aqa.records import Prediction, Prompt

FILE = "responses.sqlite"
LAYOUT = 1  # version of the file; others are refused
LOCKED = 10.0  # seconds to wait for another process that writes
UNCACHED_FIELDS = {"id", "error", "spent", "saved", "unread", "seconds"}
AskSample = Callable[[Prompt, int], Awaitable[Prediction]]  # the sample's number, from 0
DEFAULTS = {field.name: field.default for field in fields(Prediction)}


def cache_path(path: str | None) -> Path:
    """Return the `path`, or that of this user's cache."""
    return expand_home(path) if path else user_cache_path("aqa") / FILE


class ResponseCache:
    """Predictions by key in an SQLite file, shared by any number of processes.

    Keys are hashes and values are answers with their token counts: neither contains the question.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file; RunError if that fails or it is something else."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Readable by this user only; SQLite creates the files beside it likewise.
            if not path.exists():
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            elif path == cache_path(None):
                path.chmod(0o600)  # made by an earlier version of aqa
            # Opened here, used by the thread that sends requests.
            self._file = sqlite3.connect(
                path, timeout=LOCKED, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except BaseException:
                self._file.close()
                raise
        except (OSError, sqlite3.Error) as error:
            raise RunError(
                f"{path}: can't be used as a cache of answers ({error}); name another file with"
                " --set backend.cache_path=FILE, or leave out --cache"
            ) from error

    def _prepare(self) -> None:
        # Readers do not wait for a writer, and killed processes do no harm.
        self._file.execute("PRAGMA journal_mode = WAL")
        self._file.execute("PRAGMA synchronous = NORMAL")  # a power cut may lose the last answers
        self._file.execute("BEGIN IMMEDIATE")
        (layout,) = self._file.execute("PRAGMA user_version").fetchone()
        tables = [name for (name,) in self._file.execute("SELECT name FROM sqlite_master")]
        if not layout and not tables:
            self._file.execute(
                "CREATE TABLE answers (key BLOB PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID"
            )
            self._file.execute(f"PRAGMA user_version = {LAYOUT}")
        elif layout != LAYOUT or tables != ["answers"]:
            raise sqlite3.DatabaseError("it holds something else")
        self._file.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def find(self, key: bytes, id: str) -> Prediction | None:  # noqa: A002
        """Return the cached answer with this id; None if there is none or it is unreadable."""
        select = "SELECT answer FROM answers WHERE key = ?"
        try:
            row = self._file.execute(select, (key,)).fetchone()
            return None if row is None else read_prediction(id, row[0])
        except (sqlite3.Error, ValueError, TypeError, RecursionError):
            return None  # damaged, or from a later version of aqa

    def keep(self, key: bytes, prediction: Prediction) -> None:
        """Store an answer; the first one for a key stays, so that runs agree.

        An unreadable one is replaced, or it would be asked for in every run.
        """
        row = (key, json.dumps(kept_fields(prediction), ensure_ascii=False))
        added = self._file.execute("INSERT OR IGNORE INTO answers VALUES (?, ?)", row).rowcount
        if not added and self.find(key, prediction.id) is None:
            self._file.execute("REPLACE INTO answers VALUES (?, ?)", row)


def open_cache(
    options: Gpt4Options, opened: ExitStack, only_found: bool = False
) -> ResponseCache | None:
    """Open the cache until the stack closes, if one is wanted; RunError if it is unusable."""
    path = cache_path(options.cache_path)
    if not options.cache or (only_found and not path.exists()):
        return None
    cache = ResponseCache(path)
    opened.callback(cache.close)
    return cache


def kept_fields(
    prediction: Prediction, left_out: Collection[str] = UNCACHED_FIELDS
) -> dict[str, object]:
    """Return the fields of an answer to store: those that differ from their defaults."""
    return {
        name: value
        for name, value in asdict(prediction).items()
        if name not in left_out and value != DEFAULTS[name]
    }


def read_prediction(
    id: str,  # noqa: A002
    text: str,
    left_out: Collection[str] = UNCACHED_FIELDS,
) -> Prediction:
    """Parse what `kept_fields` returned; ValueError if it has another shape."""
    stored = json.loads(text)
    if not isinstance(stored, dict) or stored.get("raw") is None:
        raise ValueError("it is no answer")
    if not DEFAULTS.keys() - set(left_out) >= stored.keys():
        raise ValueError("it is of a later version")
    return _predictions().validate_json(json.dumps({"id": id, **stored}), strict=True)


@lru_cache(1)
def _predictions() -> TypeAdapter[Prediction]:
    return TypeAdapter(Prediction)
