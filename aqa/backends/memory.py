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


def halving(
    batch: Sequence[T],
    work: Callable[[Sequence[T]], Iterable[R]],
    give_up: Callable[[T], R],
    note: Callable[[str], None],
) -> Iterator[R]:
    """Work on a batch, where memory runs out on its halves; `give_up` on one that never fits."""
    try:
        done = list(work(batch))
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
    else:
        yield from done
        return
    if len(batch) == 1:
        yield give_up(batch[0])
        return
    gc.collect()
    note(f"out of memory with {len(batch)} prompts: half as many at a time")
    middle = len(batch) // 2
    yield from halving(batch[:middle], work, give_up, note)
    yield from halving(batch[middle:], work, give_up, note)


def _is_out_of_memory(error: Exception) -> bool:
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )
