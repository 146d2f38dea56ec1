"""Values that wait on disk."""

from pathlib import Path

import pytest

from aqa.errors import RunError
from aqa.runs import shelf as module
from aqa.runs.shelf import Shelf


@pytest.mark.parametrize("in_memory", [1 << 20, 10_000])
def test_values_are_given_back_from_memory_and_from_disk(
    in_memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IN_MEMORY", in_memory)
    shelf, values = Shelf(), [{"한": "강" * size, "n": [size]} for size in (1, 9_000, 30_000, 2, 0)]
    places = [shelf.put(value) for value in values]
    assert [shelf.get(place) for place in places] == values
    assert shelf.get(places[2]) is shelf.get(places[2])  # not read twice
    places.append(shelf.put("more"))
    assert [shelf.get(place) for place in places] == [*values, "more"]


def test_a_full_disk_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IN_MEMORY", 1)
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: Path("/dev/full").open("w+b"))  # noqa: SIM115
    with pytest.raises(RunError, match="can't write there \\(No space left on device\\)"):
        Shelf().put("x" * 100)
