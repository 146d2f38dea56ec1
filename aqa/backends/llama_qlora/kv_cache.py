"""A key-value cache that rows join and leave without copying all rows at each step."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from transformers.cache_utils import Cache, DynamicLayer

ROOM = 32  # spare columns after the rows whenever all are moved


class Span(NamedTuple):
    """Where a row's tokens are: a row of a cache, and its columns from `start` to `stop`."""

    row: int
    start: int
    stop: int


class PreallocatedLayer(DynamicLayer):  # type: ignore[misc]  # transformers' types are not followed
    """One layer's keys and values, with capacity for more rows and columns than are visible."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()
        self.storage = (keys, values)  # (rows, heads, columns, width) each
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self._start = 0

    def show(self, rows: int, start: int, stop: int) -> None:
        """Make these rows and columns visible to the model."""
        self._start = start
        self.keys, self.values = (storage[:rows, :, start:stop] for storage in self.storage)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append after the visible columns, instead of copying as DynamicLayer does."""
        rows, start = len(key_states), self._start + self.keys.shape[-2]
        stop = start + key_states.shape[-2]
        for storage, states in zip(self.storage, (key_states, value_states), strict=True):
            storage[:rows, :, start:stop] = states
        self.show(rows, self._start, stop)
        return self.keys, self.values


class CacheSlots:
    """Slots for rows, which all end at the same column; columns before a row are masked."""

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self.cache = Cache(layers=[])
        self._planned = (0, 0)  # rows and columns
        self._end = 0

    @property
    def columns(self) -> int:
        """The number of visible columns: the length of the longest row."""
        return max(self.lengths, default=0)

    def reserve(self, rows: int, longest: int, steps: int) -> None:
        """Ensure capacity for this many rows, at most `longest` tokens in each, and more steps."""
        columns = max(longest, self.columns)
        held_rows, held_columns = self._planned
        if rows <= held_rows and self._end >= columns and self._end + steps <= held_columns:
            return
        self._planned = (max(rows, len(self.lengths)), columns + max(steps, ROOM))
        for layer in self.cache.layers:  # one at a time, to free its old storage
            keys, values = layer.storage
            layer.storage = (self._moved(keys, columns), self._moved(values, columns))
            layer.show(0, 0, 0)
        self._end = columns

    def _moved(self, storage: torch.Tensor, end: int) -> torch.Tensor:
        rows, span = len(self.lengths), self.columns
        moved = self._empty(storage)
        moved[:rows, :, end - span : end] = storage[:rows, :, self._end - span : self._end]
        return moved

    def _empty(self, like: torch.Tensor) -> torch.Tensor:
        """Return zeros, since masked values are multiplied by 0, which NaN would survive."""
        rows, columns = self._planned
        return like.new_zeros((rows, like.shape[1], columns, like.shape[3]))

    def add(self, pairs: Sequence[tuple[torch.Tensor, torch.Tensor]], spans: list[Span]) -> None:
        """Copy rows, given as keys and values per layer, to free slots; call `reserve` first."""
        if not self.cache.layers:
            layers = [PreallocatedLayer(*map(self._empty, pair)) for pair in pairs]
            self.cache = Cache(layers=layers)
        first, end = len(self.lengths), self._end
        for layer, pair in zip(self.cache.layers, pairs, strict=True):
            for storage, states in zip(layer.storage, pair, strict=True):
                for slot, (row, start, stop) in enumerate(spans, first):
                    storage[slot, :, end - (stop - start) : end] = states[row, :, start:stop]
        self.lengths += [stop - start for _, start, stop in spans]

    def remove(self, slot: int) -> None:
        """Free a slot by moving the last row there."""
        last, length = len(self.lengths) - 1, self.lengths[-1]
        for layer in self.cache.layers if slot < last else ():
            for storage in layer.storage:
                start = self._end - length
                storage[slot, :, start : self._end] = storage[last, :, start : self._end]
        self.lengths[slot] = length
        self.lengths.pop()

    def begin(self, steps: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Make all rows visible; return their mask, with room for `steps`, and their lengths."""
        rows, columns = len(self.lengths), self.columns
        for layer in self.cache.layers:
            layer.show(rows, self._end - columns, self._end)
        device = self.cache.layers[0].device  # the mask moves there once for all steps
        lengths = torch.tensor(self.lengths, device=device)[:, None]
        mask = torch.arange(columns + steps, device=device) >= columns - lengths
        return mask.long(), lengths

    def grow(self, steps: int) -> None:
        """Count the tokens that each row has gained."""
        self.lengths = [length + steps for length in self.lengths]
        self._end += steps
