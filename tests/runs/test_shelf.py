"""Values that wait on disk."""

import os

import pytest

from aqa.errors import RunError
from aqa.runs import shelf as module
from aqa.runs.shelf import Shelf


def test_values_are_given_back_from_memory_and_from_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WRITTEN", 50_000)
    shelf, values = Shelf(), [{"한": "강" * size, "n": [size]} for size in (1, 9_000, 30_000, 2, 0)]
    places = [shelf.put(value) for value in values]
    assert [shelf.get(place) for place in places] == values
    assert shelf._end > 0
    assert shelf._rest
    assert shelf.get(places[2]) is shelf.get(places[2])  # not read twice
    assert shelf.get(places[0]) == values[0]


def test_what_is_written_in_parts_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WRITTEN", 0)
    write = os.write
    monkeypatch.setattr(module.os, "write", lambda file, stored: write(file, stored[:100]))
    shelf, values = Shelf(), ["a" * 250, "b" * 50, "c" * 1_000]
    places = [shelf.put(value) for value in values]
    assert [shelf.get(place) for place in places] == values


def test_a_full_disk_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WRITTEN", 0)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "write", full)
    with pytest.raises(RunError, match="can't write there \\(No space left on device\\)"):
        Shelf().put("x")
