"""How many tokens may be at work at once: by the memory that is free and the model's shape."""

from pathlib import Path
from typing import Any

MOST = {"cpu": 32_768, "cuda": 262_144}  # tokens of keys and values; more made no answer faster
READ = {"cpu": 2048, "cuda": 16_384}  # that are read at once; a GPU is busy with fewer
LEAST = 512  # tokens to begin with, however little is free
SHARE = 4  # of free memory: one part in so many for keys and values, as much for what is read
_MEMORY = Path("/proc/meminfo")


def free_bytes(device: str) -> int | None:
    """Memory that is free on a kind of device; None where nobody can tell.

    What a training left in PyTorch's own store is free to be used again.
    """
    import torch

    if device == "cuda":
        stored = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return int(torch.cuda.mem_get_info()[0]) + stored
    if device == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    return _of_machine("MemAvailable")


def free_share() -> float | None:
    """The part of this machine's memory that is free; None where nobody can tell."""
    free, whole = _of_machine("MemAvailable"), _of_machine("MemTotal")
    return free / whole if free and whole else None


def _of_machine(name: str) -> int | None:
    if not _MEMORY.is_file():
        return None
    lines = dict(line.split(":", 1) for line in _MEMORY.read_text().splitlines())
    return int(lines[name].split()[0]) * 1024


def kept_bytes(model_config: Any, itemsize: int) -> int:
    """What a token takes until its answer has ended.

    Of a causal model its keys and values in each layer; of an encoder-decoder those that its
    decoder makes of each token that was read.
    """
    sizes = model_config.get_text_config(decoder=True)
    layers = getattr(sizes, "num_decoder_layers", None) or sizes.num_hidden_layers
    all_heads = _largest(sizes, "num_attention_heads") or 1  # models without attention
    heads = all_heads if model_config.is_encoder_decoder else 0
    heads = heads or _largest(sizes, "num_key_value_heads") or all_heads
    width = _largest(sizes, "d_kv", "head_dim") or sizes.hidden_size // all_heads
    return int(2 * layers * heads * width * itemsize)


def read_bytes(model_config: Any, itemsize: int) -> int:
    """What a token takes while it is read: a layer's states, and those of its inner width."""
    sizes = model_config.get_text_config()
    width = _largest(sizes, "intermediate_size", "d_ff", "ffn_dim") or 4 * sizes.hidden_size
    return int((3 * width + 8 * sizes.hidden_size) * itemsize)


def _largest(config: Any, *names: str) -> int:
    """The largest of a model's sizes by these names; 0 where it has none.

    Some have one for each layer: in a list (Gemma 3n), or in the layers' own configs (Gemma 4).
    """
    found = [
        getattr(layer, name, None) or 0
        for layer in getattr(config, "per_layer_config", None) or [config]
        for name in names
    ]
    return max(max(size) if isinstance(size, list | tuple) else size for size in found)


def tokens_within(most: int, bytes_each: int, free: int | None) -> int:
    """As many tokens as a part of what is free has room for, at most `most`."""
    if free is None:
        return most
    return max(min(most, free // SHARE // bytes_each), LEAST)
