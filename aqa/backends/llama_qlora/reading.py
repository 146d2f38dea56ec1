"""Read prompts: their keys and values, and the logits of the first token of each answer."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from transformers import DynamicCache

from aqa.backends.llama_qlora.keys import Places, Span
from aqa.backends.llama_qlora.prefixes import Group, Row, takes_positions

Layers = list[tuple[torch.Tensor, torch.Tensor]]  # of each layer keys and values


class Read(NamedTuple):
    """What was read of some rows; `logits` are (rows, vocabulary) in float32."""

    layers: Layers
    spans: list[Span]
    logits: torch.Tensor


@contextmanager
def logits_at(model: Any, rows: torch.Tensor, positions: torch.Tensor) -> Iterator[None]:
    """Within it, a model gives logits of shape (1, places, vocabulary), at these places alone.

    What a model does to logits it does to each on its own, so it may well be given fewer.
    """

    def select(_: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        states, *others = inputs
        device = states.device
        return (states[rows.to(device), positions.to(device)][None], *others)

    hook = model.get_output_embeddings().register_forward_pre_hook(select, prepend=True)
    try:
        yield
    finally:
        hook.remove()


def pad_right(rows: Sequence[Row]) -> torch.Tensor:
    """Token ids of shape (rows, longest). What is behind a row no token of it sees."""
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = torch.tensor(row)
    return ids


def read_rows(model: Any, rows: Sequence[Row], groups: Sequence[Group]) -> Read:
    """Read rows, the beginning that a group of them shares only once."""
    if len(groups) == len(rows):
        cache = DynamicCache(config=model.config)
        logits = _read(model, rows, past_key_values=cache)
        return Read(_layers(cache), _from_the_left(map(len, rows)), logits)
    firsts = [rows[group.members[0]][: group.length] for group in groups]
    cache = DynamicCache(config=model.config)
    _read(model, firsts, past_key_values=cache)
    group_of = {row: place for place, group in enumerate(groups) for row in group.members}
    shared = [groups[group_of[row]].length for row in range(len(rows))]
    rests = [row[length:] for row, length in zip(rows, shared, strict=True)]
    steps, places = max(map(len, rests)), Places()
    places.reserve(len(rows), max(shared), steps)
    places.add(_layers(cache), [Span(group_of[n], 0, length) for n, length in enumerate(shared)])
    mask, lengths = places.begin(steps)
    positions = lengths + torch.arange(steps)
    logits = _read(model, rests, mask, positions, past_key_values=places.cache)
    begun = mask.shape[1] - steps
    spans = [
        Span(n, begun - length, begun + len(rest))
        for n, (length, rest) in enumerate(zip(shared, rests, strict=True))
    ]
    return Read(_layers(places.cache), spans, logits)


def _read(
    model: Any,
    rows: Sequence[Row],
    mask: torch.Tensor | None = None,
    positions: torch.Tensor | None = None,
    **arguments: Any,
) -> torch.Tensor:
    """Read rows on; give the logits behind the last token of each.

    Without a mask, which nothing needs where all rows begin at the first column, attention may
    take its fastest way.
    """
    last = torch.tensor([len(row) - 1 for row in rows])
    with logits_at(model, torch.arange(len(rows)), last):
        return forward(model, pad_right(rows), mask, positions, **arguments)[0].float()


def forward(
    model: Any,
    ids: torch.Tensor,
    mask: torch.Tensor | None,
    positions: torch.Tensor | None,
    **arguments: Any,
) -> torch.Tensor:
    """Logits of a model, which is told positions if it takes them."""
    device = model.device
    if mask is not None:
        arguments["attention_mask"] = mask.to(device)
    if positions is not None and takes_positions(model):
        arguments["position_ids"] = positions.to(device)
    if "past_key_values" not in arguments:
        arguments["use_cache"] = False
    logits: torch.Tensor = model(input_ids=ids.to(device), **arguments).logits
    return logits


def _layers(cache: Any) -> Layers:
    return [(layer.keys, layer.values) for layer in cache.layers]


def _from_the_left(lengths: Any) -> list[Span]:
    return [Span(row, 0, length) for row, length in enumerate(lengths)]
