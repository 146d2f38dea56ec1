"""A disk cache of embeddings, shared by the user's processes, that forgets the oldest ones."""

import logging
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from platformdirs import user_cache_path

LIMIT = 2**30  # bytes of embeddings: about 35,000 answers for an encoder of BERT's size
PATIENCE = 30.0  # seconds to wait for another process that is writing
_AT_ONCE = 500  # keys per query
# Earlier versions of aqa kept embeddings of another form in the table `states`.
_SCHEMA = """
DROP TABLE IF EXISTS states;
CREATE TABLE IF NOT EXISTS embeddings (key BLOB PRIMARY KEY, value BLOB NOT NULL);
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
        found: dict[bytes, bytes] = {}
        try:
            if not self._is_usable or not self._path.exists():
                return found
            with closing(self._open()) as database:
                for start in range(0, len(keys), _AT_ONCE):
                    some = keys[start : start + _AT_ONCE]
                    marks = ",".join("?" * len(some))
                    query = f"SELECT key, value FROM embeddings WHERE key IN ({marks})"  # noqa: S608
                    found.update(database.execute(query, some))
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)
        return found

    def put(self, values: Mapping[bytes, bytes]) -> None:
        """Store values, evicting the oldest if there are too many."""
        try:
            if not self._is_usable or not values:
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._open()) as database, database:
                database.executemany("REPLACE INTO embeddings VALUES (?, ?)", values.items())
                self._forget(database)
        except (OSError, sqlite3.Error) as error:
            self._give_up(error)

    def _forget(self, database: sqlite3.Connection) -> None:
        sizes = "SELECT rowid, LENGTH(value) FROM embeddings ORDER BY rowid"
        rows = database.execute(sizes).fetchall()
        excess = sum(size for _, size in rows) - self._limit
        if excess <= 0:
            return
        excess += self._limit // 10
        for row, size in rows:
            if excess <= 0:
                break
            database.execute("DELETE FROM embeddings WHERE rowid = ?", (row,))
            excess -= size

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
