"""Read prompts: compute their keys and values, and the logits of each answer's first token."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from transformers import DynamicCache

from aqa.backends.llama_qlora.attention import Apart, can_continue
from aqa.backends.llama_qlora.kv_cache import CacheSlots, Span
from aqa.backends.llama_qlora.prefixes import Row, shared_tokens, takes_positions
from aqa.backends.local.batches import pad_right
from aqa.backends.local.devices import input_device

Layers = Sequence[tuple[torch.Tensor, torch.Tensor]]  # keys and values of each layer
WORTH = 64  # tokens that must be saved for reading a prefix on its own


class Read(NamedTuple):
    """The result of reading rows; `logits` are (rows, vocabulary) in float32."""

    layers: Layers
    spans: list[Span]
    logits: torch.Tensor


@contextmanager
def logits_at(model: Any, rows: torch.Tensor, positions: torch.Tensor) -> Iterator[None]:
    """Make a model return logits of shape (1, places, vocabulary), only at these places.

    Models process the logits of each place separately, so fewer can be computed.
    """

    def select(_: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        states, *others = inputs
        if states.shape[:-1].numel() == 1:
            return inputs  # a single place, perhaps in a small call of `Lockstep`
        device = states.device
        return (states[rows.to(device), positions.to(device)][None], *others)

    hook = model.get_output_embeddings().register_forward_pre_hook(select, prepend=True)
    try:
        yield
    finally:
        hook.remove()


def read_beginning(model: Any, rows: Sequence[Row]) -> Layers:
    """Read the prefix of all rows, without their last tokens, if that saves enough."""
    shared = min((shared_tokens(rows[0], row[:-1]) for row in rows), default=0)
    if shared * (len(rows) - 2) < WORTH or not can_continue(model):
        return ()
    cache = DynamicCache(config=model.config)
    _read(model, [rows[0][:shared]], past_key_values=cache)
    return _layers(cache)


def read_rows(model: Any, rows: Sequence[Row], prefixes: Sequence[Row], begun: Layers = ()) -> Read:
    """Read rows, with a prefix that some of them share, as the same object, read only once.

    `begun` is the result of `read_beginning`.
    """
    numbers: dict[int, int] = {}
    prefix_of = [numbers.setdefault(id(prefix), len(numbers)) for prefix in prefixes]
    is_shared = len(numbers) < len(rows)
    firsts = [*({id(prefix): prefix for prefix in prefixes}.values() if is_shared else rows)]
    if can_continue(model):
        layers, logits = _read_flat(model, firsts, begun)
    else:
        cache = DynamicCache(config=model.config)
        logits = _read(model, firsts, past_key_values=cache)
        layers = _layers(cache)
    spans = [Span(number, 0, len(first)) for number, first in enumerate(firsts)]
    read = Read(layers, spans, logits)
    if not is_shared:
        return read
    rests = [row[len(prefix) :] for row, prefix in zip(rows, prefixes, strict=True)]
    return _read_on(model, read, prefix_of, rests)


def _read_flat(model: Any, rows: Sequence[Row], begun: Layers) -> tuple[Layers, torch.Tensor]:
    """Read rows that are concatenated into one, without padding."""
    cache = DynamicCache(config=model.config)
    for number, pair in enumerate(begun):
        cache.update(*pair, number)
    shared = cache.get_seq_length()
    apart = Apart.of([len(row) - shared for row in rows])
    ids = torch.tensor([[token for row in rows for token in row[shared:]]])
    last = apart.indices[:, -1]
    with apart.active(), logits_at(model, torch.zeros_like(last), last):
        positions = shared + apart.positions
        logits = forward(model, ids, None, positions, past_key_values=cache)[0].float()
    layers = [(apart.columns(keys), apart.columns(values)) for keys, values in _layers(cache)]
    return layers, logits


def _read_on(model: Any, begun: Read, numbers: Sequence[int], rests: Sequence[Row]) -> Read:
    """Read the rest of each row, whose beginning was read as the row of this number."""
    before = [begun.spans[number] for number in numbers]
    lengths = [stop - start for _, start, stop in before]
    steps, slots = max(map(len, rests)), CacheSlots()
    slots.reserve(len(rests), max(lengths), steps)
    slots.add(begun.layers, before)
    mask, past = slots.begin(steps)
    positions = past + torch.arange(steps, device=past.device)
    logits = _read(model, rests, mask, positions, past_key_values=slots.cache)
    middle = mask.shape[1] - steps
    spans = [
        Span(number, middle - length, middle + len(rest))
        for number, (length, rest) in enumerate(zip(lengths, rests, strict=True))
    ]
    return Read(_layers(slots.cache), spans, logits)


def _read(
    model: Any,
    rows: Sequence[Row],
    mask: torch.Tensor | None = None,
    positions: torch.Tensor | None = None,
    **arguments: Any,
) -> torch.Tensor:
    """Read rows and return the logits after the last token of each.

    If all rows start at the first column, no mask is needed, and attention can use its fastest
    kernel. Tokens after a row are invisible to it.
    """
    last = torch.tensor([len(row) - 1 for row in rows])
    with logits_at(model, torch.arange(len(rows)), last):
        return forward(model, pad_right(rows)[0], mask, positions, **arguments)[0].float()


def forward(
    model: Any,
    ids: torch.Tensor,
    mask: torch.Tensor | None,
    positions: torch.Tensor | None,
    **arguments: Any,
) -> torch.Tensor:
    """Return a model's logits; positions are passed if it accepts them."""
    device = input_device(model)
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
