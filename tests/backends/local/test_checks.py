"""Positions and tokens that a model lacks are reported before they are needed."""

from dataclasses import replace
from pathlib import Path

import pytest
import tiny_t5
from calls import Call
from tiny_families import save_causal, save_seq2seq
from tiny_llama import make_prompts, make_reader, make_tokenizer, notes, rows, save_tiny, write_rows
from tiny_quantized import change_json

from aqa.errors import ConfigError, PromptError
from aqa.records import Example, Passage, Template


@pytest.mark.parametrize(("family", "positions"), [("gpt2", 256), ("opt", 256), ("gptj", 1024)])
def test_learned_positions_have_an_end(family: str, positions: int, tmp_path: Path) -> None:
    model = save_causal(family, tmp_path)
    make_reader(model, f"backend.max_seq_length={positions}").check()
    reason = (
        rf"max_seq_length = {positions + 1}: .* only {positions} positions; set it to {positions}"
    )
    with pytest.raises(ConfigError, match=reason):
        make_reader(model, f"backend.max_seq_length={positions + 1}").check()


@pytest.mark.parametrize("family", ["bloom", "mpt", "jamba"])
def test_positions_without_an_end_are_not_counted(family: str, tmp_path: Path) -> None:
    reader = make_reader(save_causal(family, tmp_path), "backend.max_seq_length=5000")
    reader.check()
    assert not [note for note in notes(reader) if "positions" in note]


def test_rotary_positions_beyond_those_learned_are_told_of(tiny: Path) -> None:
    reader = make_reader(tiny, "backend.max_seq_length=2048")
    reader.check()
    reader.check()  # as before loading the weights
    (note,) = [note for note in notes(reader) if "positions" in note]
    assert "max_seq_length = 2048" in note
    assert "only 1024 positions" in note


def test_a_decoder_has_positions_of_its_own(tmp_path: Path) -> None:
    """LED reads 1,024 and writes 64; BART has the same limit for both."""
    model = save_seq2seq("led", tmp_path)
    tiny_t5.make_reader(model, "generation.max_new_tokens=63").check()
    with pytest.raises(ConfigError, match=r"max_new_tokens = 64: .* 64 positions.* to 63 or less"):
        tiny_t5.make_reader(model, "generation.max_new_tokens=64").check()
    with pytest.raises(ConfigError, match=r"max_seq_length = 1025: .* only 1024 positions"):
        tiny_t5.make_reader(model, "backend.max_seq_length=1025").check()


@pytest.mark.parametrize("fusion", ["concat", "fid"])
def test_an_answer_to_learn_has_positions_or_is_left_out(fusion: str, tmp_path: Path) -> None:
    """LED writes 64 tokens; one more would be read from beyond its table of positions."""
    reader = tiny_t5.make_reader(
        save_seq2seq("led", tmp_path), "generation.max_new_tokens=8", f"backend.fusion={fusion}"
    )
    (bare,) = tiny_t5.make_prompts(reader, True, [replace(rows()[0], answers=("!",))])
    most = 64 - len(reader.encode(bare).target_ids) + 1
    (prompt,) = tiny_t5.make_prompts(reader, True, [replace(rows()[0], answers=("!" * most,))])
    assert len(reader.encode(prompt).target_ids) == 64
    with pytest.raises(PromptError, match=r"^q0: the answer takes 65 tokens, more than the 64 pos"):
        tiny_t5.make_prompts(reader, True, [replace(rows()[0], answers=("!" * (most + 1),))])


def test_sparse_attention_is_refused_where_it_depends_on_the_batch(tmp_path: Path) -> None:
    """BigBird's sees all of 28 tokens, but only some blocks of more, counted from a batch's end."""
    model = save_seq2seq("bigbird_pegasus", tmp_path)
    tiny_t5.make_reader(model, "backend.max_seq_length=28").check()
    with pytest.raises(ConfigError, match=r"= 29: beyond 28 tokens .*or less, or .*original_full"):
        tiny_t5.make_reader(model, "backend.max_seq_length=29").check()
    change_json(model / "config.json", attention_type="original_full")
    tiny_t5.make_reader(model, "backend.max_seq_length=29").check()


def test_a_template_of_tokens_that_the_model_lacks_ends_the_run_before_it_begins(
    tmp_path: Path, call_aqa: Call
) -> None:
    """Tokens were added to the tokenizer without resizing the model."""
    model = save_tiny(tmp_path / "model", make_tokenizer())
    tokenizer = make_tokenizer("{% for m in messages %}<|im_start|>{{ m.content }}{% endfor %}")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    tokenizer.save_pretrained(model)
    data = write_rows(tmp_path / "rows.jsonl")
    words = ("--set", "backend.quantization=none", "--output-dir", "out")
    done = call_aqa("predict", "llama", "--model", model, "--data", data, *words, code=1)
    assert "the tokenizer writes '<|im_start|>' (320), but" in " ".join(done.stderr.split())
    assert "has only 320 tokens" in " ".join(done.stderr.split())
    assert not (tmp_path / "out" / "predictions.jsonl").exists()


def test_a_word_that_the_model_lacks_fails_its_examples_alone(
    tmp_path: Path, template: Template
) -> None:
    causal = save_tiny(tmp_path / "causal", make_tokenizer())
    whole = tiny_t5.save_t5(tmp_path / "whole", tiny_t5.t5_tokenizer())
    for folder, tokenizer in ((causal, make_tokenizer()), (whole, tiny_t5.t5_tokenizer())):
        tokenizer.add_tokens(["Hallmere"])
        tokenizer.save_pretrained(folder)
    there = Example("there", "Where does Mira live?", (Passage("Mira lives in Hallmere."),), ("?",))
    for make in (
        lambda e: make_prompts(make_reader(causal), template, False, [e]),
        lambda e: tiny_t5.make_prompts(tiny_t5.make_reader(whole), examples=[e]),
    ):
        with pytest.raises(PromptError, match=r"there: the tokenizer writes '.?Hallmere' \("):
            make(there)
        assert make(rows()[0])


def test_rows_that_no_token_needs_are_no_fault(tiny: Path, template: Template) -> None:
    """Models' embeddings may be padded."""
    reader = make_reader(tiny)
    assert reader._vocabulary == 320
    reader.check()
    assert make_prompts(reader, template, with_target=True)


def test_a_wider_tokenizer_that_writes_no_such_token_is_taken(
    tmp_path: Path, template: Template
) -> None:
    model = save_tiny(tmp_path, make_tokenizer())
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image_soft_token>"]})
    tokenizer.save_pretrained(model)
    assert make_prompts(make_reader(model), template, with_target=True)
    change_json(model / "config.json", vocab_size=100)
    with pytest.raises(PromptError, match="has only 100 tokens"):
        make_prompts(make_reader(model), template, with_target=True)
