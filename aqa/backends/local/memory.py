"""Memory: how many tokens it has room for, at first and once it has run out; and given back."""

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from aqa.backends.local.batches import sorted_groups, take_batch
from aqa.backends.model_errors import is_out_of_memory
from aqa.heap import give_back_freed_blocks

T = TypeVar("T")
R = TypeVar("R")

MOST = {"cpu": 32_768, "cuda": 262_144}  # tokens of keys and values; more made no answer faster
READ = {"cpu": 2048, "cuda": 16_384}  # that are read at once; a GPU is busy with fewer
LEAST = 512  # tokens to begin with, however little is free
SHARE = 4  # of free memory: one part in so many for keys and values, as much for what is read
_MEMORY = Path("/proc/meminfo")


def free_bytes(device: str) -> int | None:
    """Memory that is free on a kind of device; None where nobody can tell.

    What a training left in PyTorch's own store is free to be used again.
    """
    import torch

    if device == "cuda":
        stored = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return int(torch.cuda.mem_get_info()[0]) + stored
    if device == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    return _of_machine("MemAvailable")


def free_share() -> float | None:
    """The part of this machine's memory that is free; None where nobody can tell."""
    free, whole = _of_machine("MemAvailable"), _of_machine("MemTotal")
    return free / whole if free and whole else None


def _of_machine(name: str) -> int | None:
    if not _MEMORY.is_file():
        return None
    lines = dict(line.split(":", 1) for line in _MEMORY.read_text().splitlines())
    return int(lines[name].split()[0]) * 1024


def kept_bytes(model_config: Any, itemsize: int) -> int:
    """What a token takes until its answer has ended.

    Of a causal model its keys and values in each layer; of an encoder-decoder those that its
    decoder makes of each token that was read.
    """
    sizes = model_config.get_text_config(decoder=True)
    layers = getattr(sizes, "num_decoder_layers", None) or sizes.num_hidden_layers
    all_heads = _largest(sizes, "num_attention_heads") or 1  # models without attention
    heads = all_heads if model_config.is_encoder_decoder else 0
    heads = heads or _largest(sizes, "num_key_value_heads") or all_heads
    width = _largest(sizes, "d_kv", "head_dim") or sizes.hidden_size // all_heads
    return int(2 * layers * heads * width * itemsize)


def read_bytes(model_config: Any, itemsize: int) -> int:
    """What a token takes while it is read: a layer's states, and those of its inner width."""
    sizes = model_config.get_text_config()
    width = _largest(sizes, "intermediate_size", "d_ff", "ffn_dim") or 4 * sizes.hidden_size
    return int((3 * width + 8 * sizes.hidden_size) * itemsize)


def _largest(config: Any, *names: str) -> int:
    """The largest of a model's sizes by these names; 0 where it has none.

    Some have one for each layer: in a list (Gemma 3n), or in the layers' own configs (Gemma 4).
    """
    found = [
        getattr(layer, name, None) or 0
        for layer in getattr(config, "per_layer_config", None) or [config]
        for name in names
    ]
    return max(max(size) if isinstance(size, list | tuple) else size for size in found)


def tokens_within(most: int, bytes_each: int, free: int | None) -> int:
    """As many tokens as a part of what is free has room for, at most `most`."""
    if free is None:
        return most
    return max(min(most, free // SHARE // bytes_each), LEAST)


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
