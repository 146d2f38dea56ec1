"""The tiny Llama as quantised checkpoints."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BLOCK = 16  # rows and columns that share a scale
LARGEST = 448  # of float8_e4m3fn


def save_fp8(whole: Path, folder: Path) -> Path:
    """Linear layers in 8-bit floats with a scale per block, like DeepSeek-V3."""
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(whole, folder, dirs_exist_ok=True)
    weights: dict[str, Any] = {}
    for name, values in load_file(whole / "model.safetensors").items():
        if not name.endswith("proj.weight"):
            weights[name] = values.to(torch.bfloat16)
            continue
        blocks = values.reshape(values.shape[0] // BLOCK, BLOCK, values.shape[1] // BLOCK, BLOCK)
        scales = blocks.abs().amax((1, 3)) / LARGEST
        codes = (blocks / scales[:, None, :, None]).reshape(values.shape)
        weights[name] = codes.to(torch.float8_e4m3fn)
        weights[f"{name}_scale_inv"] = scales
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    settings = {
        "quant_method": "fp8",
        "activation_scheme": "dynamic",
        "weight_block_size": [BLOCK, BLOCK],
    }
    change_json(folder / "config.json", quantization_config=settings, dtype="bfloat16")
    return folder


def save_bitnet(whole: Path, folder: Path, linear_class: str) -> Path:
    """Linear layers of -1, 0 and 1 with a scale each, whose parts are buffers."""
    from transformers.integrations.bitnet import pack_weights

    shutil.copytree(whole, folder, dirs_exist_ok=True)
    with rewritten(folder / "model.safetensors") as weights:
        for name in [name for name in weights if name.endswith("proj.weight")]:
            scale = weights[name].abs().mean()
            weights[name] = pack_weights((weights[name] / scale).round().clamp(-1, 1))
            weights[f"{name}_scale"] = (1 / scale if linear_class == "bitlinear" else scale)[None]
    settings = {"quant_method": "bitnet", "linear_class": linear_class}
    whole_layers = {"modules_to_not_convert": ["lm_head"]}
    change_json(folder / "config.json", quantization_config={**settings, **whole_layers})
    return folder


def save_bitsandbytes(whole: Path, folder: Path, **settings: Any) -> Path:
    """By bitsandbytes, the rest in float16, like many on the hub."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    model = AutoModelForCausalLM.from_pretrained(
        whole, dtype=torch.float16, quantization_config=BitsAndBytesConfig(**settings)
    )
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(whole).save_pretrained(folder)
    return folder


@contextmanager
def rewritten(file: Path) -> Iterator[dict[str, Any]]:
    """Yield a safetensors file's weights, and write them back with any changes."""
    from safetensors.torch import load_file, save_file

    weights = load_file(file)
    yield weights
    save_file(weights, file, metadata={"format": "pt"})


def change_json(path: Path, **values: Any) -> None:
    found = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**found, **values}), encoding="utf-8")
