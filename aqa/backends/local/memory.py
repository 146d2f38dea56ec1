"""Estimate how many tokens fit in memory, adapt when it runs out, and free it."""

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import psutil

from aqa.backends.local.batches import sorted_groups, take_batch
from aqa.backends.model_errors import is_out_of_memory
from aqa.heap import give_back_freed_blocks

T = TypeVar("T")
R = TypeVar("R")

MOST = {"cpu": 32_768, "cuda": 262_144}  # tokens of keys and values; more were no faster
READ = {"cpu": 2048, "cuda": 16_384}  # tokens read at once; they keep a GPU busy
LEAST = 512  # tokens to start with, however little is free
SHARE = 4  # 1/SHARE of free memory is for keys and values, and as much for reading


def free_bytes(device: str) -> int:
    """Return the free memory of a kind of device.

    Includes what PyTorch's caching allocator holds unused, for example after training.
    """
    import torch

    if device == "cuda":
        stored = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return int(torch.cuda.mem_get_info()[0]) + stored
    if device == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    return int(psutil.virtual_memory().available)


def kept_bytes(model_config: Any, itemsize: int) -> int:
    """Return the bytes that a token occupies until its answer has ended.

    For a causal model these are its keys and values in each layer; for an encoder-decoder, the
    decoder's for each token read.
    """
    sizes = model_config.get_text_config(decoder=True)
    layers = getattr(sizes, "num_decoder_layers", None) or sizes.num_hidden_layers
    all_heads = _largest(sizes, "num_attention_heads") or 1  # for models without attention
    heads = all_heads if model_config.is_encoder_decoder else 0
    heads = heads or _largest(sizes, "num_key_value_heads") or all_heads
    width = _largest(sizes, "d_kv", "head_dim") or sizes.hidden_size // all_heads
    return int(2 * layers * heads * width * itemsize)


def read_bytes(model_config: Any, itemsize: int) -> int:
    """Return the bytes that a token needs while it is read: hidden and inner states of a layer."""
    sizes = model_config.get_text_config()
    width = _largest(sizes, "intermediate_size", "d_ff", "ffn_dim") or 4 * sizes.hidden_size
    return int((3 * width + 8 * sizes.hidden_size) * itemsize)


def _largest(config: Any, *names: str) -> int:
    """Return a model's largest size by these names; 0 if it has none.

    Some have one per layer: in a list (Gemma 3n), or in per-layer configs (Gemma 4).
    """
    sizes = [
        getattr(layer, name, None) or 0
        for layer in getattr(config, "per_layer_config", None) or [config]
        for name in names
    ]
    return max(max(size) if isinstance(size, list | tuple) else size for size in sizes)


def tokens_within(most: int, bytes_each: int, free: int) -> int:
    """Return how many tokens fit into their share of free memory, at most `most`."""
    return max(min(most, free // SHARE // bytes_each), LEAST)


def free_memory() -> None:
    """Free unreferenced memory, on the GPU too."""
    import torch

    gc.collect()
    give_back_freed_blocks()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


class TokenBudget:
    """How many tokens may be processed at once; lowered for good when memory runs out.

    At most `read_tokens` of them are read at once. If other processes would be left waiting within
    a layer (`alone` is False), running out of memory ends everything.
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
        """The most tokens to read at once."""
        return min(self.tokens, self._read_tokens or self.tokens)

    def can_shrink(self, error: Exception) -> bool:
        """Whether what failed with this error may work with fewer tokens at a time."""
        return self._alone and is_out_of_memory(error)

    def shrink(self, prompts: int, tokens: int) -> None:
        """Halve what was tried: this many prompts of at most this many tokens."""
        self._note(f"out of memory with {prompts} prompts: half as many at a time from now on")
        self.tokens = max(min(self.tokens, prompts * tokens) // 2, 1)

    def fitted(self) -> None:
        """Remember that the current size fits."""
        self._fitted = self.tokens

    def give_up(self) -> None:
        """Restore the last size that fitted: one prompt alone was too long, others may fit."""
        self.tokens = self._fitted


def within(
    budget: TokenBudget,
    groups: Iterable[Sequence[T]],
    tokens: Callable[[T], int],
    work: Callable[[Sequence[T]], Iterable[R]],
    give_up: Callable[[T], R],
) -> Iterator[R]:
    """Process groups in batches that fit in memory; `give_up` handles an item that never fits.

    `tokens` counts those of an item, and `work` yields results in the batch's order: those yielded
    before memory ran out are not computed again.
    """
    waiting = sorted_groups(groups, tokens)
    while waiting:
        batch = take_batch(waiting, tokens, budget.tokens)
        done = 0
        try:
            for result in work(batch):
                done += 1
                yield result
            budget.fitted()
            continue
        except (MemoryError, RuntimeError) as error:
            if not budget.can_shrink(error):
                raise
        free_memory()
        if len(batch) == 1:
            budget.give_up()
            yield give_up(batch[0])
        else:
            rest = batch[done:]
            budget.shrink(len(rest), max(map(tokens, rest)))
            waiting.appendleft(rest)
