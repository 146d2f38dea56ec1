"""Answers, confidences and n-best lists equal those of plain transformers calls."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_families import save_seq2seq
from tiny_llama import rows
from tiny_t5 import answers, golds, make_prompts, make_reader, several
from transformers import AutoModelForSeq2SeqLM

from aqa.backends.t5 import fusion as t5
from aqa.backends.t5.backend import T5Backend
from aqa.records import Prompt

BEAMS = ("generation.num_beams=4", "generation.num_return_sequences=3")


def plain(reader: T5Backend, prompt: Prompt, **options: Any) -> Any:
    """Answer one prompt with transformers' own generate, from token ids."""
    return reader.model.generate(
        input_ids=torch.tensor([reader.encode(prompt).prompt_ids]),
        max_new_tokens=8,
        return_dict_in_generate=True,
        output_scores=True,
        **options,
    )


@pytest.mark.parametrize("name", ["trained_t5", "tiny_t5", "tiny_bart", "tiny_plain"])
@pytest.mark.parametrize("fusion", ["concat", "fid"])
@pytest.mark.slow
def test_with_one_passage_answers_are_those_of_a_plain_call(
    name: str, fusion: str, request: pytest.FixtureRequest
) -> None:
    with make_reader(request.getfixturevalue(name), f"backend.fusion={fusion}") as reader:
        prompts = make_prompts(reader)
        found = {p.id: p for _, p in reader.generate(prompts)}
        for prompt in prompts:
            output = plain(reader, prompt, do_sample=False)
            text = reader._tokenizer.decode(output.sequences[0], skip_special_tokens=True)
            assert found[prompt.id].raw == text
            scores = reader.model.compute_transition_scores(
                output.sequences, output.scores, normalize_logits=True
            )
            finite = scores[scores.isfinite()]  # BART is forced to end at the last token
            assert found[prompt.id].confidence == pytest.approx(finite.mean().item(), abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["trained_t5", "tiny_bart"])
def test_beams_give_the_best_answers_with_their_scores(
    name: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(name)
    with make_reader(folder, *BEAMS, "generation.length_penalty=2") as reader:
        prompts = make_prompts(reader)
        found = {p.id: p for _, p in reader.generate(prompts)}
        for prompt in prompts:
            options = {"num_beams": 4, "num_return_sequences": 3, "length_penalty": 2.0}
            output = plain(reader, prompt, **options, do_sample=False)
            texts = reader._tokenizer.batch_decode(output.sequences, skip_special_tokens=True)
            one = found[prompt.id]
            assert [text for text, _ in one.nbest] == texts
            assert one.raw == texts[0]
            if name == "trained_t5":  # BART's forced end is worth 0 in a beam's score
                assert [s for _, s in one.nbest] == pytest.approx(
                    output.sequences_scores.tolist(), abs=1e-4
                )


@pytest.mark.parametrize("family", ["fsmt", "prophetnet", "t5gemma"])
def test_beams_have_the_scores_that_they_were_found_by(family: str, tmp_path: Path) -> None:
    """Of what these read at once the first two say other things, which once were its scores."""
    folder, options = save_seq2seq(family, tmp_path), {"num_beams": 4, "num_return_sequences": 3}
    with make_reader(folder, *BEAMS, "backend.max_seq_length=256") as reader:
        prompts = make_prompts(reader)
        found = {p.id: p for _, p in reader.generate(prompts)}
        for prompt in prompts[::3]:
            output = plain(reader, prompt, **options, eos_token_id=reader._encoder.end_id)
            assert [s for _, s in found[prompt.id].nbest] == pytest.approx(
                output.sequences_scores.tolist(), abs=1e-4
            )


def test_samples_differ_and_are_ranked(tiny_t5: Path) -> None:
    settings = ("generation.temperature=1.5", "generation.num_return_sequences=4")
    with make_reader(tiny_t5, *settings) as reader:
        found = [p for _, p in reader.generate(make_prompts(reader))]
        for one in found:
            scores = [score for _, score in one.nbest]
            assert len(scores) == 4
            assert scores == sorted(scores, reverse=True)
            assert one.confidence == scores[0]
            assert len({text for text, _ in one.nbest}) > 1
        torch.manual_seed(77)
        state = torch.get_rng_state()
        assert [p for _, p in reader.generate(make_prompts(reader))] == found, "the seed decides"
        assert torch.equal(torch.get_rng_state(), state), "a training's numbers are its own"
    with make_reader(tiny_t5, *settings, "seed=1") as reader:
        assert [p for _, p in reader.generate(make_prompts(reader))] != found


@pytest.mark.parametrize("fusion", ["concat", "fid"])
def test_of_samples_the_most_central_is_the_answer(fusion: str, tiny_t5: Path) -> None:
    """With one seed the samples are the same in any batch, and in a resumed run."""
    options = (f"backend.fusion={fusion}", "generation.temperature=1.5", "generation.samples=4")
    with make_reader(tiny_t5, *options) as reader:
        prompts = make_prompts(reader)
        found = {p.id: p for _, p in reader.generate(prompts)}
        for prompt in prompts[:3]:
            ((_, alone),) = reader.generate([prompt])
            assert alone.nbest == found[prompt.id].nbest
            assert alone.raw == found[prompt.id].raw
        for one in found.values():
            agreements = [agreement for _, agreement in one.nbest]
            assert len(agreements) == 4
            assert agreements == sorted(agreements, reverse=True)
            assert (one.confidence, one.confidence_kind) == (agreements[0], "agreement")
            logprobs = dict(one.other_confidences)
            assert logprobs["min_logprob"] <= logprobs["mean_logprob"] <= 0
    assert len({text for one in found.values() for text, _ in one.nbest}) > 4
    with make_reader(tiny_t5, *options, "seed=1") as reader:
        other = {p.id: p.nbest for _, p in reader.generate(make_prompts(reader))}
    assert other != {key: one.nbest for key, one in found.items()}


def test_a_trained_run_folder_answers_from_its_model_folder(trained_t5: Path) -> None:
    for folder in (trained_t5, trained_t5 / "model"):
        with make_reader(folder) as reader:
            found = list(reader.generate(make_prompts(reader)))
        assert answers(found) == golds()
        assert all(p.confidence is not None and p.confidence > -0.2 for _, p in found)


@pytest.mark.slow
@pytest.mark.parametrize("fusion", ["concat", "fid"])
@pytest.mark.parametrize("settings", [(), BEAMS], ids=["greedy", "beams"])
def test_answers_do_not_depend_on_the_batch(
    fusion: str, settings: tuple[str, ...], tiny_t5: Path
) -> None:
    options = [f"backend.fusion={fusion}", *settings]
    with make_reader(tiny_t5, *options) as reader:
        prompts = make_prompts(reader, examples=[*rows(), *map(several, (1, 3, 7))])
        together = {p.id: p for _, p in reader.generate(prompts)}
        for prompt in prompts:
            ((_, alone),) = reader.generate([prompt])
            found = together[prompt.id]
            assert (alone.raw, alone.answer_tokens) == (found.raw, found.answer_tokens)
            assert alone.confidence == pytest.approx(found.confidence, abs=1e-4)
            assert alone.prompt_tokens == len(reader.encode(prompt).prompt_ids)


@pytest.mark.parametrize("settings", [(), BEAMS], ids=["greedy", "beams"])
def test_a_models_own_ways_of_writing_are_not_taken(
    settings: tuple[str, ...], tiny_bart: Path, tmp_path: Path
) -> None:
    """BART's summarisation configs set a minimum length and forbid repeated phrases."""
    shutil.copytree(tiny_bart, tmp_path / "model")
    path = tmp_path / "model" / "generation_config.json"
    own = {"min_length": 7, "no_repeat_ngram_size": 1, "repetition_penalty": 9.0, "num_beams": 4}
    path.write_text(json.dumps({**json.loads(path.read_text()), **own, "early_stopping": True}))
    found = []
    for folder in (tiny_bart, tmp_path / "model"):
        with make_reader(folder, *settings) as reader:
            found.append({p.id: p.raw for _, p in reader.generate(make_prompts(reader)[:4])})
    assert found[0] == found[1]


@pytest.mark.slow
def test_beams_make_batches_smaller(tiny_t5: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: dict[int, list[int]] = {1: [], 4: []}
    write = t5.write_answers
    for beams, found in sizes.items():

        def spy(model: Any, questions: Any, *rest: Any, found: list[int] = found) -> Any:
            found.append(len(questions))
            return write(model, questions, *rest)

        monkeypatch.setattr(t5, "write_answers", spy)
        settings = (f"generation.num_beams={beams}", "generation.batch_tokens=1000")
        with make_reader(tiny_t5, *settings) as reader:
            list(reader.generate(make_prompts(reader)))
    assert sizes == {1: [8], 4: [2, 2, 2, 2]}


@pytest.mark.slow
def test_out_of_memory_halves_the_batch_and_one_that_never_fits_fails_alone(
    tiny_t5: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    write = t5.write_answers

    def fails(model: Any, questions: Any, *rest: Any) -> Any:
        sizes.append(len(questions))
        if len(questions) > 2 or len(questions[0][0]) > 110:
            raise torch.OutOfMemoryError
        return write(model, questions, *rest)

    monkeypatch.setattr(t5, "write_answers", fails)
    with make_reader(tiny_t5) as reader:
        found = [p for _, p in reader.generate(make_prompts(reader))]
    assert sizes[:4] == [8, 4, 2, 1]
    assert [size for size in sizes[4:] if size > 2] == [7, 3], "once for all that follow"
    assert {p.id: p.error for p in found if p.error} == {
        "q7": "out of memory at a prompt of 117 tokens"
    }
    assert len(found) == 8


def test_identity_holds_what_decides_the_answers(tiny_t5: Path, trained_t5: Path) -> None:
    base = make_reader(tiny_t5).identity()
    assert make_reader(tiny_t5).identity() == base
    assert base["weights"] != make_reader(trained_t5).identity()["weights"]
    for setting in (
        "backend.fusion=fid",
        "backend.compute_dtype=bfloat16",
        "backend.max_seq_length=99",
        "generation.num_beams=2",
        "generation.max_new_tokens=9",
        "generation.temperature=1",
    ):
        assert make_reader(tiny_t5, setting).identity() != base
    sampled = make_reader(tiny_t5, "generation.temperature=1").identity()
    assert sampled != make_reader(tiny_t5, "generation.temperature=1", "seed=1").identity()


def test_bfloat16_answers_the_same(trained_t5: Path) -> None:
    with make_reader(trained_t5, "backend.compute_dtype=bfloat16") as reader:
        assert reader.model.dtype == torch.bfloat16
        assert answers(reader.generate(make_prompts(reader))) == golds()


def test_attention_is_pytorchs_where_the_architecture_has_it(tiny_t5: Path) -> None:
    with make_reader(tiny_t5) as reader:
        assert reader.model.config._attn_implementation == "sdpa"
        found = answers(reader.generate(make_prompts(reader)))
    with make_reader(tiny_t5, "backend.attn_implementation=eager") as reader:
        assert reader.model.config._attn_implementation == "eager"
        assert answers(reader.generate(make_prompts(reader))) == found


def test_the_plain_model_is_not_changed(tiny_t5: Path) -> None:
    """Its class and forward are transformers' own."""
    with make_reader(tiny_t5) as reader:
        assert type(reader.model) is type(AutoModelForSeq2SeqLM.from_pretrained(tiny_t5))
        assert "forward" not in vars(reader.model)


def test_a_fused_activation_gives_the_same_states() -> None:
    import torch
    from transformers import T5Config, T5EncoderModel
    from transformers.activations import NewGELUActivation

    from aqa.backends.t5.models import fuse_activations

    torch.manual_seed(0)
    model = T5EncoderModel(
        T5Config(
            vocab_size=50, d_model=32, d_ff=64, num_layers=2, num_heads=2, d_kv=16,
            feed_forward_proj="gated-gelu",
        )
    ).eval()  # fmt: skip
    ids = torch.arange(40).view(2, 20)
    with torch.inference_mode():
        plain = model(ids).last_hidden_state
        fused = fuse_activations(model)(ids).last_hidden_state
    assert not any(isinstance(module, NewGELUActivation) for module in model.modules())
    assert not torch.equal(plain, 0 * plain)
    assert torch.allclose(plain, fused, atol=1e-6)
