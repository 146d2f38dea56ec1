"""Models larger than a card: layers are on several devices, in memory or on disk."""

from pathlib import Path
from typing import Any

import pytest
import tiny_llama
import tiny_t5

from aqa.backends.local import loading
from aqa.backends.local.loading import placement
from aqa.config.backend_options import LlamaQloraOptions, T5Options
from aqa.config.load import build_config
from aqa.errors import ConfigError, ModelError
from aqa.records import Template


def spread(model: Path) -> tuple[str, str]:
    """The options that leave about a third of a model on disk."""
    size = (model / "model.safetensors").stat().st_size
    return "backend.device_map=auto", f"backend.max_memory={{cpu: {size * 2 // 3000}KB}}"


def answered(reader: Any, prompts: Any) -> tuple[list[tuple[str, str | None]], bool]:
    """The answers, and whether weights were offloaded."""
    with reader:
        found = sorted((p.id, answer.raw) for p, answer in reader.generate(prompts(reader)))
        return found, any(weights.is_meta for weights in reader.model.parameters())


@pytest.mark.parametrize("beams", [1, 2])
def test_a_causal_model_answers_from_the_disk_as_from_memory(
    beams: int, tiny: Path, template: Template
) -> None:
    settings = (
        "backend.quantization=none",
        "generation.max_new_tokens=5",
        f"generation.num_beams={beams}",
    )

    def prompts(reader: Any) -> Any:
        return tiny_llama.make_prompts(reader, template, with_target=False)

    expected = answered(tiny_llama.make_reader(tiny, *settings), prompts)
    found = answered(tiny_llama.make_reader(tiny, *settings, *spread(tiny)), prompts)
    assert len({text for _, text in found[0]}) > 1
    assert (expected[1], found[1]) == (False, True)
    assert found[0] == expected[0]


def test_an_adapter_needs_its_base_in_memory(
    tiny: Path, template: Template, tmp_path: Path
) -> None:
    settings = ("training.max_steps=1", "backend.quantization=none")
    reader = tiny_llama.make_reader(tiny, *settings)
    tiny_llama.Training(reader, template, tmp_path, with_dev=False).run()
    reader = tiny_llama.make_reader(tmp_path, "backend.quantization=none", *spread(tiny))
    with pytest.raises(ModelError, match=r"peft can't keep part of it on disk; .*merge the two"):
        reader.__enter__()


def test_an_encoder_decoder_answers_from_the_disk_as_from_memory(trained_t5: Path) -> None:
    def prompts(reader: Any) -> Any:
        return tiny_t5.make_prompts(reader, with_target=False)

    expected = answered(tiny_t5.make_reader(trained_t5), prompts)
    found = answered(tiny_t5.make_reader(trained_t5, *spread(trained_t5 / "model")), prompts)
    assert len({text for _, text in found[0]}) > 1
    assert (expected[1], found[1]) == (False, True)
    assert found[0] == expected[0]


def test_gpus_have_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "weights_device", lambda training: "cuda:0")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    options = {"model": "m", "device_map": "auto", "max_memory": {0: "20GiB", "cpu": "60GiB"}}
    spread = placement(LlamaQloraOptions.model_validate(options), training=False)
    assert spread["device_map"] == "auto"
    assert spread["max_memory"] == {0: "20GiB", "cpu": "60GiB"}
    assert Path(spread["offload_folder"]).is_dir()
    alone = placement(T5Options.model_validate({"model": "m"}), training=False)
    assert alone == {"device_map": {"": "cuda:0"}}
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=r"there are 2 processes; start one, without torchrun"):
        placement(LlamaQloraOptions.model_validate(options), training=False)


def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    options = {"model": "m", "device_map": "auto", "max_memory": {"1": "1GiB", "2": "1GiB"}}
    with pytest.raises(ConfigError, match="names GPU 2, but only 2 can be seen"):
        placement(T5Options.model_validate(options), training=False)


@pytest.mark.parametrize(
    ("room", "said"),
    [
        ({"disc": "1GiB"}, "disc is not the number of a GPU"),
        ({"cpu": "1XB"}, "memory of cpu such as 20GiB or 500MB, not 1XB"),
        ({"cpu": "20Gb"}, "not 20Gb"),  # bits
        ({"cpu": 60}, "not 60"),  # bytes, although gigabytes were meant
    ],
)
def test_memory_that_can_not_be_read_is_refused(room: dict[str, Any], said: str) -> None:
    backend = {"model": "m", "device_map": "auto", "max_memory": room}
    with pytest.raises(ConfigError, match=said):
        build_config(T5Options, [{"backend": backend}])


@pytest.mark.parametrize("kind", [tiny_llama, tiny_t5])
def test_a_training_needs_its_weights_in_one_place(kind: Any, tiny: Path, tiny_t5: Path) -> None:
    model = tiny if kind is tiny_llama else tiny_t5
    reader = kind.make_reader(model, "backend.device_map=auto")
    with pytest.raises(ConfigError, match="is for prediction; a model larger than one GPU"):
        reader.check_training()


@pytest.mark.parametrize(
    ("options", "asked", "reason"),
    [
        (T5Options, {"max_memory": {"cpu": "1GiB"}}, "needs backend.device_map = auto"),
        (LlamaQloraOptions, {"max_memory": {"cpu": "1GiB"}}, "needs backend.device_map = auto"),
        (LlamaQloraOptions, {"engine": "vllm", "device_map": "auto"}, "vLLM has its own way"),
    ],
)
def test_a_place_without_effect_is_refused(options: Any, asked: Any, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"has no effect: .*{reason}"):
        build_config(options, [{"backend": {"model": "m", **asked}}])
