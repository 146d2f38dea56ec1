"""Families of causal models that differ from Llama."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import transformers
from tiny_families import EXPERTS, GEMMA, SIZES, save_causal, save_model
from tiny_llama import (
    Training,
    adapter_weights,
    greatest_difference,
    make_prompts,
    make_reader,
    make_tokenizer,
    notes,
    rows,
)

from aqa.backends.llama_qlora import attention
from aqa.backends.llama_qlora import training as llama_training
from aqa.backends.llama_qlora.fresh_adapters import add_adapter, trained_weights
from aqa.config.backend_options import LoraOptions
from aqa.errors import ModelError
from aqa.library_output import quiet
from aqa.records import Template

SHORT = ("training.max_steps=2", "training.eval_strategy='no'")


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gemma2", "gptoss", "gptj", "bloom", "mpt"])
@pytest.mark.parametrize("longest", [16, 256])
def test_without_sdpa_the_plain_attention_is_taken(
    family: str, longest: int, template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows beyond the limit would train with SDPA; prediction would always use it."""
    monkeypatch.setattr(llama_training, "PLAIN_ATTENTION_LENGTH", longest)
    model = save_causal(family, tmp_path / "model")
    training = Training(make_reader(model, *SHORT), template, tmp_path / "run")
    training.run()
    assert training.losses[-1] < training.losses[0]
    with make_reader(tmp_path / "run") as reader:
        prompts = make_prompts(reader, template, with_target=False)
        assert len(list(reader.generate(prompts))) == len(rows())
        assert reader.model.config._attn_implementation == "eager"


def test_with_sdpa_long_rows_and_prediction_take_it(
    tiny: Path, template: Template, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_training, "PLAIN_ATTENTION_LENGTH", 16)
    training = Training(make_reader(tiny, *SHORT), template, tmp_path)
    training.run()
    assert training.reader.model.config._attn_implementation == "sdpa"
    with make_reader(tiny) as reader:
        assert reader.model.config._attn_implementation == attention.NAME


LAGUNA = {
    **SIZES,
    **EXPERTS,
    "head_dim": 16,
    "num_experts": 4,
    "shared_expert_intermediate_size": 32,
    "layer_types": ["full_attention"] * 2,
    "mlp_layer_types": ["dense", "sparse"],
    "pad_token_id": 5,
}
ENCODER = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
READERS = {
    "BertConfig": {**ENCODER, "intermediate_size": 64},
    "XLNetConfig": {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64},
    "Gemma3TextConfig": {**GEMMA, "use_bidirectional_attention": True},
}


@pytest.mark.parametrize(
    ("config", "changed", "reads_ahead"),
    [
        ("BertConfig", {}, True),
        ("BertConfig", {"is_decoder": True}, False),
        ("XLNetConfig", {}, True),
        ("Gemma3TextConfig", {}, True),
        ("Gemma3TextConfig", {"use_bidirectional_attention": False}, False),
    ],
)
def test_an_encoder_is_no_reader(
    config: str, changed: dict[str, Any], reads_ahead: bool, tmp_path: Path
) -> None:
    """Their types have causal classes, too, which only warn."""
    tokenizer = make_tokenizer()
    made = {"vocab_size": len(tokenizer), "pad_token_id": 5, **READERS[config], **changed}
    shape = getattr(transformers, config)(**made)
    reader = make_reader(save_model("AutoModelForCausalLM", shape, tokenizer, tmp_path))
    with (
        pytest.raises(ModelError, match="sees later tokens") if reads_ahead else nullcontext(),
        reader,
    ):
        pass


def test_a_model_that_fails_at_its_first_tokens_is_one_sentence(tmp_path: Path) -> None:
    """Zamba's attention reads twice the hidden size, whatever its config says."""
    tokenizer = make_tokenizer()
    odd = {"vocab_size": len(tokenizer), "attention_hidden_size": 32, "attention_head_dim": 8}
    sizes = {**SIZES, "num_hidden_layers": 6, "attn_layer_period": 3, "attn_layer_offset": 2}
    shape = transformers.ZambaConfig(**sizes, **odd, mamba_dt_rank=8, n_mamba_heads=2)
    reader = make_reader(save_model("AutoModelForCausalLM", shape, tokenizer, tmp_path))
    with pytest.raises(ModelError, match=r"can't be loaded \(RuntimeError: .*check that its JSON"):
        reader.__enter__()


def test_a_model_without_layers_for_4_bits_is_refused(tmp_path: Path) -> None:
    """Falcon's layers have their own class; transformers would leave them all in 16 bits."""
    model = save_causal("falcon", tmp_path)
    with pytest.raises(
        ModelError, match=r"\(falcon\) can be quantised to 4 bits.*quantization=none"
    ):
        make_reader(model, "backend.quantization=4bit").__enter__()


@pytest.mark.slow
def test_gpt2_in_4_bits_merges_into_layers_of_its_own_kind(
    template: Template, tmp_path: Path
) -> None:
    settings = ["backend.quantization=4bit", "backend.max_seq_length=256", *SHORT]
    model = save_causal("gpt2", tmp_path / "model")
    Training(make_reader(model, *settings), template, tmp_path / "run").run()
    reader = make_reader(model, *settings)
    prompts = make_prompts(reader, template, with_target=False)
    merged = reader.merge(tmp_path / "run", prompts)
    assert (merged.compared, merged.different) == (len(rows()), 0)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["mixtral", "qwen3moe", "deepseekv3"])
def test_experts_learn_without_dropout_and_resume(
    family: str, template: Template, tmp_path: Path
) -> None:
    """peft has no dropout for them, but ours is on by default; a note says that it is ignored."""
    model = save_causal(family, tmp_path / "model")
    training = Training(make_reader(model, *SHORT), template, tmp_path / "run")
    assert training.reader.estimate().trainable_parameters > 0
    training.run()
    assert training.losses[-1] < training.losses[0]
    assert [note for note in notes(training.reader) if "LoRA dropout is set to 0" in note]
    resumed = Training(make_reader(model, *SHORT), template, tmp_path / "run", resume=True)
    before = adapter_weights(tmp_path / "run" / "adapter")
    resumed.run()
    assert greatest_difference(adapter_weights(tmp_path / "run" / "adapter"), before) == 0
    prompts = make_prompts(training.reader, template, with_target=False)
    merged = resumed.reader.merge(tmp_path / "run", prompts)
    assert (merged.compared, merged.different) == (len(rows()), 0)


def test_layers_that_peft_renames_to_nothing_are_not_trained(
    template: Template, tmp_path: Path
) -> None:
    """Laguna's shared experts, whose weights would be lost on resuming and with the best ones."""
    tokenizer = make_tokenizer()
    shape = transformers.LagunaConfig(
        **{**LAGUNA, "vocab_size": len(tokenizer), "bos_token_id": 0, "eos_token_id": 4}
    )
    model = save_model("AutoModelForCausalLM", shape, tokenizer, tmp_path / "model")
    with pytest.raises(ModelError, match="over down_proj, gate_proj, up_proj in a model"):
        Training(make_reader(model, *SHORT), template, tmp_path / "run").run()
    attention = "backend.lora.target_modules=[q_proj, v_proj]"
    training = Training(make_reader(model, *SHORT, attention), template, tmp_path / "run")
    training.run()
    with make_reader(tmp_path / "run"):
        pass


def test_dropout_stays_where_it_can(tiny: Path, template: Template, tmp_path: Path) -> None:
    training = Training(make_reader(tiny, *SHORT), template, tmp_path)
    training.run()
    assert training.reader.model.peft_config["default"].lora_dropout == 0.05
    assert not [note for note in notes(training.reader) if "dropout" in note]


@pytest.mark.parametrize("targets", ["all-linear", ["in_proj"]])
def test_no_adapter_lies_over_what_kernels_read(targets: str | list[str]) -> None:
    """Mamba's kernels use the weights of its last layer directly, and peft refuses that."""
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "state_size": 8, "vocab_size": 64}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model("mamba", **sizes))
    options = LoraOptions(target_modules=targets)
    with quiet():
        adapted = trained_weights(add_adapter(model, options, "tiny"))
    layers = {name.split(".lora_")[0].rpartition(".")[-1] for name in adapted}
    every = {"in_proj", "x_proj", "dt_proj"}
    assert layers == (every if targets == "all-linear" else {"in_proj"})


@pytest.mark.parametrize("quantization", ["none", "4bit"])
@pytest.mark.parametrize("family", ["jamba", "llama4"])
def test_layers_that_are_more_than_their_product(
    family: str,
    quantization: str,
    template: Template,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Jamba subtracts a layer's bias from its output; Llama 4's linear router returns a pair."""
    model = save_causal(family, tmp_path / "model")
    settings = [f"backend.quantization={quantization}", *SHORT]
    training = Training(make_reader(model, *settings), template, tmp_path / "run")
    training.run()
    assert training.losses[-1] < training.losses[0]
    assert not [name for name in adapter_weights(tmp_path / "run" / "adapter") if "router" in name]
    with make_reader(tmp_path / "run", *settings) as reader:
        prompts = make_prompts(reader, template, with_target=False)
        found = {answer.id: answer.raw for _, answer in reader.generate(prompts)}
        monkeypatch.setattr(reader, "is_sharded", True)  # so that it is left to peft
        assert found == {answer.id: answer.raw for _, answer in reader.generate(prompts)}


@pytest.mark.parametrize("family", ["gemma3", "gemma2", "bloom", "mpt"])
def test_a_dry_run_finds_the_sizes_of_any_family(family: str, tmp_path: Path) -> None:
    """Those of a multimodal model are its text stack's."""
    reader = make_reader(save_causal(family, tmp_path), "backend.max_seq_length=256")
    tokens = reader.config.training.per_device_train_batch_size * 256
    assert reader.estimate().memory_bytes > tokens * 32 * 2 * 2
