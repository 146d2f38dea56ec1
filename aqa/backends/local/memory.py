"""Memory: given back when a model is done with, and work in halves where it runs out."""

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def free_memory() -> None:
    """Give back what is no longer referred to, the GPU's too."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


def halving(
    batch: Sequence[T],
    work: Callable[[Sequence[T]], Iterable[R]],
    give_up: Callable[[T], R],
    note: Callable[[str], None],
) -> Iterator[R]:
    """Work on a batch, where memory runs out on its halves; `give_up` on one that never fits.

    `work` gives its results in the batch's order; those that it gave already are not made again.
    """
    done = 0
    try:
        for result in work(batch):
            done += 1
            yield result
        return
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    rest = batch[done:]
    if len(rest) == 1 and not done:
        yield give_up(rest[0])
        return
    gc.collect()
    note(f"out of memory with {len(rest)} prompts: half as many at a time")
    middle = len(rest) // 2
    for half in (rest[:middle], rest[middle:]):
        if half:
            yield from halving(half, work, give_up, note)


def is_out_of_memory(error: Exception) -> bool:
    """Whether it tells of memory that ran out, on a GPU or not."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
        or "MPS backend out of memory" in str(error)
    )
