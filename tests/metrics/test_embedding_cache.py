"""The disk cache of embeddings: bounded, shared by processes, and never an obstacle."""

import logging
import multiprocessing
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from aqa.metrics.embedding_cache import EmbeddingCache

PROCESSES = 4
ROUNDS = 25


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_what_was_put_is_got(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "new" / "cache")
    values = {key(number): bytes([number % 256]) * 100 for number in range(1200)}
    assert cache.get(list(values)) == {}
    assert not (tmp_path / "new").exists(), "reading makes nothing"
    cache.put(values)
    assert EmbeddingCache(tmp_path / "new" / "cache").get([*values, b"unknown"]) == values
    cache.put({key(3): b"new"})
    assert cache.get([key(3)]) == {key(3): b"new"}


def test_the_least_recently_used_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("aqa.metrics.embedding_cache.time.time", lambda: now)
    cache = EmbeddingCache(tmp_path / "cache", limit=10_000)
    for number in range(10):
        now += 10_000
        cache.put({key(number): b"x" * 1000})
    now += 10_000
    cache.get([key(0), key(2)])
    now += 10_000
    cache.put({key(10): b"x" * 1000})
    kept = cache.get([key(number) for number in range(11)])
    assert set(kept) == {key(number) for number in (0, 2, 4, 5, 6, 7, 8, 9, 10)}


def test_its_size_is_bounded(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path / "cache", limit=200_000)
    for number in range(100):
        cache.put({key(number * 10 + part): bytes(1000) for part in range(10)})
    assert (tmp_path / "cache").stat().st_size < 400_000
    assert len(cache.get([key(number) for number in range(1000)])) > 150


def write_and_read(path: Path, process: int) -> None:
    cache = EmbeddingCache(path, limit=50_000)
    forgotten = 0
    for number in range(ROUNDS):
        own = key(1000 * (process + 1) + number)
        cache.put({own: own * 20, key(number): b"shared"})
        found = cache.get([own])
        # While this process waited, the others may have made it one of the oldest.
        assert found in ({own: own * 20}, {})
        forgotten += not found
    assert cache._is_usable
    assert forgotten <= ROUNDS / 5


def test_several_processes_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    path = tmp_path / "cache"
    processes = [
        context.Process(target=write_and_read, args=(path, number)) for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_what_waited_for_others_is_as_fresh_as_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1.0
    monkeypatch.setattr("aqa.metrics.embedding_cache.time.time", lambda: now)
    cache = EmbeddingCache(tmp_path / "cache")
    cache.put({key(1): b"x"})
    with closing(sqlite3.connect(tmp_path / "cache")) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = threading.Thread(target=cache.put, args=({key(2): b"x"},))
        waiting.start()
        time.sleep(0.3)
        now = 2.0
        other.rollback()
        waiting.join()
        assert other.execute("SELECT used FROM states ORDER BY key").fetchall() == [(1,), (2,)]


@pytest.mark.parametrize("read_first", [False, True])
@pytest.mark.parametrize("kind", ["no database", "a folder", "below a file"])
def test_a_cache_that_can_not_be_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, read_first: bool
) -> None:
    path = tmp_path / "cache"
    if kind == "a folder":
        path.mkdir()
    else:
        path.write_bytes(b"this is no database " * 100)
    cache = EmbeddingCache(path / "below" if kind == "below a file" else path)
    with caplog.at_level(logging.WARNING):
        if read_first:
            assert cache.get([key(1)]) == {}
        for _ in range(2):
            cache.put({key(1): b"value"})
            assert cache.get([key(1)]) == {}
    assert len(caplog.messages) == 1
    assert "scoring goes on without it" in caplog.text
