"""Adapters from other trainers: their tokenizer, template and larger vocabulary."""

import json
import re
import shutil
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny_t5 as tiny_t5_module
import torch
from safetensors.torch import load_file, save_file
from tiny_adapters import chat_tokenizer, plain_answers, save_adapter, wider_tokenizer
from tiny_llama import Training, make_prompts, make_reader, notes, rows, write_rows
from tiny_quantized import change_json

from aqa.backends.llama_qlora.adapters import fast_adapter
from aqa.config.backend_options import LlamaQloraOptions
from aqa.config.load import build_config
from aqa.errors import ConfigError, ModelError
from aqa.records import Template

BOTH = {"modules_to_save": ["embed_tokens", "lm_head"]}
OVER_BOTH = {"target_modules": ["q_proj", "embed_tokens", "lm_head"]}
ACTIVATED = {"alora_invocation_tokens": [2]}  # after the beginning of the last header
ADALORA = {"kind": "AdaLoraConfig", "r": 8, "total_step": 9}


def answers(folder: Path, template: Template) -> tuple[list[str | None], list[Any]]:
    """Our answers, and the chats that were answered."""
    with make_reader(folder) as reader:
        prompts = make_prompts(reader, template, with_target=False)
        found = {answer.id: answer.raw for _, answer in reader.generate(prompts)}
    chats = [
        [{"role": turn.role, "content": turn.content} for turn in prompt.messages]
        for prompt in prompts
    ]
    return [found[prompt.id] for prompt in prompts], chats


@pytest.mark.parametrize(
    ("tokenizer", "options"),
    [
        (chat_tokenizer, {}),
        (wider_tokenizer, {}),
        (wider_tokenizer, BOTH),
        (wider_tokenizer, OVER_BOTH),
        (chat_tokenizer, ACTIVATED),
        (chat_tokenizer, ADALORA),
        (chat_tokenizer, {"modules_to_save": ["mlp"]}),
    ],
    ids=["template", "wider", "saved-twice", "wider-adapted", "activated", "adalora", "saved-mlp"],
)
def test_an_adapter_answers_with_its_own_tokenizer_as_by_peft(
    tokenizer: Any, options: Any, tiny_no_template: Path, template: Template, tmp_path: Path
) -> None:
    folder = save_adapter(tiny_no_template, tmp_path / "adapter", tokenizer(), **options)
    ours, chats = answers(folder, template)
    assert len(ours) == len(rows())
    assert ours == plain_answers(tiny_no_template, folder, chats)


@pytest.mark.slow
def test_a_wider_adapter_merges(tiny_no_template: Path, template: Template, tmp_path: Path) -> None:
    folder = save_adapter(tiny_no_template, tmp_path / "adapter", wider_tokenizer())
    reader = make_reader(folder)
    prompts = make_prompts(reader, template, with_target=False)
    merged = reader.merge(tmp_path, prompts)
    assert (merged.compared, merged.different) == (len(rows()), 0)
    config = json.loads((merged.folder / "config.json").read_text(encoding="utf-8"))
    assert config["vocab_size"] == len(wider_tokenizer())


@pytest.mark.parametrize("layer", ["embed_tokens", "lm_head"])
def test_added_tokens_are_not_drawn_at_random(
    layer: str, tiny_no_template: Path, tmp_path: Path
) -> None:
    """peft stores those of the adapted layer only, and the base is not tied."""
    options = {"target_modules": ["q_proj", layer]}
    folder = save_adapter(tiny_no_template, tmp_path / "adapter", wider_tokenizer(), **options)
    with pytest.raises(ModelError, match=f"322 tokens, .* has only 320, .* only for {layer}"):
        make_reader(folder).__enter__()


def test_a_chat_template_alone_is_taken_too(
    tiny_no_template: Path, template: Template, tmp_path: Path
) -> None:
    whole = save_adapter(tiny_no_template, tmp_path / "whole", chat_tokenizer())
    folder = save_adapter(tiny_no_template, tmp_path / "adapter")
    shutil.copy(whole / "chat_template.jinja", folder)
    assert answers(folder, template)[0] == answers(whole, template)[0]


def test_an_adapter_finds_its_base_beside_it(
    tiny_no_template: Path, template: Template, tmp_path: Path
) -> None:
    shutil.copytree(tiny_no_template, tmp_path / "base")
    folder = save_adapter(tiny_no_template, tmp_path / "adapter", chat_tokenizer())
    expected = answers(folder, template)[0]
    change_json(folder / "adapter_config.json", base_model_name_or_path="../base")
    assert answers(folder, template)[0] == expected


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        ("/home/user/models/llama", r"adapter: this adapter's base model, /home/.* is not there"),
        (
            "nobody/nowhere",
            r"nobody/nowhere \(base of .*adapter\): .*could not be downloaded from the hub",
        ),
    ],
)
def test_a_base_that_is_not_there_is_named_with_its_adapter(
    base: str, reason: str, tiny_no_template: Path, tmp_path: Path
) -> None:
    folder = save_adapter(tiny_no_template, tmp_path / "adapter", chat_tokenizer())
    change_json(folder / "adapter_config.json", base_model_name_or_path=base)
    with pytest.raises(ModelError, match=reason):
        make_reader(folder).check()


def test_a_base_of_another_revision_is_not_taken(
    tiny_no_template: Path, template: Template, tmp_path: Path
) -> None:
    asked = ("training.max_steps=1", "backend.revision=v2")
    reader = make_reader(tiny_no_template, *asked)
    folder = Training(reader, template, tmp_path, with_dev=False).run()
    make_reader(folder).check()  # a folder has none
    change_json(folder / "adapter_config.json", base_model_name_or_path="nobody/nowhere")
    wanted = r"the revision v2 of nobody/nowhere; add --set backend\.revision=v2"
    with pytest.raises(ModelError, match=wanted):
        make_reader(folder).check()
    with pytest.raises(ModelError, match="could not be downloaded"):
        make_reader(folder, "backend.revision=v3").check()


@pytest.mark.parametrize("part", [".", "adapter"])
def test_an_adapter_over_another_is_refused(
    part: str, tiny_no_template: Path, tmp_path: Path
) -> None:
    """A folder with both a model and an adapter, which transformers would combine."""
    base = Path(shutil.copytree(tiny_no_template, tmp_path / "base"))
    folder = save_adapter(base, tmp_path / "adapter")
    make_reader(folder).check()
    shutil.copytree(folder, base / part, dirs_exist_ok=True)
    with pytest.raises(ModelError, match=r"this adapter's base, .*base, holds an adapter itself"):
        make_reader(folder).check()


def test_adapters_within_a_folder_are_named(tiny_no_template: Path, tmp_path: Path) -> None:
    folder = save_adapter(tiny_no_template, tmp_path / "out" / "checkpoint-4")
    with pytest.raises(ModelError, match=r"name one within it, such as .*out.checkpoint-4"):
        make_reader(tmp_path / "out").check()
    (folder / "adapter_config.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ModelError, match="not an adapter's JSON"):
        make_reader(folder).check()


def test_weights_for_layers_that_the_base_lacks_are_refused(
    tiny_no_template: Path, tmp_path: Path
) -> None:
    """peft silently ignores them."""
    folder = save_adapter(tiny_no_template, tmp_path / "adapter")
    file = folder / "adapter_model.safetensors"
    found = load_file(file)
    more = {name.replace("layers.1", "layers.2"): found[name].clone() for name in found}
    save_file({**found, **more}, file)
    with pytest.raises(ModelError, match="does not fit its base model"):
        make_reader(folder).__enter__()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"use_new": True, "size": 16},
            r"asks for \(size = 16, use_new = true\)",
        ),
        ({"use_new": False, "others": None, "names": []}, None),
    ],
)
def test_settings_that_peft_does_not_know_are_told(
    changed: dict[str, object], told: str | None, tiny: Path, tmp_path: Path
) -> None:
    folder = save_adapter(tiny, tmp_path / "adapter")
    change_json(folder / "adapter_config.json", **changed)
    with make_reader(folder) as reader:
        found = [note for note in notes(reader) if "peft" in note]
    assert [note for note in found if told and re.search(told, note)] == found
    assert len(found) == bool(told)


def test_an_adapter_of_an_unknown_kind_is_refused(tiny: Path, tmp_path: Path) -> None:
    folder = save_adapter(tiny, tmp_path / "adapter")
    change_json(folder / "adapter_config.json", peft_type="NEWEST")
    with pytest.raises(
        ModelError, match=r"does not support adapters of kind NEWEST; run pip install -U"
    ):
        make_reader(folder).__enter__()


@pytest.mark.parametrize("kind", ["MULTITASK_PROMPT_TUNING", "POLY"])
def test_an_adapter_for_several_tasks_is_refused(kind: str, tiny: Path, tmp_path: Path) -> None:
    folder = save_adapter(tiny, tmp_path / "adapter")
    change_json(folder / "adapter_config.json", peft_type=kind)
    with pytest.raises(ModelError, match=rf"this adapter \({kind}\) is for several tasks"):
        make_reader(folder).__enter__()


def test_an_adapter_that_mixes_all_tokens_of_a_batch_is_refused(tiny: Path, tmp_path: Path) -> None:
    """An answer would depend on the other prompts."""
    folder = save_adapter(tiny, tmp_path / "adapter", kind="LilyConfig")
    with pytest.raises(ModelError, match=r"adapter: .*\(llama with LILY\) sees later tokens"):
        make_reader(folder).__enter__()


def test_repeated_layers_are_refused(tiny_no_template: Path, tmp_path: Path) -> None:
    repeated = {"layer_replication": [[0, 2], [1, 2]]}
    folder = save_adapter(tiny_no_template, tmp_path / "adapter", **repeated)
    with pytest.raises(ModelError, match="this adapter repeats layers of its base"):
        make_reader(folder).check()


def test_an_adapter_of_an_encoder_decoder_is_not_left_out(tiny_t5: Path, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    text = json.dumps({"base_model_name_or_path": str(tiny_t5)})
    (folder / "adapter_config.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match="t5 takes whole models, not adapters"):
        tiny_t5_module.make_reader(folder).check()


def test_a_training_does_not_leave_an_adapter_aside(
    tiny: Path, tmp_path: Path, call_aqa: Any
) -> None:
    """It would start from the base, ignoring the adapter."""
    folder = save_adapter(tiny, tmp_path / "adapter")
    data = write_rows(tmp_path / "rows.jsonl")
    words = ("--set", "backend.quantization=none", "--output-dir", "out")
    for more in ((), ("--dry-run",)):
        done = call_aqa("train", "llama", "--model", folder, "--data", data, *words, *more, code=1)
        assert "is an adapter over" in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()


def test_quantised_weights_are_not_trained_whole(tiny_t5: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_t5, tmp_path / "model")
    settings = {"quant_method": "fp8", "weight_block_size": [16, 16]}
    change_json(tmp_path / "model" / "config.json", quantization_config=settings)
    with pytest.raises(ModelError, match=r"quantised \(fp8\), and t5 trains all"):
        tiny_t5_module.make_reader(tmp_path / "model").check_training()


@pytest.mark.parametrize("device", ["cpu", "cuda:0", "mps"])
def test_an_adapter_is_fused_on_every_device(
    device: str, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aqa.backends.llama_qlora import fused_lora

    fused: list[object] = []
    monkeypatch.setattr(
        fused_lora, "fused_adapter", lambda model, dtype: nullcontext(fused.append(model))
    )
    reader = make_reader(tiny)
    reader.model = SimpleNamespace(device=torch.device(device), peft_config={})
    with fast_adapter(reader.model, torch.float32, is_sharded=False):
        assert fused == [reader.model]


PISSA = (
    "backend.lora.variant=pissa",
    "backend.quantization=none",
    "backend.lora.dropout=0",
    "training.max_steps=4",
    "training.learning_rate=0.01",
    "generation.max_new_tokens=6",
)


def first_logits(reader: Any, template: Template) -> torch.Tensor:
    """The logits after each prompt."""
    ids = [
        reader.encode(prompt).prompt_ids
        for prompt in make_prompts(reader, template, with_target=False)
    ]
    with torch.no_grad():
        return torch.cat([reader.model(torch.tensor([row])).logits[:, -1] for row in ids])


@pytest.mark.slow
@pytest.mark.parametrize("niter", [None, 4])
def test_what_pissa_learnt_fits_the_base_as_it_is(
    niter: int | None, tiny: Path, template: Template, tmp_path: Path
) -> None:
    asked = (*PISSA, *([f"backend.lora.pissa_niter={niter}"] if niter else []))
    training = Training(make_reader(tiny, *asked), template, tmp_path, with_dev=False)
    training.run()
    trained = first_logits(training.reader, template)
    with make_reader(tiny, "backend.quantization=none") as base:
        own = first_logits(base, template)
        name = "layers.0.self_attn.q_proj"
        weights = base.model.get_submodule(f"model.{name}").weight
        taken = training.reader.model.get_submodule(f"base_model.model.model.{name}").base_layer
        assert (weights - taken.weight).abs().max() > 0.01  # the adapter's initial weights
    assert (trained - own).abs().max() > 0.1  # something was learned
    with make_reader(tmp_path, "backend.quantization=none") as reader:
        torch.testing.assert_close(first_logits(reader, template), trained, atol=1e-4, rtol=1e-4)
    saved = json.loads((tmp_path / "adapter/adapter_config.json").read_bytes())
    assert (saved["r"], saved["lora_alpha"], saved["init_lora_weights"]) == (32, 64, True)


def test_pissa_goes_on_where_it_was_stopped(tiny: Path, template: Template, tmp_path: Path) -> None:
    asked = (*PISSA, "training.eval_strategy=steps", "training.eval_steps=2")
    whole = Training(make_reader(tiny, *asked), template, tmp_path / "whole", with_dev=False)
    whole.run()
    shutil.copytree(tmp_path / "whole", tmp_path / "rest")
    shutil.rmtree(tmp_path / "rest/checkpoints/checkpoint-4")
    reader = make_reader(tiny, *asked)
    Training(reader, template, tmp_path / "rest", with_dev=False, resume=True).run()
    expected, found = (
        load_file(tmp_path / name / "adapter/adapter_model.safetensors")
        for name in ("whole", "rest")
    )
    assert expected.keys() == found.keys()
    for name, weights in expected.items():
        torch.testing.assert_close(found[name], weights, atol=1e-5, rtol=1e-4)


def test_pissa_over_quantised_weights_is_refused(tiny: Path) -> None:
    reader = make_reader(tiny, "backend.lora.variant=pissa", "backend.quantization=4bit")
    with pytest.raises(ConfigError, match=r"use --set backend\.quantization=none"):
        reader.check_training()


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"variant": "pissa", "init": "gaussian"}, "init"),
        ({"variant": "dora", "pissa_niter": 4}, "pissa_niter"),
        ({"pissa_niter": 4}, "pissa_niter"),
    ],
)
def test_options_of_another_kind_of_adapter_have_no_effect(
    settings: dict[str, object], name: str
) -> None:
    asked: dict[str, Any] = {"backend": {"name": "llama-qlora", "model": "m", "lora": settings}}
    with pytest.raises(ConfigError, match=f"backend.lora.{name} = .* has no effect"):
        build_config(LlamaQloraOptions, [asked])


def test_a_dry_run_takes_no_weights_apart(tiny: Path) -> None:
    plain = make_reader(tiny, "backend.quantization=none").estimate()
    assert make_reader(tiny, *PISSA[:2]).estimate() == plain
