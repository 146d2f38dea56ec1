"""Families of causal models that are unlike Llama in one way or another."""

from pathlib import Path

import pytest
from tiny_families import save_causal
from tiny_llama import Training, make_prompts, make_reader, rows

from aqa.backends.llama_qlora import training as llama_training
from aqa.errors import ModelError
from aqa.records import Template

SHORT = ("training.max_steps=2", "training.eval_strategy='no'")


@pytest.mark.parametrize("family", ["gemma2", "gptoss", "gptj", "bloom", "mpt"])
@pytest.mark.parametrize("longest", [16, 256])
def test_without_sdpa_the_plain_attention_is_taken(
    family: str,
    longest: int,
    template: Template,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows beyond the limit would train with SDPA; prediction would always take it."""
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
        assert reader.model.config._attn_implementation == "sdpa"


def test_a_model_without_layers_for_4_bits_is_refused(tmp_path: Path) -> None:
    """Falcon's are of a kind of their own; transformers would leave them all in 16 bits."""
    model = save_causal("falcon", tmp_path)
    with pytest.raises(ModelError, match=r"\(falcon\) can be put into 4 bits.*quantization=none"):
        make_reader(model, "backend.quantization=4bit").__enter__()


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
