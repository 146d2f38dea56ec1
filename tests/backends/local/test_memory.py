"""Work that runs out of memory goes on in halves."""

from collections.abc import Iterator, Sequence

import pytest

from aqa.backends.local.memory import halving


@pytest.mark.parametrize("room", [1, 2, 3, 7])
def test_what_was_done_is_not_done_again(room: int) -> None:
    """As much as fits is done, then memory is short; "big" fits nowhere."""
    worked: list[str] = []
    notes: list[str] = []

    def work(batch: Sequence[str]) -> Iterator[str]:
        for place, item in enumerate(batch):
            if place == room or item == "big":
                raise MemoryError
            worked.append(item)
            yield item.upper()

    items = ["a", "b", "c", "big", "d", "e", "f"]
    found = list(halving(items, work, lambda item: f"no {item}", notes.append))
    assert found == ["A", "B", "C", "no big", "D", "E", "F"]
    assert worked == ["a", "b", "c", "d", "e", "f"]
    assert notes[0] == f"out of memory with {7 - min(room, 3)} prompts: half as many at a time"


def test_other_errors_are_raised() -> None:
    def work(batch: Sequence[int]) -> Iterator[int]:
        yield 1
        raise RuntimeError("shapes do not fit")

    found = halving([1, 2], work, lambda item: item, print)
    assert next(found) == 1
    with pytest.raises(RuntimeError, match="shapes"):
        next(found)
