"""Checkpoints that are already quantised are used or refused, never read as raw codes."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft.tuners.lora import LoraLayer
from tiny_llama import Training, make_prompts, make_reader
from tiny_quantized import change_json, rewritten, save_bitnet, save_bitsandbytes, save_fp8

from aqa.backends.llama_qlora.fresh_adapters import add_adapter
from aqa.backends.llama_qlora.fused_lora import FusedLora
from aqa.backends.llama_qlora.models import load_model
from aqa.backends.local.loading import own_quantization
from aqa.errors import ModelError
from aqa.library_output import quiet
from aqa.records import Template

AS_IS = "backend.quantization=none"
FOUR_BIT = ("backend.quantization=4bit", "backend.compute_dtype=bfloat16", "backend.lora.dropout=0")


@pytest.fixture(scope="module")
def fp8(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_fp8(tiny, tmp_path_factory.mktemp("fp8"))


@pytest.fixture(scope="module")
def four_bits(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("four_bits")
    return save_bitsandbytes(tiny, folder, load_in_4bit=True, bnb_4bit_quant_type="nf4")


@pytest.fixture(scope="module")
def eight_bits(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bitsandbytes(tiny, tmp_path_factory.mktemp("eight_bits"), load_in_8bit=True)


def query_weights(model: str | Path, *settings: str) -> Any:
    with make_reader(model, *settings) as reader:
        return reader.model.get_submodule("model.layers.0.self_attn.q_proj").weight.float()


def test_fp8_is_read_with_its_scales(tiny: Path, fp8: Path) -> None:
    whole, read = query_weights(tiny), query_weights(fp8)
    assert (whole - read).abs().mean() < 0.05 * whole.abs().mean()


@pytest.mark.slow
@pytest.mark.parametrize("settings", [[AS_IS], ["backend.quantization=4bit"]])
def test_4_bits_of_a_checkpoint_are_kept_whatever_is_asked_for(
    tiny: Path, four_bits: Path, settings: list[str]
) -> None:
    own = query_weights(tiny, "backend.quantization=4bit")
    read = query_weights(four_bits, *settings)
    assert (own - read).abs().mean() < 0.02 * own.abs().mean()  # one has quantised constants


def test_8_bits_of_a_checkpoint_are_kept(eight_bits: Path) -> None:
    with make_reader(eight_bits, AS_IS) as reader:
        layer = reader.model.get_submodule("model.layers.0.self_attn.q_proj")
    assert type(layer).__name__ == "Linear8bitLt"


def test_other_quantised_weights_are_not_put_into_4_bits(fp8: Path, eight_bits: Path) -> None:
    for folder, kind in ((fp8, "fp8"), (eight_bits, "bitsandbytes 8bit")):
        with pytest.raises(ModelError, match=rf"already quantised \({kind}\).*quantization=none"):
            make_reader(folder, "backend.quantization=4bit").check()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fp8", "four_bits", "eight_bits"])
def test_float16_checkpoints_answer_learn_and_merge(
    request: pytest.FixtureRequest, template: Template, tmp_path: Path, name: str
) -> None:
    settings = [AS_IS, "training.max_steps=2", "training.eval_strategy='no'"]
    reader = make_reader(request.getfixturevalue(name), *settings)
    training = Training(reader, template, tmp_path)
    training.run()
    assert training.losses[-1] < training.losses[0]
    reader = make_reader(tmp_path, *settings)
    merged = reader.merge(tmp_path, make_prompts(reader, template, with_target=False))
    with make_reader(merged.folder, AS_IS) as whole:  # read strictly
        assert not getattr(whole.model, "is_quantized", False)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (None, r"14 of the weights in its files have no place"),
        ({"quant_method": "modelopt"}, r"transformers can't read .*\(modelopt\).*vLLM"),
        ({"quant_method": "higgs"}, r"can't read .*\(higgs: .*vLLM"),
        ({"bits": 4}, r"transformers can't read .*\(no quant_method in config.json\)"),
    ],
)
def test_codes_that_nobody_explains_are_not_read_as_weights(
    settings: dict[str, object] | None, said: str, fp8: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "silent"
    shutil.copytree(fp8, folder)
    change_json(folder / "config.json", quantization_config=settings)
    with pytest.raises(ModelError, match=said):
        make_reader(folder, AS_IS).__enter__()


NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU reads them")


@pytest.mark.parametrize("names", [("proj.weight",), ("lm_head.weight",)])
@pytest.mark.parametrize("kind", [torch.int8, torch.float8_e4m3fn, torch.int32])
def test_codes_without_scales_are_not_read_as_weights(
    names: tuple[str, ...], kind: torch.dtype, tiny: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny, tmp_path / "bare")
    with rewritten(folder / "model.safetensors") as weights:
        coded = [name for name in weights if name.endswith(names)]
        weights |= {name: (weights[name] * 100).to(kind) for name in coded}
    with pytest.raises(ModelError, match=rf"{len(coded)} of the weights .* are quantised"):
        make_reader(folder, AS_IS).__enter__()


@pytest.mark.parametrize(
    ("name", "left_out", "count"),
    [("fp8", "layers.1.mlp.up_proj.weight_scale_inv", 1), ("four_bits", ".weight.", 14)],
)
@NO_GPU
def test_a_quantised_checkpoint_without_its_scales_is_refused(
    name: str, left_out: str, count: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = shutil.copytree(request.getfixturevalue(name), tmp_path / "bare")
    with rewritten(folder / "model.safetensors") as weights:
        for key in [key for key in weights if left_out in key]:
            del weights[key]
    with pytest.raises(ModelError, match=f"{count} of the weights .* but their scales are missing"):
        make_reader(folder, AS_IS).__enter__()


NESTED = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}


@pytest.mark.parametrize(
    ("settings", "left_out", "said"),
    [
        (NESTED, "nested_absmax", "1 of the weights .* but their scales are missing"),
        (NESTED, "nested_quant_map", "can't be restored"),
        (NESTED, "weight.absmax", "can't be restored"),
        ({"load_in_8bit": True}, "SCB", "can't be restored"),
    ],
)
def test_one_layer_without_a_part_of_its_scales_is_refused(
    settings: dict[str, Any], left_out: str, said: str, tiny: Path, tmp_path: Path
) -> None:
    """transformers took scales that are quantised themselves for numbers."""
    folder = save_bitsandbytes(tiny, tmp_path, **settings)
    with rewritten(folder / "model.safetensors") as weights:
        del weights[next(name for name in weights if name.endswith(left_out))]
    with pytest.raises(ModelError, match=said):
        make_reader(folder, AS_IS).__enter__()


@pytest.mark.slow  # its layers are compiled
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is dep:DeprecationWarning")
@pytest.mark.parametrize("linear_class", ["bitlinear", "autobitlinear"])
@pytest.mark.parametrize("left_out", ["q_proj.weight_scale", "q_proj.weight"])
def test_what_a_checkpoint_lacks_may_be_a_buffer(
    linear_class: str, left_out: str, tiny: Path, tmp_path: Path
) -> None:
    """transformers would leave uninitialised memory in its place."""
    folder = save_bitnet(tiny, tmp_path / "bitnet", linear_class)
    with make_reader(folder, AS_IS) as reader:
        layer = reader.model.get_submodule("model.layers.0.self_attn.q_proj")
    size = query_weights(tiny).abs().mean().item()
    expected = 1 / size if linear_class == "bitlinear" else size
    assert layer.weight_scale.item() == pytest.approx(expected, rel=0.01)
    with rewritten(folder / "model.safetensors") as weights:
        for name in [name for name in weights if name.endswith(left_out)]:
            del weights[name]
    with pytest.raises(ModelError, match=r"2 of this model's weights are not in its files"):
        make_reader(folder, AS_IS).__enter__()


@pytest.mark.parametrize("order", [0, 2, None])
def test_8_bits_are_read_in_the_order_in_which_they_are(
    order: int | None, eight_bits: Path, tmp_path: Path
) -> None:
    """By rows, which are 0, also where no order is named; earlier bitsandbytes had others."""
    folder = shutil.copytree(eight_bits, tmp_path / "ordered")
    with rewritten(folder / "model.safetensors") as weights:
        for name in [name for name in weights if name.endswith("weight_format")]:
            if order is None:
                del weights[name]
            else:
                weights[name].fill_(order)
    if order:
        with pytest.raises(ModelError, match=r"14 of the weights .* does not know their order"):
            make_reader(folder, AS_IS).__enter__()
    else:
        assert torch.equal(query_weights(folder, AS_IS), query_weights(eight_bits, AS_IS))


def test_the_quantisation_of_an_inner_model_counts(tiny: Path) -> None:
    config = make_reader(tiny)._model_config
    config.get_text_config = lambda **_: SimpleNamespace(quantization_config={"quant_method": "?"})
    with pytest.raises(ModelError, match=r"weights here \(\?\)"):
        own_quantization(config)


def test_states_that_autocast_left_in_float32_are_taken(tiny: Path) -> None:
    """GPUs evaluate some norms in float32 while training, which then reaches the 4-bit layers."""
    reader = make_reader(tiny, *FOUR_BIT, "backend.lora.init=gaussian")
    model = load_model(reader.files, reader.options, training=True)
    with quiet():  # peft's hints
        adapted = add_adapter(model, reader.options.lora, "base")
    layer = next(each for each in adapted.modules() if isinstance(each, LoraLayer))
    torch.nn.init.normal_(layer.lora_B["default"].weight)
    states = torch.randn(3, layer.in_features)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        expected = layer(states)
        assert expected.dtype == torch.float32
        found = FusedLora(layer, "default", torch.bfloat16)(states).float()
    torch.testing.assert_close(found, expected, rtol=0.03, atol=0.03 * expected.abs().max().item())


def test_a_gpu_without_room_for_16_bits_names_another_way(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    reader = make_reader(tiny, *FOUR_BIT)
    monkeypatch.setattr("transformers.PreTrainedModel.dequantize", fail)
    with pytest.raises(ModelError, match=r"no room .* main memory \(CUDA_VISIBLE_DEVICES= "):
        load_model(reader.files, reader.options, training=False, dequantizes=True)
