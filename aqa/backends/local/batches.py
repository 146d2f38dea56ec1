"""Batches for generation: windows of a stream, sorted by length, bounded by tokens."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def windows(items: Iterable[T], size: int, position: Callable[[T], int]) -> Iterator[list[T]]:
    """Split a stream into windows of `size` rising positions, some of which may be missing.

    Windows start at multiples of `size`, so a resumed run sees the same ones, minus what is done.
    """
    window: list[T] = []
    for item in items:
        index = position(item)
        if window and index // size != position(window[0]) // size:
            yield window
            window = []
        window.append(item)
        if index % size == size - 1:
            yield window
            window = []
    if window:
        yield window


def batches_by_tokens(
    groups: Iterable[Sequence[T]], tokens: Callable[[T], int], budget: int
) -> Iterator[list[T]]:
    """Batch groups of similar length, longest first, so that peak memory comes first.

    A batch of n items counts as n times the `tokens` of its longest, at most `budget`; a single
    item may exceed it. A group is only split if it is too large for any batch.
    """
    waiting = sorted_groups(groups, tokens)
    while waiting:
        yield take_batch(waiting, tokens, budget)


def sorted_groups(groups: Iterable[Sequence[T]], tokens: Callable[[T], int]) -> deque[list[T]]:
    """Sort groups by their longest item, in descending order."""
    return deque(sorted(map(list, groups), key=lambda group: max(map(tokens, group)), reverse=True))


def take_batch(waiting: deque[list[T]], tokens: Callable[[T], int], budget: int) -> list[T]:
    """Take the next batch from sorted groups; see `batches_by_tokens`."""
    room = max(budget // max(map(tokens, waiting[0])), 1)
    batch: list[T] = []
    while waiting and len(batch) + len(waiting[0]) <= room:
        batch += waiting.popleft()
    if not batch:
        group = waiting[0]
        batch, waiting[0] = group[:room], group[room:]
    return batch


def pad_right(rows: Sequence[Sequence[int]], filling: int = 0) -> tuple[Any, Any]:
    """Return token ids and attention mask of shape (rows, longest)."""
    import torch

    ids = torch.full((len(rows), max(map(len, rows))), filling)
    mask = torch.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row)
        mask[index, : len(row)] = 1
    return ids, mask
