import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_llama import (
    Training,
    make_config,
    make_prompts,
    make_reader,
    notes,
    rows,
    write_rows,
    write_template,
)

from aqa.backends.llama_qlora import backend
from aqa.backends.llama_qlora.backend import LlamaQloraBackend
from aqa.errors import ModelError
from aqa.progress import SilentProgress
from aqa.records import Prediction, Prompt, Template
from aqa.verbs.predict import check, kept_answers, predict


@pytest.fixture(scope="module")
def trained(
    tiny_pad_is_end: Path, template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The tiny model that has memorised the rows; its padding is its end-of-turn token."""
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


@pytest.mark.parametrize("is_continuous", [True, False])
def test_samples_do_not_depend_on_the_batch(
    is_continuous: bool, tiny: Path, template: Template, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_continuous:
        monkeypatch.setattr(backend, "is_continuous", lambda model, options, rows: False)
    with make_reader(tiny, "generation.temperature=1.5", "generation.samples=3") as reader:
        prompts = make_prompts(reader, template, with_target=False)
        together = {p.id: p for _, p in reader.generate(prompts)}
        alone = {p.id: p for prompt in prompts[:3] for _, p in reader.generate([prompt])}
    for key, one in alone.items():
        assert one.nbest == together[key].nbest
        assert one.confidence_kind == "agreement"
        assert one.answer_tokens == together[key].answer_tokens
    assert len({text for one in together.values() for text, _ in one.nbest}) > 3


def test_every_model_that_was_loaded_is_let_go(tiny: Path) -> None:
    with make_reader(tiny) as reader:
        assert not reader.model.training
    assert reader.model is None


Fails = Callable[[int, int], Exception | None]  # by rows and columns, including past ones


def spied_reader(
    folder: Path, *settings: str, fails: Fails = lambda rows, columns: None
) -> tuple[LlamaQloraBackend, list[tuple[int, int]]]:
    """A loaded reader, and the rows and columns of all it reads or writes at once."""
    reader = make_reader(folder, *settings)
    reader.__enter__()
    calls: list[tuple[int, int]] = []
    forward = reader.model.forward

    def spy(input_ids: torch.Tensor, past_key_values: Any, **options: Any) -> Any:
        rows, columns = input_ids.shape
        calls.append((rows, columns + past_key_values.get_seq_length()))
        if error := fails(*calls[-1]):
            raise error
        return forward(input_ids=input_ids, past_key_values=past_key_values, **options)

    reader.model.forward = spy
    return reader, calls


OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory:"
        " you tried to allocate 99999 bytes. Error code 12 (Cannot allocate memory)"
    ),
    MemoryError(),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["cuda", "cpu", "python"])
def test_out_of_memory_halves_the_batch_once_and_for_all(
    error: Exception, tiny: Path, template: Template
) -> None:
    reader, calls = spied_reader(tiny, fails=lambda rows, columns: error if rows > 2 else None)
    prompts = make_prompts(reader, template, with_target=False)
    found = [p for _, p in reader.generate(prompts)]
    assert sorted(p.id for p in found) == sorted(e.id for e in rows())
    assert all(p.raw is not None and p.error is None for p in found)
    assert [rows for rows, _ in calls if rows > 2] == [8, 4]
    told = "out of memory with 8 prompts: half as many at a time from now on"
    assert told in notes(reader)
    calls.clear()
    again = [p for _, p in reader.generate(prompts)]
    assert max(rows for rows, _ in calls) == 2, "in no later window"
    with make_reader(tiny) as plain:
        expected = answers([p for _, p in plain.generate(prompts)])
    assert answers(found) == answers(again) == expected


def test_a_prompt_that_never_fits_fails_alone(tiny: Path, template: Template) -> None:
    encoder = make_reader(tiny)
    lengths = {
        prompt.id: len(encoder.encode(prompt).prompt_ids)
        for prompt in make_prompts(encoder, template, with_target=False)
    }
    longest = max(lengths.values())
    assert list(lengths.values()).count(longest) == 1
    reader, _ = spied_reader(
        tiny,
        "generation.max_new_tokens=1",
        fails=lambda rows, columns: OUT_OF_MEMORY[0] if columns >= longest else None,
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
    reader, calls = spied_reader(tiny, fails=lambda rows, columns: error)
    with pytest.raises(ModelError, match=rf"while writing answers.*{type(error).__name__}"):
        list(reader.generate(make_prompts(reader, template, with_target=False)))
    assert len(calls) == 1, "not tried again"


def test_answers_given_before_an_error_are_kept(tiny: Path, template: Template) -> None:
    """Finished answers are yielded before more is tried."""
    seen: list[Prediction] = []
    reader, calls = spied_reader(
        tiny,
        "generation.batch_tokens=160",
        fails=lambda rows, columns: RuntimeError("broken") if len(calls) == 20 else None,
    )
    with pytest.raises(ModelError, match="broken"):
        seen.extend(p for _, p in reader.generate(make_prompts(reader, template, False)))
    assert 0 < len(seen) < 8


def test_prompts_are_read_window_by_window(tiny: Path, template: Template) -> None:
    reader, _ = spied_reader(tiny, "generation.window=3")
    read: list[str] = []

    def stream() -> Iterator[Prompt]:
        for prompt in make_prompts(reader, template, with_target=False):
            read.append(prompt.id)
            yield prompt

    first, _ = next(reader.generate(stream()))
    assert read == ["q0", "q1", "q2"]
    assert first.id in read


@pytest.mark.parametrize("tokens", [1, 100, 200, 500])
def test_batches_keep_to_their_tokens(tokens: int, tiny: Path, template: Template) -> None:
    reader, calls = spied_reader(tiny, f"generation.batch_tokens={tokens}")
    prompts = make_prompts(reader, template, with_target=False)
    assert len(list(reader.generate(prompts))) == 8
    assert all(rows == 1 or rows * columns <= tokens for rows, columns in calls)
    most = max(rows for rows, _ in calls)
    longest = max(len(reader.encode(prompt).prompt_ids) for prompt in prompts)
    assert most >= min(max(tokens // (longest + 8), 1), 8), "and fill them"


def test_an_answer_ends_with_any_of_the_end_tokens(tiny: Path) -> None:
    reader = make_reader(tiny)
    ends = reader._ends
    assert len(ends.ids) == 2
    turn, text = ends.ids
    for tokens, ids, counted in (
        ([40, 41, turn, 42], [40, 41], 3),
        ([40, text, 41, turn], [40], 2),
        ([40, 41, 42, 43], [40, 41, 42, 43], 4),
    ):
        written = ends.until(tokens, [-0.5] * 4)
        assert (written.ids, written.tokens) == (ids, counted), "the end token counts"


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


@pytest.mark.parametrize("stopped", [1, 3, 6])
def test_stopped_at_any_place_and_resumed_the_answers_are_those_of_one_run(
    stopped: int, tiny: Path, tmp_path: Path
) -> None:
    """Also within a batch, the rest of which is then answered in another one.

    A batch's composition changes the last digits of sums, so in float32 texts are equal and
    log-probabilities nearly so.
    """
    settings = ["generation.window=5", "generation.batch_tokens=200"]
    config = make_config(
        tiny,
        *settings,
        f"data.path={write_rows(tmp_path / 'rows.jsonl')}",
        f"prompt={write_template(tmp_path)}",
    )
    found = {}
    for name in ("whole", "resumed"):
        if name == "resumed":
            questions = check(config, SilentProgress())
            answering = kept_answers(questions, tmp_path / name, SilentProgress())
            for _ in range(stopped):
                next(answering)
            answering.close()
        result = predict(config, tmp_path / name, SilentProgress())
        found[name] = json.loads(result.predictions.read_bytes())
    assert result.resumed == stopped
    confidences = [
        {
            (id_, kind): value
            for id_, row in rows.items()
            for kind, value in (row.pop("other_confidences") | {"": row.pop("confidence")}).items()
        }
        for rows in found.values()
    ]
    assert confidences[0] == pytest.approx(confidences[1], abs=1e-4)
    assert found["whole"] == found["resumed"]
    assert len({row["raw"] for row in found["whole"].values()}) > 1
