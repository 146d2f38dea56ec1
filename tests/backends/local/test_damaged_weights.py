"""Weights that are no numbers are refused before the first batch, by their names."""

import shutil
from math import inf, nan
from pathlib import Path

import pytest
import tiny_llama
from tiny_llama import Training
from tiny_quantized import rewritten
from tiny_t5 import make_reader as make_t5_reader

from aqa.errors import ModelError
from aqa.records import Template

QUERY = "model.layers.0.self_attn.q_proj"
T5_QUERY = "encoder.block.0.layer.0.SelfAttention.q"


def damaged(model: Path, folder: Path, name: str, value: float = nan) -> Path:
    """A copy of a model or adapter, one of whose values is no number."""
    shutil.copytree(model, folder)
    with rewritten(next(folder.glob("*.safetensors"))) as weights:
        weights[f"{name}.weight"][0, 0] = value
    return folder


@pytest.mark.parametrize("value", [nan, inf])
@pytest.mark.parametrize("bits", ["none", "'4bit'"])
def test_a_model(value: float, bits: str, tiny: Path, tmp_path: Path) -> None:
    """PyTorch's attention made zeros of a head that was NaN, and the model answered."""
    model = damaged(tiny, tmp_path / "model", QUERY, value)
    with pytest.raises(ModelError, match=rf"1 of the weights .*\({QUERY}.weight\); restore"):
        tiny_llama.make_reader(model, f"backend.quantization={bits}").__enter__()


@pytest.mark.parametrize("engine", ["transformers", "ctranslate2"])
def test_an_encoder_decoder(engine: str, tiny_t5: Path, tmp_path: Path) -> None:
    """CTranslate2's 8 bits made numbers of them, and it answered."""
    model = damaged(tiny_t5, tmp_path / "model", T5_QUERY)
    with pytest.raises(ModelError, match=rf"1 of the weights .*\({T5_QUERY}"):
        make_t5_reader(model, f"backend.engine={engine}").__enter__()


def test_an_adapter(tiny: Path, template: Template, tmp_path: Path) -> None:
    settings = ("training.max_steps=1", "training.eval_strategy='no'")
    Training(tiny_llama.make_reader(tiny, *settings), template, tmp_path, with_dev=False).run()
    name = f"base_model.model.{QUERY}.lora_A"
    adapter = damaged(tmp_path / "adapter", tmp_path / "copy", name)
    with pytest.raises(ModelError, match=r"copy: 1 of the weights .* NaN or infinite \(base_mod"):
        tiny_llama.make_reader(adapter).__enter__()
