"""A disk cache of embeddings, shared by the user's processes, with least-recently-used eviction."""

import logging
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from platformdirs import user_cache_path

LIMIT = 2**30  # bytes of embeddings: about 35,000 answers for an encoder of BERT's size
PATIENCE = 30.0  # seconds to wait for another process that is writing
FRESH = 3600.0  # seconds during which further uses are not recorded
_AT_ONCE = 500  # keys per query
_SCHEMA = """
CREATE TABLE IF NOT EXISTS states (
    key BLOB PRIMARY KEY, used REAL NOT NULL, size INTEGER NOT NULL, value BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS by_use ON states (used, size);
"""

_logger = logging.getLogger(__name__)


def cache_file() -> Path:
    """Return the path of this user's cache."""
    return user_cache_path("aqa") / "bertscore.sqlite"


class EmbeddingCache:
    """Bytes by key, in one SQLite file of limited size.

    Processes wait for each other. If the cache can't be used, that is reported once and scoring
    continues without it: it only saves time.
    """

    def __init__(self, path: Path, limit: int = LIMIT) -> None:
        self._path, self._limit = path, limit
        self._is_usable = True

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the values of the keys that are known."""
        values: dict[bytes, bytes] = {}
        now = time.time()
        try:
            if not self._is_usable or not self._path.exists():
                return values
            with closing(self._open()) as database:
                for start in range(0, len(keys), _AT_ONCE):
                    some = keys[start : start + _AT_ONCE]
                    marks = ",".join("?" * len(some))
                    query = f"SELECT key, value FROM states WHERE key IN ({marks})"  # noqa: S608
                    values.update(database.execute(query, some))
                    with database:
                        database.execute(
                            f"UPDATE states SET used = ? WHERE used < ? AND key IN ({marks})",  # noqa: S608
                            (now, now - FRESH, *some),
                        )
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)
        return values

    def put(self, values: Mapping[bytes, bytes]) -> None:
        """Store values, evicting old ones if there are too many."""
        try:
            if not self._is_usable or not values:
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._open()) as database, database:
                database.execute("BEGIN IMMEDIATE")  # take the time after waiting for others
                now = time.time()
                database.executemany(
                    "INSERT OR REPLACE INTO states VALUES (?, ?, ?, ?)",
                    ((key, now, len(value), value) for key, value in values.items()),
                )
                self._forget(database)
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)

    def _forget(self, database: sqlite3.Connection) -> None:
        (total,) = database.execute("SELECT SUM(size) FROM states").fetchone()
        if total <= self._limit:
            return
        excess = total - self._limit * 9 // 10
        rows: list[tuple[int]] = []
        for row, size in database.execute("SELECT rowid, size FROM states ORDER BY used, size"):
            if excess <= 0:
                break
            rows.append((row,))
            excess -= size
        database.executemany("DELETE FROM states WHERE rowid = ?", rows)

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=PATIENCE)
        try:
            database.executescript(_SCHEMA)
        except sqlite3.Error:
            database.close()
            raise
        return database

    def _give_up(self, error: Exception) -> None:
        self._is_usable = False
        _logger.warning(
            "%s: this cache of embeddings can't be used (%s); scoring goes on without it",
            self._path,
            error,
        )
