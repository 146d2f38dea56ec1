"""Attention for prompts on a CPU: a block of queries at a time, as two matrix products.

PyTorch's takes 1.4 to 1.9 times as long there (avx512_bf16, 150 to 450 tokens), and does not
support queries for the last tokens only, which continue a cached beginning.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MethodType
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from aqa.backends.llama_qlora.prefixes import can_share
from aqa.backends.local.devices import local_device, without_gradients
from aqa.config.backend_options import LlamaQloraOptions

NAME = "aqa_blocks"  # its name in transformers
BLOCK = 64  # the most queries in a block
LEAST = 8  # the fewest
SCORES = 1 << 22  # scores computed at once, which sets the size between the two


@dataclass(frozen=True, slots=True)
class Apart:
    """Rows of different lengths, concatenated without padding, that don't attend to each other.

    `indices` (rows, longest) are the indices of each row's tokens, the last one repeated after the
    end of a row; `inside` is the mask of real ones. `used` records the modules that attended.
    """

    indices: torch.Tensor
    inside: torch.Tensor
    used: list[torch.nn.Module] = field(default_factory=list)

    @classmethod
    def of(cls, lengths: Sequence[int]) -> "Apart":
        """Make it from the rows' lengths."""
        sizes = torch.tensor(lengths)[:, None]
        steps = torch.arange(max(lengths))
        return cls(sizes.cumsum(0) - sizes + torch.minimum(steps, sizes - 1), steps < sizes)

    @property
    def positions(self) -> torch.Tensor:
        """Each token's position in its row, of shape (1, tokens)."""
        return torch.arange(self.inside.shape[1]).expand_as(self.inside)[self.inside][None]

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make attention separate these rows; only the logits after their last tokens are valid."""
        token = _APART.set(self)
        try:
            yield
        finally:
            _APART.reset(token)

    def columns(self, states: torch.Tensor) -> torch.Tensor:
        """Split (1, heads, tokens, width) into padded rows, each after the shared beginning."""
        before = states.shape[2] - int(self.inside.sum())
        shared = torch.arange(before).expand(len(self.indices), -1)
        columns = torch.cat([shared, self.indices + before], dim=1)
        rows = states[0].index_select(1, columns.flatten())
        return rows.view(len(rows), *columns.shape, -1).transpose(0, 1)


class _OwnWayError(Exception):
    """A layer has its own kind of attention."""


_APART: ContextVar[Apart | None] = ContextVar("apart", default=None)


def attend_in_blocks(model: Any, options: LlamaQloraOptions) -> None:
    """Use this attention in a model that runs on the CPU with transformers' standard SDPA."""
    if (
        options.attn_implementation == "auto"
        and options.device_map is None
        and local_device() == "cpu"
        and model.config._attn_implementation == "sdpa"
        and model._supports_attention_backend
        and can_share(model)
    ):
        AttentionInterface.register(NAME, _attention)
        AttentionMaskInterface.register(NAME, _mask)
        model.set_attn_implementation(NAME)
        used = _modules_used(model)
        if not used:
            model.set_attn_implementation("sdpa")
        elif used.count(used[-1]) == 1:
            _map_last_tokens(used[-1])


def _modules_used(model: Any) -> Sequence[torch.nn.Module]:
    """Return the attention and MLP modules that read two short rows, in order.

    Empty if a layer has its own kind of attention.
    """
    apart = Apart.of([1, 2])
    ids = torch.ones(1, 3, dtype=torch.long)
    try:
        with ExitStack() as stack:
            for name, module in model.named_modules():
                if name.endswith(".mlp"):
                    hook = module.register_forward_pre_hook(lambda m, _: apart.used.append(m))
                    stack.callback(hook.remove)
            stack.enter_context(apart.active())
            stack.enter_context(without_gradients())
            model(input_ids=ids, position_ids=apart.positions, use_cache=False)
    except _OwnWayError:
        return ()
    return apart.used


def _map_last_tokens(layer: Any) -> None:
    """Let the last MLP map only each row's last token, since no later layer reads the others."""
    if not hasattr(layer, "down_proj"):  # an attention layer or a mixture of experts
        return
    original: Callable[..., Any] = type(layer).forward

    def forward(self: Any, states: torch.Tensor, *others: Any, **named: Any) -> Any:
        apart = _APART.get()
        if apart is None or others or named:
            return original(self, states, *others, **named)
        last = apart.indices[:, -1]
        mapped = original(self, states[:, last])
        if not isinstance(mapped, torch.Tensor):
            return original(self, states)
        result = torch.zeros_like(states)
        result[:, last] = mapped
        return result

    # A method, which is bound to the copy if peft copies the layer (modules_to_save).
    layer.forward = MethodType(forward, layer)


def can_continue(model: Any) -> bool:
    """Whether the model can continue from cached tokens without a mask."""
    return bool(model.config._attn_implementation == NAME)


def _mask(*sizes: Any, **words: Any) -> torch.Tensor | None:
    """Return None if there is no padding and each token attends to all before it."""
    if _APART.get() is not None:
        return None
    is_plain = words.get("attention_mask") is None and words.get("local_size") is None
    if is_plain and words.get("allow_is_causal_skip", True):
        return None
    mask: torch.Tensor | None = sdpa_mask(*sizes, **words)
    return mask


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **words: Any,
) -> tuple[torch.Tensor, None]:
    """Map (rows, heads, tokens, width) to (rows, tokens, heads, width)."""
    apart, causal = _APART.get(), words.get("is_causal")
    if causal is None:
        causal = getattr(module, "is_causal", True)
    special = words.get("softcap") is not None or words.get("position_bias") is not None
    is_plain = attention_mask is None and causal and not special
    if apart is not None:
        if not is_plain:
            raise _OwnWayError
        apart.used.append(module)
        query, key, value = map(apart.columns, (query, key, value))
    elif not is_plain or query.shape[2] == 1:
        attended: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **words
        )
        return attended
    scale = words.get("scaling") or query.shape[-1] ** -0.5
    mixed = causal_attention(query, key, value, scale)
    return mixed if apart is None else mixed[apart.inside][None], None


def causal_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
) -> torch.Tensor:
    """Compute the attention of the last tokens to all; scores and softmax are in float32."""
    rows, heads, tokens, width = query.shape
    groups, columns = key.shape[1:3]
    sharing, before = heads // groups, columns - tokens
    # Tokens come before the heads that share keys, so that a block of tokens is one matrix.
    queries = (query.float() * scale).view(rows, groups, sharing, tokens, width).transpose(2, 3)
    queries = queries.reshape(rows * groups, tokens * sharing, width)
    keys = key.float().reshape(rows * groups, columns, width).transpose(1, 2)
    values = value.reshape(rows * groups, columns, -1)
    block = min(max(SCORES // (rows * heads * columns), LEAST), BLOCK, tokens)
    future = torch.full((block, block), float("-inf")).triu(1)[:, None]
    attended = value.new_empty(rows, tokens, groups, sharing, values.shape[-1])
    for start in range(0, tokens, block):
        stop = min(start + block, tokens)
        visible, size = before + stop, stop - start
        scores = torch.bmm(queries[:, start * sharing : stop * sharing], keys[..., :visible])
        recent = scores.view(rows * groups, size, sharing, visible)[..., before + start :]
        recent += future[:size, :, :size]
        weights = scores.softmax(-1).to(value.dtype)
        mixed = torch.bmm(weights, values[:, :visible])
        attended[:, start:stop] = mixed.view(rows, groups, size, sharing, -1).transpose(1, 2)
    return attended.flatten(2, 3)
