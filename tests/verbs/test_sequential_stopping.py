"""What a run that stops when decided reads."""

from collections.abc import Iterator

from aqa.records import Example, Passage
from aqa.verbs.sequential_stopping import ReadOnce


def test_examples_come_in_any_order_from_data_that_are_read_once() -> None:
    read = []

    def examples() -> Iterator[tuple[int, Example]]:
        for place in range(9):
            read.append(place)
            yield place, Example(str(place), f"{place}?", [Passage("x")], metadata={"n": [place]})

    once = ReadOnce(examples())
    for places in ([1, 4], [0, 2, 6], [3, 5, 7, 8]):
        found = list(once.examples_at(places))
        assert [(at, each.id, each.metadata) for at, each in found] == [
            (at, str(at), {"n": [at]}) for at in places
        ]
    assert read == list(range(9))
