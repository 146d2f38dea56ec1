"""Only our options decide how answers are generated, whatever a model's own configs say."""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tiny_t5
import torch
from tiny_families import save_seq2seq
from tiny_llama import Training, make_prompts, make_reader, make_tokenizer, notes, save_tiny
from tiny_quantized import change_json

from aqa.backends.t5 import training as t5_training
from aqa.errors import ModelError
from aqa.records import Template

# Each would change the answers, or end in a traceback.
LEFTOVERS: list[Mapping[str, Any]] = [
    {"suppress_tokens": list(range(10, 200))},
    {"begin_suppress_tokens": list(range(10, 200))},
    {"bad_words_ids": [[token] for token in range(10, 200)]},
    {"sequence_bias": [[[token], -50.0] for token in range(10, 200)]},
    {"forced_bos_token_id": 20},
    {"forced_eos_token_id": 21},
    {"min_new_tokens": 8},
    {"min_length": 400},
    {"exponential_decay_length_penalty": [1, 9.0]},
    {"repetition_penalty": 9.0, "no_repeat_ngram_size": 1},
    {"encoder_repetition_penalty": 9.0},
    {"renormalize_logits": True, "min_p": 0.9, "typical_p": 0.1},
    {"num_beams": 4, "early_stopping": True, "length_penalty": 2.0},
    {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 1.0},
    {"penalty_alpha": 0.6, "top_k": 4},
    {"guidance_scale": 3.0},
    {"dola_layers": "high"},
    {"prompt_lookup_num_tokens": 3},
    {"cache_implementation": "static"},
    {"cache_implementation": "hybrid"},
    {"max_length": 20, "max_time": 0.0},
    {"stop_strings": ["a", "e"]},
    {"return_dict_in_generate": True, "output_scores": True},
    {"use_cache": False},
]


def with_leftovers(model: Path, folder: Path, leftovers: Mapping[str, Any]) -> Path:
    shutil.copytree(model, folder)
    change_json(folder / "generation_config.json", **leftovers)
    return folder


@pytest.fixture(scope="module")
def plain_answers(tiny: Path, template: Template) -> list[str | None]:
    return llama_answers(tiny, template)


def llama_answers(model: Path, template: Template) -> list[str | None]:
    with make_reader(model) as reader:
        prompts = make_prompts(reader, template, with_target=False)[:3]
        found = {answer.id: answer.raw for _, answer in reader.generate(prompts)}
    return [found[prompt.id] for prompt in prompts]


@pytest.mark.parametrize("leftovers", LEFTOVERS, ids=lambda found: "-".join(found))
def test_leftovers_do_not_act_in_a_causal_model(
    leftovers: Mapping[str, Any],
    plain_answers: list[str | None],
    tiny: Path,
    template: Template,
    tmp_path: Path,
) -> None:
    folder = with_leftovers(tiny, tmp_path / "model", leftovers)
    assert llama_answers(folder, template) == plain_answers


@pytest.mark.parametrize("leftovers", LEFTOVERS, ids=lambda found: "-".join(found))
def test_leftovers_do_not_act_in_an_encoder_decoder(
    leftovers: Mapping[str, Any], trained_t5: Path, tmp_path: Path
) -> None:
    folder = with_leftovers(trained_t5 / "model", tmp_path / "model", leftovers)
    with tiny_t5.make_reader(folder) as reader:
        prompts = tiny_t5.make_prompts(reader)
        assert tiny_t5.answers(reader.generate(prompts)) == tiny_t5.golds()


def test_what_is_dropped_is_said_once(tiny: Path, template: Template, tmp_path: Path) -> None:
    asked = {"repetition_penalty": 1.1, "suppress_tokens": [7], "use_cache": False}
    reader = make_reader(with_leftovers(tiny, tmp_path / "model", asked))
    with reader:
        list(reader.generate(make_prompts(reader, template, with_target=False)))
    assert [note for note in notes(reader) if "generation config" in note] == [
        "the model's generation config asks for repetition_penalty = 1.1, suppress_tokens = [7];"
        " the options under generation decide instead"
    ]
    with make_reader(tiny) as reader:
        assert not [note for note in notes(reader) if "generation config" in note]


@pytest.mark.slow
def test_a_trainers_use_cache_in_config_json_is_of_no_account(
    tiny: Path, plain_answers: list[str | None], template: Template, tmp_path: Path
) -> None:
    """Without a generation config, transformers reads it from there; training evaluates, too."""
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder)
    (folder / "generation_config.json").unlink()
    change_json(folder / "config.json", use_cache=False, eos_token_id=[1, 4])
    assert llama_answers(folder, template) == plain_answers
    training = Training(make_reader(folder, "training.max_steps=2"), template, tmp_path / "run")
    training.run()
    assert training.answers


@pytest.mark.parametrize("ends", [[1, 4], 1])
def test_the_ends_of_config_json_count_where_no_generation_config_is(
    ends: Any, tiny: Path, tmp_path: Path
) -> None:
    """Answers would run on to the limit: the tokenizer's end of text is not the chat's."""
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder)
    (folder / "generation_config.json").unlink()
    change_json(folder / "config.json", eos_token_id=ends)
    assert set(make_reader(folder)._encoder.end_token_ids) == {1, 4}


def test_the_ends_of_the_generation_config_go_first(tiny: Path, tmp_path: Path) -> None:
    folder = with_leftovers(tiny, tmp_path / "model", {"eos_token_id": 3})
    change_json(folder / "config.json", eos_token_id=[1, 2])
    assert make_reader(folder)._encoder.end_token_ids == (4, 3)  # including the tokenizer's


@pytest.mark.parametrize("family", ["mbart", "m2m100", "pegasus", "mt5", "switch"])
def test_training_and_prediction_begin_with_the_same_token(
    family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mBART uses the last label as the first token, despite its config; NLLB has no such rule."""
    model = save_seq2seq(family, tmp_path / "model", decoder_start_token_id=3)
    reader = tiny_t5.make_reader(model, "training.max_steps=1", "training.eval_strategy='no'")
    began: dict[str, set[int]] = {"training": set(), "prediction": set()}

    def spy_on_training(labels: Any, first: int) -> Any:
        found = shift(labels, first)
        began["training"].update(found[:, 0].tolist())
        return found

    shift = t5_training.shifted
    monkeypatch.setattr(t5_training, "shifted", spy_on_training)
    tiny_t5.t5_training(reader, tmp_path / "run").run()
    write = reader.model.generate

    def spy_on_prediction(**options: Any) -> Any:
        found = write(**options)
        began["prediction"].update(found[:, 0].tolist())
        return found

    monkeypatch.setattr(reader.model, "generate", spy_on_prediction)
    list(reader.generate(tiny_t5.make_prompts(reader)))
    assert began == {"training": {3}, "prediction": {3}}


def test_an_encoder_decoder_without_a_first_token_is_refused(tmp_path: Path) -> None:
    model = save_seq2seq("pegasus", tmp_path, decoder_start_token_id=None, bos_token_id=None)
    with pytest.raises(ModelError, match="set decoder_start_token_id in"):
        tiny_t5.make_reader(model).__enter__()


def test_notes_of_transformers_are_kept_off_while_answers_are_written(
    template: Template, tmp_path: Path
) -> None:
    """It takes prompts that end with an end of turn for padded ones, and warns each time."""
    without_opening = "{{ bos_token }}{% for m in messages %}{{ m.content }}<|eot_id|>{% endfor %}"
    model = save_tiny(tmp_path, make_tokenizer(without_opening))
    heard: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    ear = Ear(logging.WARNING)
    logging.getLogger("transformers").addHandler(ear)
    try:
        with make_reader(model) as reader:
            list(reader.generate(make_prompts(reader, template, with_target=False)))
            assert heard == []
            ids = torch.tensor([[0, 9, 4], [0, 8, 4]])
            reader.model.generate(input_ids=ids, pad_token_id=4, max_new_tokens=1)
            assert "right-padding" in " ".join(heard)  # the warning without us
    finally:
        logging.getLogger("transformers").removeHandler(ear)


@pytest.mark.slow
def test_a_model_with_a_first_token_of_its_own_learns_by_heart(tmp_path: Path) -> None:
    """With another first token than in training, mBART got one question of twelve right."""
    model = save_seq2seq("mbart", tmp_path / "model", decoder_start_token_id=3, dropout=0.0)
    settings = ("training.num_train_epochs=70", *tiny_t5.BY_HEART[1:])
    reader = tiny_t5.make_reader(model, *settings)
    training = tiny_t5.t5_training(reader, tmp_path / "run", with_dev=False)
    training.run()
    with tiny_t5.make_reader(tmp_path / "run") as reader:
        found = tiny_t5.answers(reader.generate(tiny_t5.make_prompts(reader)))
    assert found == tiny_t5.golds()
