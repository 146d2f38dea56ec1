"""Prompts that begin alike, such as questions on one passage: their beginning is read once."""

import inspect
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

Row = Sequence[int]
# Model types whose forward leaves the attention mask out, at least where it sums tokens up.
UNMASKED = ("rwkv", "xlstm", "recurrent_gemma", "deepseek_v4", "xlm")
LENGTHENED = ("longrope", "dynamic")  # positions that depend on how long a row is
WHOLE = ("full_attention", "global")  # layers that look at all tokens; the latter is GPT-Neo's name


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that share their first `length` tokens; `members` are the rows' numbers."""

    length: int
    members: tuple[int, ...]


def group_by_prefix(rows: Sequence[Row]) -> list[Group]:
    """Group rows that share at least half of their tokens from the beginning on.

    Of each row at least the last token is left over, to be read on its own.
    """
    groups: list[Group] = []
    for number in sorted(range(len(rows)), key=lambda number: tuple(rows[number])):
        row = rows[number]
        if groups:
            last = groups[-1]
            shared = shared_tokens(rows[last.members[0]][: last.length], row[:-1])
            if 2 * shared >= len(row):
                groups[-1] = Group(shared, (*last.members, number))
                continue
        groups.append(Group(len(row) - 1, (number,)))
    return groups


def groups_within(numbers: Sequence[int], lengths: Sequence[int]) -> list[Group]:
    """The groups of a batch, some of whose members may be in another one.

    `numbers` tell for each row of the batch which group it is of, `lengths` what that shares.
    """
    members: dict[int, list[int]] = {}
    for row, number in enumerate(numbers):
        members.setdefault(number, []).append(row)
    return [Group(lengths[rows[0]], tuple(rows)) for rows in members.values()]


def shared_tokens(one: Row, other: Row) -> int:
    """How many tokens two rows share from their beginning on."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def can_share(model: Any) -> bool:
    """Whether a prefix can be read once for many rows, with padding behind it.

    For that every layer must keep the keys and values of all tokens, and the distance of two tokens
    must be counted by the mask, not by their places.
    """
    config = model.config.get_text_config()
    layers = getattr(config, "layer_types", None) or getattr(config, "attention_layers", None) or ()
    whole = all(layer in WHOLE for layer in layers)
    window = getattr(config, "sliding_window", None)
    # Activated LoRA acts behind certain tokens, which it looks for in what it is given at once.
    activated = any(getattr(a, "alora_invocation_tokens", None) for a in _adapters(model))
    return (
        window is None
        and "past_key_values" in _arguments(model)
        and whole
        and not activated
        # It can be told positions, or makes them of the mask (as Bloom, unlike MPT).
        and (model.config.model_type == "bloom" or takes_positions(model))
        and takes_padding(model)
    )


def takes_padding(model: Any) -> bool:
    """Whether a mask can hide the padding before a row.

    It can't where an adapter puts tokens of its own before that (prompt and prefix tuning), from
    which a row would then be farther away, nor in models that carry a state past all they read, or
    count their positions from the padding on.
    """
    learns_prompt = any(adapter.is_prompt_learning for adapter in _adapters(model))
    is_unmasked = getattr(model.config, "model_type", "") in UNMASKED or counts_padding(model)
    return not learns_prompt and not is_unmasked


def counts_padding(model: Any) -> bool:
    """Whether positions are counted from the padding on: by BART's kind, which can't be told them.

    And by RoBERTa's, whose first one comes after that of the padding token.
    """
    is_told = takes_positions(model)
    return any(
        ("PositionalEmbedding" in type(module).__name__ and not is_told)
        or (
            name.endswith("position_embeddings")
            and getattr(module, "padding_idx", None) is not None
        )
        for name, module in model.named_modules()
    )


def _adapters(model: Any) -> Collection[Any]:
    found: Mapping[str, Any] = getattr(model, "peft_config", {})
    return found.values()


def steady_length(config: Any) -> float:
    """Tokens up to which positions mean the same to a row, whatever else is in its batch.

    Beyond it longrope (Phi 3 and 4) and dynamic scaling turn all rows as the longest one needs.
    """
    config = config.get_text_config()
    ropes = getattr(config, "rope_parameters", None) or {}
    each = [ropes, *(rope for rope in ropes.values() if isinstance(rope, Mapping))]
    return min(
        (
            rope.get("original_max_position_embeddings") or config.max_position_embeddings
            for rope in each
            if rope.get("rope_type") in LENGTHENED
        ),
        default=math.inf,
    )


def forget_lengths(model: Any) -> None:
    """Let positions that are scaled dynamically not be those of the longest row so far."""
    for module in model.modules():
        for name in vars(module):  # one for each kind of layers, where these have their own
            if name.endswith("max_seq_len_cached"):
                setattr(module, name, 0)


def takes_positions(model: Any) -> bool:
    """Whether a model can be told the positions of tokens."""
    return "position_ids" in _arguments(model)


def _arguments(model: Any) -> Collection[str]:
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return _arguments_of(type(base).forward)


@cache
def _arguments_of(forward: Callable[..., object]) -> Collection[str]:
    return inspect.signature(forward).parameters
