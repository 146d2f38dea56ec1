"""Attention of prompts on a CPU, a block of queries at a time, as two matrix products.

PyTorch's own takes 1.4 to 1.9 times as long there (avx512_bf16, 150 to 450 tokens), and knows no
queries of the last tokens alone, which follow a beginning that was read before.
"""

from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from aqa.backends.llama_qlora.prefixes import can_share
from aqa.backends.local.devices import local_device
from aqa.config.backend_options import LlamaQloraOptions

NAME = "aqa_blocks"  # of it among transformers' implementations
BLOCK = 64  # queries at most,
LEAST = 8  # and at least,
SCORES = 1 << 22  # for so many scores at a time


def attend_in_blocks(model: Any, options: LlamaQloraOptions) -> None:
    """Let a model that is on the CPU, and has PyTorch's attention by transformers' way, take it."""
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


def reads_on(model: Any) -> bool:
    """Whether tokens without a mask may follow others that were read before."""
    return bool(model.config._attn_implementation == NAME)


def _mask(*sizes: Any, **words: Any) -> torch.Tensor | None:
    """None where there is no padding, and each token sees all before it."""
    whole = words.get("attention_mask") is None and words.get("local_size") is None
    if whole and words.get("allow_is_causal_skip", True):
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
    """That of (rows, heads, tokens, width), as (rows, tokens, heads, width)."""
    causal = words.get("is_causal")
    if causal is None:
        causal = getattr(module, "is_causal", True)
    special = words.get("softcap") is not None or words.get("position_bias") is not None
    if query.shape[2] == 1 or attention_mask is not None or not causal or special:
        found: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **words
        )
        return found
    scale = words.get("scaling") or query.shape[-1] ** -0.5
    return causal_attention(query, key, value, scale), None


def causal_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
) -> torch.Tensor:
    """Attention of the last tokens to all; scores and their softmax are float32."""
    rows, heads, tokens, width = query.shape
    groups, columns = key.shape[1:3]
    each, before = heads // groups, columns - tokens
    # Tokens before the heads that share keys: a block of them is one matrix.
    queries = (query.float() * scale).view(rows, groups, each, tokens, width).transpose(2, 3)
    queries = queries.reshape(rows * groups, tokens * each, width)
    keys = key.float().reshape(rows * groups, columns, width).transpose(1, 2)
    values = value.reshape(rows * groups, columns, -1)
    block = min(max(SCORES // (rows * heads * columns), LEAST), BLOCK, tokens)
    future = torch.ones(block, block, dtype=torch.bool).triu(1)[:, None]
    found = value.new_empty(rows, tokens, groups, each, values.shape[-1])
    for start in range(0, tokens, block):
        stop = min(start + block, tokens)
        seen, size = before + stop, stop - start
        scores = torch.bmm(queries[:, start * each : stop * each], keys[..., :seen])
        own = scores.view(rows * groups, size, each, seen)[..., before + start :]
        own.masked_fill_(future[:size, :, :size], float("-inf"))
        weights = scores.softmax(-1).to(value.dtype)
        mixed = torch.bmm(weights, values[:, :seen])
        found[:, start:stop] = mixed.view(rows, groups, size, each, -1).transpose(1, 2)
    return found.flatten(2, 3)
