"""The first batch size is what free memory and the model's shape allow."""

import os
from typing import Any

import pytest
import torch
from transformers import AutoConfig

from aqa.backends.local import devices
from aqa.backends.local.memory import free_bytes, kept_bytes, read_bytes, tokens_within

LLAMA_8B = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
}
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "layer_types": ["sliding_attention", "full_attention"],
}
T5_3B = {"d_model": 1024, "d_ff": 16384, "d_kv": 128, "num_heads": 32, "num_layers": 24}


@pytest.mark.parametrize(
    ("kind", "sizes", "expected"),
    [
        ("llama", LLAMA_8B, 131_072),
        ("t5", T5_3B, 393_216),  # 103 GB for 262,144 tokens
        ("bloom", {"hidden_size": 64, "n_layer": 2, "n_head": 4}, 2 * 2 * 64 * 2),
        ("bart", {"d_model": 64, "decoder_layers": 2, "encoder_layers": 2}, 2 * 2 * 64 * 2),
        ("rwkv", {"hidden_size": 32, "num_hidden_layers": 2}, 2 * 2 * 32 * 2),
        ("gemma3n_text", {**SMALL, "intermediate_size": [64, 128]}, 2 * 2 * 2 * 16 * 2),
        ("gemma4_text", {**SMALL, "global_head_dim": 32}, 2 * 2 * 2 * 32 * 2),  # by layers
    ],
)
def test_a_token_keeps_keys_and_values_in_each_layer(
    kind: str, sizes: dict[str, int], expected: int
) -> None:
    config = AutoConfig.for_model(kind, **sizes)
    assert kept_bytes(config, 2) == expected
    assert kept_bytes(config, 4) == 2 * expected
    assert read_bytes(config, 2) > 0


@pytest.mark.parametrize(
    ("most", "each", "free", "expected"),
    [
        (262_144, 393_216, 74 * 10**9, 47_047),
        (262_144, 131_072, 140 * 10**9, 262_144),
        (32_768, 131_072, 100, 512),
    ],
)
def test_a_part_of_what_is_free(most: int, each: int, free: int, expected: int) -> None:
    assert tokens_within(most, each, free) == expected


def test_what_is_free_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (5, 99), raising=False)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 80)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 50)
    assert free_bytes("cuda") == 35, "what a training has left is free, too"
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 99)
    monkeypatch.setattr(torch.mps, "current_allocated_memory", lambda: 50)
    assert free_bytes("mps") == 49
    assert free_bytes("cpu") > 0


@pytest.mark.parametrize(
    ("cuda", "built", "told", "expected"),
    [
        (True, "13.0", {}, "expandable_segments:True"),
        (True, "13.0", {"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:64"}, None),
        (True, "13.0", {"PYTORCH_ALLOC_CONF": "backend:native"}, "backend:native"),
        (True, None, {}, None),  # AMD's GPUs
        (False, "13.0", {}, None),
    ],
)
def test_segments_grow_on_cuda_unless_told(
    cuda: bool,
    built: str | None,
    told: dict[str, str],
    expected: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        monkeypatch.setenv(name, "")  # so that later changes are undone
        monkeypatch.delenv(name)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (5, 9), raising=False)
    monkeypatch.setattr(torch, "zeros", lambda *sizes, **_: None)
    monkeypatch.setattr(torch.version, "cuda", built)
    monkeypatch.setattr(devices.sys, "platform", "linux")
    devices.ready_device()
    assert os.environ.get("PYTORCH_ALLOC_CONF") == expected


@pytest.mark.parametrize(
    ("asked", "cuda", "installed", "expected"),
    [
        ("auto", True, True, True),
        ("auto", True, False, False),
        ("auto", False, True, False),
        (False, True, True, False),
        (True, True, True, True),
        (True, True, False, "pip install liger-kernel"),
        (True, False, True, "NVIDIA GPU"),
    ],
)
def test_liger_can_be_switched_off(
    asked: Any, cuda: bool, installed: bool, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aqa.backends.local import training_arguments
    from aqa.config.options import TrainingOptions
    from aqa.errors import ConfigError

    found = object() if installed else None
    monkeypatch.setattr(training_arguments, "find_spec", lambda name: found)
    options = TrainingOptions(use_liger_kernel=asked)
    if isinstance(expected, str):
        with pytest.raises(ConfigError, match=expected):
            training_arguments.uses_liger(options, cuda)
    else:
        assert training_arguments.uses_liger(options, cuda) == expected
