"""Memory: given back when a model is done with, and less work at a time once it has run out."""

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from aqa.backends.local.batches import sorted_groups, take_batch
from aqa.backends.model_errors import is_out_of_memory
from aqa.heap import give_back_freed_blocks

T = TypeVar("T")
R = TypeVar("R")


def free_memory() -> None:
    """Give back what is no longer referred to, the GPU's too."""
    import torch

    gc.collect()
    give_back_freed_blocks()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


class Room:
    """How many tokens may be at work at once: fewer for good once memory has run out.

    `read_tokens` of them, at most, are read at once. Where a process would leave others waiting in
    the middle of a layer (`alone` is False), memory that runs out ends all.
    """

    def __init__(
        self,
        tokens: int,
        note: Callable[[str], None],
        read_tokens: int | None = None,
        alone: bool = True,
    ) -> None:
        self._alone = alone
        self.tokens = self._fitted = tokens
        self._read_tokens = read_tokens
        self._note = note

    @property
    def read_tokens(self) -> int:
        """Tokens that are read at once."""
        return min(self.tokens, self._read_tokens or self.tokens)

    def can_shrink(self, error: Exception) -> bool:
        """Whether fewer at a time may do what failed with this error."""
        return self._alone and is_out_of_memory(error)

    def shrink(self, prompts: int, each: int) -> None:
        """Take half of what was tried: so many prompts, of so many tokens each at most."""
        self._note(f"out of memory with {prompts} prompts: half as many at a time from now on")
        self.tokens = max(min(self.tokens, prompts * each) // 2, 1)

    def fitted(self) -> None:
        """Remember that there was room."""
        self._fitted = self.tokens

    def give_up(self) -> None:
        """One prompt alone was too long, so its size is no reason to take fewer of the others."""
        self.tokens = self._fitted


def within(
    room: Room,
    groups: Iterable[Sequence[T]],
    tokens: Callable[[T], int],
    work: Callable[[Sequence[T]], Iterable[R]],
    give_up: Callable[[T], R],
) -> Iterator[R]:
    """Work on groups in batches that there is room for; `give_up` on an item that never fits.

    `tokens` are those of an item, and `work` gives its results in the batch's order: those that it
    gave before memory ran out are not made again.
    """
    waiting = sorted_groups(groups, tokens)
    while waiting:
        batch = take_batch(waiting, tokens, room.tokens)
        done = 0
        try:
            for result in work(batch):
                done += 1
                yield result
            room.fitted()
            continue
        except (MemoryError, RuntimeError) as error:
            if not room.can_shrink(error):
                raise
        free_memory()
        if len(batch) == 1:
            room.give_up()
            yield give_up(batch[0])
        else:
            rest = batch[done:]
            room.shrink(len(rest), max(map(tokens, rest)))
            waiting.appendleft(rest)
