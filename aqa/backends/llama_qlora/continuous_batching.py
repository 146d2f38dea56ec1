"""Continuous batching: finished rows leave at once, and others take their places.

So every step's batch is full, however different the lengths of answers. What a row writes does not
depend on other rows, up to rounding.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from aqa.backends.llama_qlora.kv_cache import CacheSlots
from aqa.backends.llama_qlora.prefill import Layers, forward, read_beginning, read_rows
from aqa.backends.llama_qlora.prefixes import Row
from aqa.backends.local.batches import batches_by_tokens
from aqa.backends.local.decoding import StopConditions, chosen_tokens
from aqa.backends.local.devices import without_gradients
from aqa.backends.local.memory import TokenBudget, free_memory
from aqa.config.options import GenerationOptions
from aqa.contention import small_operations

ROUND = 8  # steps between chances to join
STEPS = 32  # steps with room before all rows must be moved
ENDED = 8  # a round ends early once one row in this many has ended
JOINED = 4  # rows join once they are one in this many of all


@dataclass(slots=True, eq=False)
class Answer:
    """An answer in progress to the prompt with this `number` in the window."""

    number: int
    prompt: Row
    prefix: Row  # the same object for all prompts that share it
    draws: Sequence[float] = ()  # in [0, 1), one per token, if tokens are sampled
    tokens: list[int] = field(default_factory=list)
    log_probabilities: list[float] = field(default_factory=list)
    ended: bool = False
    fits: bool = True  # False if memory ran out with this one alone


class Writer:
    """Writes the answers of a window, as many at a time as memory allows."""

    def __init__(
        self, model: Any, ends: StopConditions, options: GenerationOptions, budget: TokenBudget
    ) -> None:
        self._model = model
        self._ends = ends
        self._options = options
        self._budget = budget
        self._waiting: deque[list[Answer]] = deque()
        self._joining: list[Answer] = []
        self._open: list[Answer] = []  # in the order of their slots
        self._slots = CacheSlots()
        self._firsts: list[Row] = []  # each group's prefix
        self._begun: Layers | None = None  # the prefix that all groups share

    def write(self, groups: Iterable[Sequence[Answer]]) -> Iterator[Answer]:
        """Yield answers as they end; a group's prompts are read together if they fit."""
        self._wait(groups)
        self._firsts = [group[0].prefix for group in self._waiting]
        while self._waiting or self._open:
            ended = self._go_on()
            yield from self._give_way() if ended is None else ended

    def _wait(self, groups: Iterable[Sequence[Answer]]) -> None:
        waiting = [*self._waiting, *map(list, groups)]
        self._waiting = deque(sorted(waiting, key=_longest, reverse=True))

    def _go_on(self) -> list[Answer] | None:
        """Let rows join or write more tokens; return finished answers, None if out of memory."""
        try:
            with without_gradients():
                if chosen := self._choose():
                    self._join(chosen)
                else:
                    with small_operations():
                        self._write_round()
                self._budget.fitted()
                return self._let_go()
        except (MemoryError, RuntimeError) as error:
            if not self._budget.can_shrink(error):
                raise
        return None

    def _choose(self) -> list[list[Answer]]:
        """Choose the groups that join now: as many as fit, or part of one that never fits.

        Reading a few rows takes as long as reading some more, so they wait until it is worthwhile.
        """
        if not self._waiting:
            return []
        room = max(_longest(self._waiting[0]), _longest(self._open)) + self._options.max_new_tokens
        capacity = max(self._budget.tokens // room, 1)
        free = capacity - len(self._open)
        chosen: list[list[Answer]] = []
        while self._waiting and free > 0:
            group = self._waiting.popleft()
            if len(group) > free:
                keep = free if len(group) > capacity else 0
                self._waiting.appendleft(group[keep:])
                group = group[:keep]
                free = 0
            if group:
                chosen.append(group)
                free -= len(group)
        rows = sum(map(len, chosen))
        if self._open and self._waiting and rows * JOINED < rows + len(self._open):
            self._waiting.extendleft(reversed(chosen))
            return []
        return chosen

    def _join(self, groups: Sequence[Sequence[Answer]]) -> None:
        """Read prompts, write the first token of each answer, and add them to the open rows."""
        self._joining = [answer for group in groups for answer in group]
        size, longest = len(self._open) + len(self._joining), _longest(self._joining)
        if self._begun is None:
            self._begun = read_beginning(self._model, self._firsts)
        self._slots.reserve(size, longest, min(STEPS, self._options.max_new_tokens))
        for batch in batches_by_tokens(groups, _length, self._budget.read_tokens):
            rows, prefixes = zip(*((answer.prompt, answer.prefix) for answer in batch), strict=True)
            read = read_rows(self._model, rows, prefixes, self._begun)
            self._write_tokens(batch, read.logits)
            self._slots.add(read.layers, read.spans)
            self._open += batch
        self._joining = []

    def _write_round(self) -> None:
        """Write up to `ROUND` tokens in each row, fewer if enough rows end before."""
        self._slots.reserve(0, 0, ROUND)
        mask, lengths = self._slots.begin(ROUND)
        columns, written = mask.shape[1] - ROUND, 0
        while written < ROUND and ENDED * sum(a.ended for a in self._open) < len(self._open):
            logits = forward(
                self._model,
                torch.tensor([answer.tokens[-1:] for answer in self._open]),
                mask[:, : columns + written + 1],
                lengths + written,
                past_key_values=self._slots.cache,
            )
            self._write_tokens(self._open, logits[:, -1].float())
            written += 1
        self._slots.grow(written)

    def _write_tokens(self, answers: Sequence[Answer], logits: torch.Tensor) -> None:
        """Append a token to each unfinished answer; logits are (answers, vocabulary)."""
        draws = [a.draws[len(a.tokens)] if a.draws and not a.ended else 0.0 for a in answers]
        chosen = zip(*chosen_tokens(logits, draws, self._options), strict=True)
        for answer, (token, log_probability) in zip(answers, chosen, strict=True):
            if not answer.ended:
                answer.tokens.append(token)
                answer.log_probabilities.append(log_probability)
                full = len(answer.tokens) == self._options.max_new_tokens
                answer.ended = full or self._ends.ended(answer.tokens)

    def _let_go(self) -> list[Answer]:
        """Free the slots of finished answers."""
        ended = []
        for slot in reversed(range(len(self._open))):
            if self._open[slot].ended:
                self._slots.remove(slot)
                ended.append(self._open[slot])
                self._open[slot] = self._open[-1]
                self._open.pop()
        return ended

    def _give_way(self) -> list[Answer]:
        """After running out of memory, lower the limit and restart unfinished answers."""
        tried = [*self._open, *(a for a in self._joining if a not in self._open)]
        self._joining, self._open, self._slots = [], [], CacheSlots()
        free_memory()
        going_on = [answer for answer in tried if not answer.ended]
        ended = [answer for answer in tried if answer.ended]
        if len(tried) == 1:
            self._budget.give_up()
            tried[0].fits, tried[0].ended = tried[0].ended, True
            return tried
        room = _longest(tried) + self._options.max_new_tokens
        self._budget.shrink(len(tried), room)
        restarted: dict[int, list[Answer]] = {}
        for answer in going_on:
            answer.tokens.clear()
            answer.log_probabilities.clear()
            restarted.setdefault(id(answer.prefix), []).append(answer)
        self._wait(restarted.values())
        return ended


def _length(answer: Answer) -> int:
    return len(answer.prompt)


def _longest(answers: Sequence[Answer]) -> int:
    return max(map(_length, answers), default=0)
