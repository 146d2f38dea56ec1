"""Answers of an API kept across runs, so that the same question is not paid for twice."""

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
from aqa.config.paths import at_home
from aqa.errors import RunError
from aqa.records import Prediction, Prompt

FILE = "responses.sqlite"
LAYOUT = 1  # of the file; another one is refused
LOCKED = 10.0  # seconds to wait for another process that writes
ONE_RUNS_OWN = {"id", "error", "spent", "saved", "unread", "seconds"}  # fields that are not kept
AskSample = Callable[[Prompt, int], Awaitable[Prediction]]  # the second counts samples from 0
DEFAULTS = {field.name: field.default for field in fields(Prediction)}


def cache_path(given: str | None) -> Path:
    """The file that is meant: the one given, or that of this user."""
    return at_home(given) if given else user_cache_path("aqa") / FILE


class ResponseCache:
    """Predictions by key in an SQLite file, which any number of processes may use at a time.

    A key is a hash and a value an answer with its token counts: neither holds what was asked.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or make it; RunError where that can't be, or it is something else."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # For nobody else to read; SQLite makes the files beside it alike.
            if not path.exists():
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            elif path == cache_path(None):
                path.chmod(0o600)  # one of an earlier version of aqa
            # Opened here and used by the thread that asks.
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
                f"{path}: can't be used as the cache of answers ({error}); name another file with"
                " --set backend.cache_path=FILE, or go without --cache"
            ) from error

    def _prepare(self) -> None:
        # Readers don't wait for a writer, and a killed process leaves no harm behind.
        self._file.execute("PRAGMA journal_mode = WAL")
        self._file.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost the last answers
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
        """What was answered, as the answer to this id; None, too, where it can't be read."""
        select = "SELECT answer FROM answers WHERE key = ?"
        try:
            row = self._file.execute(select, (key,)).fetchone()
            return None if row is None else read_prediction(id, row[0])
        except (sqlite3.Error, ValueError, TypeError, RecursionError):
            return None  # damaged, or of a later version of aqa

    def keep(self, key: bytes, prediction: Prediction) -> None:
        """Keep an answer on disk; of several the first one stays, so that runs agree.

        One that can't be read makes way, or it would be asked for in every run.
        """
        row = (key, json.dumps(kept_fields(prediction), ensure_ascii=False))
        added = self._file.execute("INSERT OR IGNORE INTO answers VALUES (?, ?)", row).rowcount
        if not added and self.find(key, prediction.id) is None:
            self._file.execute("REPLACE INTO answers VALUES (?, ?)", row)


def open_cache(
    options: Gpt4Options, opened: ExitStack, only_found: bool = False
) -> ResponseCache | None:
    """The cache, closed with the stack, where one is wanted; RunError for a file of no use."""
    path = cache_path(options.cache_path)
    if not options.cache or (only_found and not path.exists()):
        return None
    cache = ResponseCache(path)
    opened.callback(cache.close)
    return cache


def kept_fields(
    prediction: Prediction, left_out: Collection[str] = ONE_RUNS_OWN
) -> dict[str, object]:
    """What is kept of an answer: all that is not as by default, and not left out."""
    return {
        name: value
        for name, value in asdict(prediction).items()
        if name not in left_out and value != DEFAULTS[name]
    }


def read_prediction(
    id: str,  # noqa: A002
    text: str,
    left_out: Collection[str] = ONE_RUNS_OWN,
) -> Prediction:
    """Read what `kept_fields` gave; ValueError for what has another shape."""
    kept = json.loads(text)
    if not isinstance(kept, dict) or kept.get("raw") is None:
        raise ValueError("it is no answer")
    if not DEFAULTS.keys() - set(left_out) >= kept.keys():
        raise ValueError("it is of a later version")
    return _predictions().validate_json(json.dumps({"id": id, **kept}), strict=True)


@lru_cache(1)
def _predictions() -> TypeAdapter[Prediction]:
    return TypeAdapter(Prediction)
