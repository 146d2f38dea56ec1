import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqa.backends.local.batches import batches_by_tokens, windows


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [
        (0, 3, []),
        (2, 3, [[0, 1]]),
        (3, 3, [[0, 1, 2]]),
        (7, 3, [[0, 1, 2], [3, 4, 5], [6]]),
        (2, 1, [[0], [1]]),
    ],
)
def test_windows(count: int, size: int, expected: list[list[int]]) -> None:
    assert list(windows(range(count), size, int)) == expected


def test_a_window_reads_no_further_than_it_must() -> None:
    read = []

    def stream() -> Iterator[int]:
        for item in range(10):
            read.append(item)
            yield item

    assert next(windows(stream(), 4, int)) == [0, 1, 2, 3]
    assert read == [0, 1, 2, 3]


# Items are their own lengths; a batch uses its size * (its longest + extra) tokens.
@pytest.mark.parametrize(
    ("lengths", "extra", "budget", "expected"),
    [
        ([], 0, 10, []),
        ([3, 9, 5], 0, 27, [[9, 5, 3]]),
        ([3, 9, 5], 0, 26, [[9, 5], [3]]),
        ([4, 4, 4, 4], 1, 10, [[4, 4], [4, 4]]),
        ([4, 4, 4, 4], 2, 11, [[4], [4], [4], [4]]),
        ([50, 1, 1], 0, 10, [[50], [1, 1]]),  # longer than the budget, so alone
        ([50, 40, 1], 5, 10, [[50], [40], [1]]),
    ],
)
def test_batches(lengths: list[int], extra: int, budget: int, expected: list[list[int]]) -> None:
    groups = [[length] for length in lengths]
    assert list(batches_by_tokens(groups, lambda n: n + extra, budget)) == expected


@pytest.mark.parametrize(
    ("groups", "budget", "expected"),
    [
        ([[5, 5, 5], [4, 4]], 20, [[5, 5, 5], [4, 4]]),  # the second group would be split
        ([[5, 5, 5], [4], [3]], 25, [[5, 5, 5, 4, 3]]),
        ([[2, 2], [3, 1, 3]], 15, [[3, 1, 3, 2, 2]]),
        ([[5, 5, 5], [4]], 10, [[5, 5], [5, 4]]),  # too large for any batch
    ],
)
def test_groups_stay_together(
    groups: list[list[int]], budget: int, expected: list[list[int]]
) -> None:
    assert list(batches_by_tokens(groups, int, budget)) == expected


@given(st.lists(st.integers(1, 300)), st.integers(0, 64), st.integers(1, 2000))
def test_nothing_is_lost_and_no_batch_is_too_big(
    lengths: list[int], extra: int, budget: int
) -> None:
    items = list(enumerate(lengths))
    batches = list(batches_by_tokens([[i] for i in items], lambda item: item[1] + extra, budget))
    flat = [item for batch in batches for item in batch]
    assert sorted(flat) == items
    assert [n for _, n in flat] == sorted(lengths, reverse=True)
    for batch in batches:
        longest = max(n for _, n in batch)
        assert len(batch) == 1 or len(batch) * (longest + extra) <= budget
    for batch, following in itertools.pairwise(batches):
        assert (len(batch) + 1) * (batch[0][1] + extra) > budget, "a batch had room for the next"
        assert batch[-1][1] >= following[0][1]


def test_items_of_one_length_keep_their_order() -> None:
    items = [("a", 2), ("b", 2), ("c", 2)]
    assert list(batches_by_tokens([[i] for i in items], lambda item: item[1], 6)) == [items]


@given(st.sets(st.integers(0, 200)), st.integers(1, 20))
def test_windows_are_those_of_the_whole_stream(positions: set[int], size: int) -> None:
    """Finished items are missing, which moves nothing from one window to another."""
    found = list(windows(sorted(positions), size, int))
    assert [item for window in found for item in window] == sorted(positions)
    numbers = [{item // size for item in window} for window in found]
    assert all(len(number) == 1 for number in numbers)
    assert len(set.union(set(), *numbers)) == len(found)
