import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_llama import Training, make_prompts, make_reader, notes, rows
from transformers import LlamaConfig

from aqa.backends.llama_qlora.backend import LlamaQloraBackend
from aqa.backends.llama_qlora.generation import write_answers
from aqa.backends.llama_qlora.prefixes import group_by_prefix
from aqa.errors import ModelError
from aqa.records import Prediction, Prompt, Template


@pytest.fixture(scope="module")
def trained(
    tiny_pad_is_end: Path, template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The tiny model with the rows learnt by heart; its padding is its end-of-turn token."""
    folder = tmp_path_factory.mktemp("trained")
    reader = make_reader(
        tiny_pad_is_end,
        "training.num_train_epochs=30",
        "training.learning_rate=0.01",
        "training.eval_strategy='no'",
    )
    Training(reader, template, folder).run()
    return folder


def answers(predictions: Sequence[Prediction]) -> dict[str, str | None]:
    return {prediction.id: prediction.raw for prediction in predictions}


def test_answers_do_not_depend_on_the_batch(trained: Path, template: Template) -> None:
    with make_reader(trained) as together, make_reader(trained) as alone:
        prompts = make_prompts(together, template, with_target=False)
        found = [p for _, p in together.generate(prompts)]
        single = [p for prompt in prompts for _, p in alone.generate([prompt])]
    assert answers(found) == answers(single) == {e.id: (e.answers or ())[0] for e in rows()}
    tokens = {p.id: (p.prompt_tokens, p.answer_tokens) for p in found}
    assert tokens == {p.id: (p.prompt_tokens, p.answer_tokens) for p in single}
    for prompt in prompts:
        assert tokens[prompt.id][0] == len(together.encode(prompt).prompt_ids)


def test_answers_are_no_longer_than_asked_for(trained: Path, template: Template) -> None:
    with make_reader(trained, "generation.max_new_tokens=1") as reader:
        found = [p for _, p in reader.generate(make_prompts(reader, template, with_target=False))]
    assert [p.answer_tokens for p in found] == [1] * 8
    wanted = {e.id: (e.answers or ())[0] for e in rows()}
    assert all(p.raw and wanted[p.id].startswith(p.raw) for p in found)


@pytest.mark.parametrize("ways", ["generation.num_beams=3", "generation.temperature=0.7"])
def test_several_answers_are_ranked(ways: str, trained: Path, template: Template) -> None:
    with make_reader(trained, ways, "generation.num_return_sequences=3") as reader:
        found = [p for _, p in reader.generate(make_prompts(reader, template, with_target=False))]
    wanted = {e.id: (e.answers or ())[0] for e in rows()}
    for prediction in found:
        texts, scores = zip(*prediction.nbest, strict=True)
        assert len(texts) == 3
        assert prediction.raw == texts[0] == wanted[prediction.id]
        assert list(scores) == sorted(scores, reverse=True)
        assert prediction.confidence == scores[0]


@pytest.mark.slow
def test_samples_are_decided_by_the_seed(tiny: Path, template: Template) -> None:
    found = []
    for seed in (1, 1, 2):
        with make_reader(tiny, "generation.temperature=1", f"seed={seed}") as reader:
            torch.rand(1 + len(found))  # what was drawn before does not matter
            prompts = make_prompts(reader, template, with_target=False)
            found.append(answers([p for _, p in reader.generate(prompts)]))
    assert found[0] == found[1] != found[2]


def test_every_model_that_was_loaded_is_let_go(tiny: Path) -> None:
    with make_reader(tiny) as reader:
        assert not reader.model.training
    assert reader.model is None


def note_even_scores(processors: Any, input_ids: torch.Tensor, steps: int) -> None:
    """Call the processors as a generation does, with a vocabulary whose tokens are all alike."""
    for _ in range(steps):
        processors[0](input_ids, torch.zeros(len(input_ids), 400))


class FakeModel:
    """Answers every prompt with one token and an end token, as long as `fails` lets it."""

    device = torch.device("cpu")
    config = LlamaConfig()

    def __init__(self, end: int, fails: Any = lambda rows, longest: None) -> None:
        self.end = end
        self.fails = fails
        self.calls: list[dict[str, Any]] = []

    def generate(self, input_ids: torch.Tensor, **options: Any) -> SimpleNamespace:
        self.calls.append({"input_ids": input_ids, **options})
        count, longest = input_ids.shape
        note_even_scores(options["logits_processor"], input_ids, 3)
        if error := self.fails(count, longest):
            raise error
        new = torch.full((count, 3), self.end)
        new[:, 0] = 40
        return SimpleNamespace(sequences=torch.cat([input_ids, new], dim=1))

    @property
    def sizes(self) -> list[int]:
        return [len(call["input_ids"]) for call in self.calls]


def fake_reader(
    folder: Path, *settings: str, fails: Any = lambda rows, longest: None
) -> tuple[LlamaQloraBackend, FakeModel]:
    reader = make_reader(folder, *settings)
    model = reader.model = FakeModel(reader._encoder.end_token_ids[0], fails)
    return reader, model


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory:"
        " you tried to allocate 99999 bytes. Error code 12 (Cannot allocate memory)"
    ),
    MemoryError(),
]


@pytest.mark.slow
@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["cuda", "cpu", "python"])
def test_out_of_memory_halves_the_batch_and_goes_on(
    error: Exception, tiny: Path, template: Template
) -> None:
    reader, model = fake_reader(tiny, fails=lambda rows, longest: error if rows > 2 else None)
    found = [p for _, p in reader.generate(make_prompts(reader, template, with_target=False))]
    assert model.sizes == [8, 4, 2, 2, 4, 2, 2]
    assert sorted(p.id for p in found) == sorted(e.id for e in rows())
    assert all(p.raw and p.error is None for p in found)
    assert [note for note in notes(reader) if "out of memory with 8 prompts" in note]


@pytest.mark.slow
def test_a_prompt_that_never_fits_fails_alone(tiny: Path, template: Template) -> None:
    encoder = make_reader(tiny)
    lengths = {
        prompt.id: len(encoder.encode(prompt).prompt_ids)
        for prompt in make_prompts(encoder, template, with_target=False)
    }
    longest = max(lengths.values())
    reader, _ = fake_reader(
        tiny, fails=lambda rows, length: OUT_OF_MEMORY[0] if length == longest else None
    )
    found = [p for _, p in reader.generate(make_prompts(reader, template, with_target=False))]
    assert len(found) == 8
    (failed,) = (p for p in found if p.error)
    assert failed.id == max(lengths, key=lengths.__getitem__)
    assert failed.raw is None
    assert failed.error == f"out of memory at a prompt of {longest} tokens"
    assert failed.prompt_tokens == longest


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("no"), KeyError("x")])
def test_other_errors_are_one_sentence(error: Exception, tiny: Path, template: Template) -> None:
    reader, model = fake_reader(tiny, fails=lambda rows, longest: error)
    with pytest.raises(ModelError, match=rf"while writing answers.*{type(error).__name__}"):
        list(reader.generate(make_prompts(reader, template, with_target=False)))
    assert model.sizes == [8], "not tried again"


def test_answers_given_before_an_error_are_kept(tiny: Path, template: Template) -> None:
    """Each batch is yielded before the next is tried."""
    seen: list[Prediction] = []
    reader, model = fake_reader(
        tiny,
        "generation.batch_tokens=160",
        fails=lambda rows, longest: RuntimeError("broken") if len(model.calls) == 3 else None,
    )
    with pytest.raises(ModelError, match="broken"):
        seen.extend(p for _, p in reader.generate(make_prompts(reader, template, False)))
    assert len(seen) == sum(model.sizes[:2]) > 0


def test_prompts_are_read_window_by_window(tiny: Path, template: Template) -> None:
    reader, model = fake_reader(tiny, "generation.window=3")
    read: list[str] = []

    def stream() -> Iterator[Prompt]:
        for prompt in make_prompts(reader, template, with_target=False):
            read.append(prompt.id)
            yield prompt

    first, _ = next(reader.generate(stream()))
    assert read == ["q0", "q1", "q2"]
    assert first.id == "q2", "the longest of the window comes first"
    assert model.sizes == [3]


def test_batches_keep_to_their_tokens(tiny: Path, template: Template) -> None:
    reader, model = fake_reader(tiny, "generation.batch_tokens=200")
    list(reader.generate(make_prompts(reader, template, with_target=False)))
    assert sum(model.sizes) == 8
    assert len(model.sizes) > 1
    for call in model.calls:
        count, longest = call["input_ids"].shape
        assert count == 1 or count * (longest + 8) <= 200
    lengths = [call["input_ids"].shape[1] for call in model.calls]
    assert lengths == sorted(lengths, reverse=True)


@pytest.mark.parametrize("name", ["tiny", "tiny_pad_is_end"])
def test_padding_is_on_the_left_and_told_by_the_mask(
    name: str, request: pytest.FixtureRequest, template: Template
) -> None:
    reader, model = fake_reader(request.getfixturevalue(name))
    prompts = make_prompts(reader, template, with_target=False)
    list(reader.generate(prompts))
    (call,) = model.calls
    longest_first = sorted(
        (reader.encode(prompt).prompt_ids for prompt in prompts), key=len, reverse=True
    )
    for ids, mask, expected in zip(
        call["input_ids"], call["attention_mask"], longest_first, strict=True
    ):
        assert ids[mask.bool()].tolist() == list(expected)
        assert mask.tolist() == [0] * (len(ids) - len(expected)) + [1] * len(expected)


def test_greedy_by_default_with_the_whole_set_of_end_tokens(tiny: Path, template: Template) -> None:
    reader, model = fake_reader(tiny)
    list(reader.generate(make_prompts(reader, template, with_target=False)))
    (call,) = model.calls
    assert call["do_sample"] is False
    assert call["eos_token_id"] == list(reader._encoder.end_token_ids)
    assert len(call["eos_token_id"]) == 2
    assert call["max_new_tokens"] == 8


def test_sampling_where_a_temperature_is_set(tiny: Path, template: Template) -> None:
    reader, model = fake_reader(tiny, "generation.temperature=0.7", "generation.top_p=0.9")
    list(reader.generate(make_prompts(reader, template, with_target=False)))
    asked = SimpleNamespace(**model.calls[0])
    assert (asked.do_sample, asked.temperature, asked.top_p, asked.top_k) == (True, 0.7, 0.9, 0)


def test_an_answer_ends_before_whichever_end_token_comes_first(tiny: Path) -> None:
    reader = make_reader(tiny, "generation.max_new_tokens=4")
    turn, text = reader._encoder.end_token_ids

    class Canned(FakeModel):
        def generate(self, input_ids: torch.Tensor, **options: Any) -> SimpleNamespace:
            note_even_scores(options["logits_processor"], input_ids, 4)
            new = torch.tensor([[40, 41, turn, 42], [40, text, 41, turn], [40, 41, 42, 43]])
            return SimpleNamespace(sequences=torch.cat([input_ids, new], dim=1))

    read = [[1, 2], [1], [1, 2, 3]]
    options = reader.config.generation
    answers = write_answers(Canned(turn), read, group_by_prefix(read), [turn, text], options)
    found = [written for (written,) in answers]
    assert [written.ids for written in found] == [[40, 41], [40], [40, 41, 42, 43]]
    assert [written.tokens for written in found] == [3, 2, 4], "the end token counts"


def test_identity_holds_what_decides_the_answers(trained: Path, tiny: Path) -> None:
    with_adapter, base = make_reader(trained).identity(), make_reader(tiny).identity()
    assert base["model"] == str(tiny)
    assert base["adapter"] is None
    assert with_adapter["adapter"]
    assert make_reader(trained).identity() == with_adapter
    warm = make_reader(tiny, "generation.temperature=0.5").identity()
    assert (base["seed"], warm["seed"]) == (None, 42)
    assert base != make_reader(tiny, "generation.max_new_tokens=9").identity()
    assert base != make_reader(tiny, "generation.num_beams=2").identity()


@pytest.mark.slow
def test_killed_twice_and_resumed_the_answers_are_those_of_one_run(tmp_path: Path) -> None:
    """With the real model: a resumed run meets the same batches, so no answer changes."""
    words = [
        *("predict", "llama", "--config", "llama_smollm2"),
        *("--data", "package:aqa/samples/english_dev.json", "--limit", "30"),
        *("--set", "generation.window=12", "--set", "generation.batch_tokens=900"),
        *("--max-new-tokens", "4", "--quiet", "--output-dir"),
    ]
    command = [sys.executable, "-m", "aqa", *words]
    one, killed = tmp_path / "one", tmp_path / "killed"
    subprocess.run([*command, str(one)], check=True, capture_output=True)
    for answered in (4, 15):
        process = subprocess.Popen([*command, str(killed)], stdout=subprocess.DEVNULL)
        journal = killed / "predictions.jsonl"
        while not (journal.exists() and journal.read_bytes().count(b"\n") > answered):
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.02)
        process.kill()
        process.wait()
    subprocess.run([*command, str(killed)], check=True, capture_output=True)
    expected = (one / "predictions.json").read_bytes()
    assert (killed / "predictions.json").read_bytes() == expected
