"""The engine CTranslate2 gives transformers' answers, from a model that is converted once."""

import random
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import ctranslate2
import pytest
import torch
from ctranslate2.converters import TransformersConverter
from safetensors.torch import load_file
from tiny_llama import NAMES, TOWNS, take_out
from tiny_t5 import (
    answers,
    bart_tokenizer,
    golds,
    make_prompts,
    make_reader,
    save,
    save_bart,
    save_t5,
    t5_tokenizer,
)
from transformers import (
    MT5Config,
    MT5ForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
)

from aqa.backends.t5.ctranslate2 import Ctranslate2Engine
from aqa.errors import ConfigError, MissingExtraError, ModelError
from aqa.records import Example, Passage

FAST = "backend.engine=ctranslate2"
FLOAT32 = "backend.ctranslate2_type=float32"
Translator = ctranslate2.Translator


class Watched:
    """Records the calls of CTranslate2's translator."""

    def __init__(self, *arguments: object, **options: object) -> None:
        self.real = Translator(*arguments, **options)


def inputs(number: int) -> list[Example]:
    draw = random.Random(8)
    return [
        Example(
            f"i{n}",
            f"Where does {draw.choice(NAMES)} live?",
            tuple(
                Passage(f"{draw.choice(NAMES)} lives in {draw.choice(TOWNS)} {draw.random()}.")
                for _ in range(1 + n % 5)
            ),
        )
        for n in range(number)
    ]


@pytest.mark.slow
def test_500_answers_agree_with_transformers_in_float32(trained_t5: Path) -> None:
    examples = inputs(500)
    with make_reader(trained_t5) as reader:
        prompts = make_prompts(reader, examples=examples)
        expected = {p.id: p for _, p in reader.generate(prompts)}
    with make_reader(trained_t5, FAST, FLOAT32) as reader:
        assert reader.model is None
        found = {p.id: p for _, p in reader.generate(prompts)}
    same = [key for key, one in found.items() if one.raw == expected[key].raw]
    assert len(same) >= 0.99 * 500
    assert len({one.raw for one in expected.values()}) > 4
    for key in same:
        assert found[key].confidence == pytest.approx(expected[key].confidence, abs=5e-3)
        assert found[key].answer_tokens == expected[key].answer_tokens
        assert found[key].prompt_tokens == expected[key].prompt_tokens


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ((), 960),  # each thread has half of 80 rows with 24 tokens
        (("generation.batch_tokens=480",), 240),  # encoded at once, for both together
        (("generation.num_beams=4",), 240),
    ],
)
def test_threads_share_the_work(
    settings: tuple[str, ...], size: int, tiny_t5: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads with separate batches are faster than two that share each batch."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        sizes = []

        class Noting(Watched):
            def translate_batch(self, tokens: object, **options: object) -> object:
                sizes.append(options["max_batch_size"])
                return self.real.translate_batch(tokens, **options)

        monkeypatch.setattr(ctranslate2, "Translator", Noting)
        with make_reader(tiny_t5, FAST, *settings) as reader:
            assert torch.get_num_threads() == 2  # CTranslate2 would leave one to others
            engine = reader._converted
            assert engine is not None
            rows = [[*range(3, 26), 1]] * 80
            generation = reader.config.generation
            budget = generation.batch_tokens or 4096
            found = list(engine.write_answers(rows, generation, budget))
    finally:
        torch.set_num_threads(before)
    assert sizes == [size]
    assert len(found) == 80


def test_answers_come_as_they_are_written(tiny_t5: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a long call, neither finished answers nor Ctrl-C wait for the rest."""
    waited = []

    class Noting(Watched):
        def translate_batch(self, *arguments: object, **options: object) -> list[object]:
            coming = self.real.translate_batch(*arguments, **options)

            def result(place: int) -> object:
                waited.append(place)
                return coming[place].result()

            return [SimpleNamespace(result=partial(result, at)) for at in range(len(coming))]

    monkeypatch.setattr(ctranslate2, "Translator", Noting)
    with make_reader(tiny_t5, FAST) as reader:
        found = reader.generate(make_prompts(reader))
        next(found)
        assert waited == [0]
        assert len(list(found)) + 1 == len(waited) > 2


@pytest.mark.slow
def test_nothing_that_is_read_is_cut(trained_t5: Path) -> None:
    """By default CTranslate2 would cut at 1,024 tokens."""
    text = "It is small. " * 110 + "Otto lives in Tarn. " * 40
    long = Example("long", "Where does Mira live?", (Passage(text),))
    settings = ("backend.max_seq_length=3000", "generation.batch_tokens=9000")
    with make_reader(trained_t5, *settings) as reader:
        prompts = make_prompts(reader, examples=[long])
        ((_, expected),) = reader.generate(prompts)
    with make_reader(trained_t5, *settings, FAST, FLOAT32) as reader:
        ((_, found),) = reader.generate(prompts)
    assert found.prompt_tokens > 1200
    assert found.raw == expected.raw
    assert found.confidence == pytest.approx(expected.confidence, abs=1e-3)


@pytest.mark.slow
def test_beams_agree_with_transformers(trained_t5: Path) -> None:
    """With its default patience, CTranslate2 ends some searches before the best answer ends."""
    settings = (
        "generation.num_beams=4",
        "generation.num_return_sequences=2",
        "generation.length_penalty=1.5",
    )
    with make_reader(trained_t5, *settings) as reader:
        prompts = make_prompts(reader, examples=inputs(500))
        expected = {p.id: p for _, p in reader.generate(prompts)}
    with make_reader(trained_t5, *settings, FAST, FLOAT32) as reader:
        found = {p.id: p for _, p in reader.generate(prompts)}
    same = [key for key, one in found.items() if one.raw == expected[key].raw]
    assert len(same) >= 0.99 * 500
    for key in same:
        assert len(found[key].nbest) == 2
        assert found[key].nbest[0][1] == pytest.approx(expected[key].nbest[0][1], abs=5e-3)


@pytest.mark.parametrize("name", ["tiny_t5", "tiny_plain"])
def test_an_answer_that_does_not_end_is_cut_at_the_same_token(
    name: str, request: pytest.FixtureRequest
) -> None:
    """The tokenizer of tiny_plain has no unknown token."""
    folder = request.getfixturevalue(name)
    with make_reader(folder) as reader:
        prompts = make_prompts(reader)
        expected = {p.id: (p.raw, p.answer_tokens) for _, p in reader.generate(prompts)}
    with make_reader(folder, FAST, FLOAT32) as reader:
        found = {p.id: (p.raw, p.answer_tokens) for _, p in reader.generate(prompts)}
    assert found == expected
    assert {tokens for _, tokens in found.values()} == {8}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["t5", "t5-1.1", "mt5"])
def test_log_probabilities_agree_whether_outputs_are_scaled_or_not(
    kind: str, tmp_path: Path
) -> None:
    """T5 1.1, flan-T5 and mT5 don't scale them, which their configs say in a separate key."""
    tokenizer = t5_tokenizer()
    words = {
        "vocab_size": len(tokenizer),
        "d_model": 64,
        "d_kv": 16,
        "d_ff": 64,
        "num_layers": 1,
        "num_heads": 4,
        "feed_forward_proj": "relu" if kind == "t5" else "gated-gelu",
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "decoder_start_token_id": tokenizer.pad_token_id,
        "initializer_factor": 0.3,  # otherwise one token would have all the probability
    }
    torch.manual_seed(3)
    if kind == "mt5":
        model = MT5ForConditionalGeneration(MT5Config(**words))
    else:
        model = T5ForConditionalGeneration(T5Config(**words, tie_word_embeddings=kind == "t5"))
    folder = save(model, tokenizer, tmp_path / "model")
    with make_reader(folder) as reader:
        prompts = make_prompts(reader)[:4]
        expected = {p.id: p.confidence for _, p in reader.generate(prompts)}
    with make_reader(folder, FAST, FLOAT32) as reader:
        found = {p.id: p.confidence for _, p in reader.generate(prompts)}
    assert found == pytest.approx(expected, abs=1e-3)


@pytest.mark.slow
def test_it_is_converted_once_and_again_when_the_model_changes(
    trained_t5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained_t5 / "model", run / "model")
    converted: list[str] = []
    convert = TransformersConverter.convert

    def noting(self: TransformersConverter, folder: str, **options: object) -> str:
        converted.append(folder)
        return convert(self, folder, **options)

    monkeypatch.setattr(TransformersConverter, "convert", noting)
    for _ in range(2):
        with make_reader(run, FAST) as reader:
            assert answers(reader.generate(make_prompts(reader))) == golds()
    assert len(converted) == 1
    assert {path.name for path in run.iterdir()} - {"model-ctranslate2-int8.lock"} == {
        "model",
        "model-ctranslate2-int8",
    }
    with make_reader(run, FAST, FLOAT32):
        assert len(converted) == 2

    torch.manual_seed(9)
    shutil.rmtree(run / "model")
    save_t5(run / "model", make_reader(trained_t5)._tokenizer)
    with make_reader(run, FAST) as reader:
        assert answers(reader.generate(make_prompts(reader))) != golds()
    assert len(converted) == 3


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("backend.fusion=fid",), "does not work with backend.fusion = fid"),
        (("generation.temperature=1",), "greedily or with beams"),
        (("backend.device_map=auto",), "its weights are on one device"),
    ],
)
def test_what_it_can_not_do_is_refused(
    settings: tuple[str, ...], said: str, trained_t5: Path
) -> None:
    with pytest.raises(ConfigError, match=said):
        make_reader(trained_t5, FAST, *settings).check()
    auto = make_reader(trained_t5, "backend.engine=auto", *settings)
    assert auto.identity()["engine"] == "transformers"


@pytest.mark.parametrize("settings", [(), (FAST,)])
def test_a_model_without_all_its_weights_is_refused(
    settings: tuple[str, ...], tiny_t5: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "part"
    shutil.copytree(tiny_t5, folder)
    names = [f"encoder.block.1.layer.1.DenseReluDense.{name}.weight" for name in ("wi", "wo")]
    take_out(folder / "model.safetensors", *names)
    with pytest.raises(ModelError, match="2 of this model's weights are not in its files"):
        make_reader(folder, *settings).__enter__()


def test_pickled_weights_are_not_converted(tiny_t5: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(tiny_t5, folder)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"can't be loaded.*safetensors"):
        make_reader(folder, FAST).__enter__()


def test_other_kinds_of_models_are_refused(tmp_path: Path) -> None:
    bart = save_bart(tmp_path, bart_tokenizer())
    with pytest.raises(ConfigError, match="models of the kind bart"):
        make_reader(bart, FAST).check()


def test_a_missing_package_is_named_with_its_extra(
    trained_t5: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aqa.backends.t5.ctranslate2.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"aqa\[fast\]"):
        make_reader(trained_t5, FAST).check()
    auto = make_reader(trained_t5, "backend.engine=auto", "backend.max_seq_length=32")
    assert auto.identity()["engine"] == "transformers"


@pytest.mark.parametrize(
    ("amx", "read", "written", "engine"),
    [
        (True, 1024, 8, "transformers"),
        (True, 128, 32, "ctranslate2"),
        (False, 1024, 8, "ctranslate2"),
        (False, 128, 32, "ctranslate2"),
    ],
)
def test_auto_takes_the_likely_faster_one_and_says_so(
    amx: bool,
    read: int,
    written: int,
    engine: str,
    trained_t5: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: {"amx_bf16": amx})
    reader = make_reader(
        trained_t5,
        "backend.engine=auto",
        f"backend.max_seq_length={read}",
        f"generation.max_new_tokens={written}",
    )
    with reader:
        assert isinstance(reader._converted, Ctranslate2Engine) is (engine == "ctranslate2")
        assert answers(reader.generate(make_prompts(reader))) == golds()
    assert f"engine: {engine}" in reader._progress.notes  # type: ignore[attr-defined]
    assert reader.identity()["engine"] == engine
    assert reader.identity()["precision"] == ("int8" if engine == "ctranslate2" else "float32")
