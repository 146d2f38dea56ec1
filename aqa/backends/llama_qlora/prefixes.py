"""Find prompts with a shared prefix, such as questions on one passage, to read it only once."""

import inspect
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

Row = Sequence[int]
# Model types whose forward ignores the attention mask, at least when summing over tokens.
UNMASKED = ("rwkv", "xlstm", "recurrent_gemma", "deepseek_v4", "xlm")
LENGTHENED = ("longrope", "dynamic")  # rotary scaling that depends on a row's length
WHOLE = ("full_attention", "global")  # attention to all tokens; the latter is GPT-Neo's name


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that share their first `length` tokens; `members` are their indices."""

    length: int
    members: tuple[int, ...]


def group_by_prefix(rows: Sequence[Row]) -> list[Group]:
    """Group rows that share at least half of their tokens as a prefix.

    The prefix never includes a row's last token, which is read separately.
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


def shared_tokens(row: Row, other: Row) -> int:
    """Return how many tokens two rows have in common at their start."""
    pairs = enumerate(zip(row, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(row), len(other)))


def can_share(model: Any) -> bool:
    """Whether a prefix can be read once for many rows, with padding after it.

    Every layer must keep the keys and values of all tokens, and the distance of two tokens must
    follow from the mask rather than from their columns.
    """
    config = model.config.get_text_config()
    layers = getattr(config, "layer_types", None) or getattr(config, "attention_layers", None) or ()
    keeps_all = all(layer in WHOLE for layer in layers)
    window = getattr(config, "sliding_window", None)
    # Activated LoRA starts after certain tokens, which it looks for in each input.
    activated = any(getattr(a, "alora_invocation_tokens", None) for a in _adapters(model))
    return (
        window is None
        and "past_key_values" in _arguments(model)
        and keeps_all
        and not activated
        # It accepts positions, or computes them from the mask (like Bloom, unlike MPT).
        and (model.config.model_type == "bloom" or takes_positions(model))
        and takes_padding(model)
    )


def takes_padding(model: Any) -> bool:
    """Whether a mask can hide the padding before a row.

    Not if an adapter puts its own tokens before the padding (prompt and prefix tuning), which would
    increase their distance, nor if the model carries state over all it reads, or counts positions
    from the padding.
    """
    learns_prompt = any(adapter.is_prompt_learning for adapter in _adapters(model))
    is_unmasked = getattr(model.config, "model_type", "") in UNMASKED or counts_padding(model)
    return not learns_prompt and not is_unmasked


def counts_padding(model: Any) -> bool:
    """Whether positions include padding: in models like BART, which accept no positions.

    Also in models like RoBERTa, whose first position follows that of the padding token.
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
    adapters: Mapping[str, Any] = getattr(model, "peft_config", {})
    return adapters.values()


def steady_length(config: Any) -> float:
    """Return the length up to which a row's positions do not depend on the rest of its batch.

    Beyond it, longrope (Phi 3 and 4) and dynamic scaling rotate all rows for the longest one.
    """
    config = config.get_text_config()
    ropes = getattr(config, "rope_parameters", None) or {}
    configs = [ropes, *(rope for rope in ropes.values() if isinstance(rope, Mapping))]
    return min(
        (
            rope.get("original_max_position_embeddings") or config.max_position_embeddings
            for rope in configs
            if rope.get("rope_type") in LENGTHENED
        ),
        default=math.inf,
    )


def forget_lengths(model: Any) -> None:
    """Make dynamically scaled positions forget the longest row so far."""
    for module in model.modules():
        for name in vars(module):  # one per layer type, if these differ
            if name.endswith("max_seq_len_cached"):
                setattr(module, name, 0)


def takes_positions(model: Any) -> bool:
    """Whether a model accepts the positions of tokens."""
    return "position_ids" in _arguments(model)


def _arguments(model: Any) -> Collection[str]:
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return _arguments_of(type(base).forward)


@cache
def _arguments_of(forward: Callable[..., object]) -> Collection[str]:
    return inspect.signature(forward).parameters
