"""Tokens that are drawn while transformers' `generate` writes, each answer's by its own numbers."""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from aqa.backends.local.decoding import chosen_tokens
from aqa.backends.local.devices import seeded
from aqa.config.options import GenerationOptions

Drawings = Sequence[Sequence[float]]  # of each answer its `uniform_draws`


class Drawn:
    """A logits processor that leaves each row the token that its next number falls on.

    So a sample is what a greedy search then finds, whatever batch it is written in.
    """

    def __init__(self, draws: Drawings, options: GenerationOptions) -> None:
        self._draws, self._options = draws, options
        self._step = 0

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Give scores (rows, vocabulary) of which one token of each row is possible."""
        import torch

        numbers = [own[self._step] for own in self._draws]
        self._step += 1
        tokens, _ = chosen_tokens(scores, numbers, self._options)
        chosen = torch.tensor(tokens, device=scores.device)[:, None]
        return torch.full_like(scores, -torch.inf).scatter(-1, chosen, 0.0)


@contextmanager
def drawing(options: GenerationOptions, seed: int, first_id: str) -> Iterator[None]:
    """Let beams that are sampled depend on the seed and their batch's first prompt alone.

    Random numbers drawn elsewhere, such as those of a training, go on as if nothing had happened.
    """
    if options.draws or not options.temperature:
        yield
        return
    with seeded(seed ^ zlib.crc32(first_id.encode())):
        yield
