"""Fusion-in-decoder: passages are encoded separately, in any order, and decoded together."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from planted_readers import questions, under_stress
from tiny_llama import rows
from tiny_t5 import make_prompts, make_reader, several

from aqa.backends.local.batches import pad_right
from aqa.backends.local.training_batches import as_row
from aqa.backends.t5 import fusion
from aqa.backends.t5.fusion import encode_questions, lay_side_by_side
from aqa.backends.t5.training import Seq2SeqCollator, answer_loss
from aqa.config.stress_conditions import FAMILIES
from aqa.records import Example

FID = "backend.fusion=fid"


def random_questions(counts: list[int], longest: int = 30) -> list[list[list[int]]]:
    draw = random.Random(4)
    return [
        [[draw.randint(3, 90) for _ in range(draw.randint(4, longest))] for _ in range(count)]
        for count in counts
    ]


@pytest.fixture(scope="module", params=["tiny_t5", "tiny_bart"])
def model(request: pytest.FixtureRequest) -> Any:
    with make_reader(request.getfixturevalue(request.param)) as reader:
        yield reader.model


def test_passages_are_encoded_as_if_alone_in_any_order_and_batch(model: Any) -> None:
    (parts,) = random_questions([7])
    with torch.no_grad():
        alone = {
            tuple(part): model.get_encoder()(input_ids=torch.tensor([part])).last_hidden_state[0]
            for part in parts
        }
        for order in (parts, parts[::-1], parts[3:] + parts[:3]):
            for budget in (1, 60, 10_000):
                states, mask = encode_questions(model, [order], budget)
                wanted = torch.cat([alone[tuple(part)] for part in order])
                assert mask.all()
                assert (states[0] - wanted).abs().max() < 1e-5


def test_questions_with_many_passages_and_with_few_share_a_batch(model: Any) -> None:
    questions = random_questions([1, 5, 2])
    with torch.no_grad():
        states, mask = encode_questions(model, questions, 100)
        for number, parts in enumerate(questions):
            length = sum(map(len, parts))
            (alone,), _ = encode_questions(model, [parts], 100)
            assert mask[number].tolist() == [1] * length + [0] * (mask.shape[1] - length)
            assert (states[number, :length] - alone).abs().max() < 1e-5


def test_training_lays_states_out_as_prediction_does(model: Any) -> None:
    questions = random_questions([1, 4, 2])
    parts = [part for question in questions for part in question]
    with torch.no_grad():
        ids, mask = pad_right(parts)
        states, together = lay_side_by_side(fusion.encode(model, ids, mask), mask, [1, 4, 2])
        wanted, wanted_mask = encode_questions(model, questions, 50)
    assert (together == wanted_mask).all()
    assert (states - wanted)[wanted_mask.bool()].abs().max() < 1e-5


@pytest.mark.parametrize("name", ["tiny_t5", "tiny_bart"])
def test_with_one_passage_the_loss_is_that_of_transformers(
    name: str, request: pytest.FixtureRequest
) -> None:
    with make_reader(request.getfixturevalue(name), FID) as reader:
        encoded = [reader.encode(p) for p in make_prompts(reader, with_target=True)]
        batch = Seq2SeqCollator()([as_row(e) for e in encoded])
        with torch.no_grad():
            loss, count = answer_loss(reader.model, batch)
            ids, mask = pad_right([e.prompt_ids for e in encoded])
            wanted = reader.model(input_ids=ids, attention_mask=mask, labels=batch["labels"]).loss
        assert count == sum(len(e.target_ids) for e in encoded)
        assert (loss / count).item() == pytest.approx(wanted.item(), abs=1e-5)


def test_gradients_reach_every_passage_and_the_order_changes_no_loss(tiny_t5: Path) -> None:
    with make_reader(tiny_t5, FID) as reader:
        (prompt,) = make_prompts(reader, with_target=True, examples=[several(4)])
        row = as_row(reader.encode(prompt))
        found: list[torch.Tensor] = []

        def keep(module: object, inputs: object, output: Any) -> None:
            output.last_hidden_state.retain_grad()
            found.append(output.last_hidden_state)

        hook = reader.model.get_encoder().register_forward_hook(keep)
        loss, _ = answer_loss(reader.model, Seq2SeqCollator()([row]))
        loss.backward()
        hook.remove()
        gradients = found[0].grad
        assert gradients is not None
        assert gradients.shape[0] == 4
        assert (gradients.abs().amax(dim=(1, 2)) > 0).all()
        turned = make_reader(tiny_t5, FID, "evidence.order=best_last")
        turned.model = reader.model
        (back,) = make_prompts(turned, with_target=True, examples=[several(4)])
        other = as_row(turned.encode(back))
        assert other["input_ids"] != row["input_ids"]
        again, _ = answer_loss(reader.model, Seq2SeqCollator()([other]))
        assert again.item() == pytest.approx(loss.item(), abs=1e-4)


def test_memory_is_linear_in_passages(tiny_t5: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than the budget is encoded at once; only the tokens' states are kept."""
    encoded: list[int] = []
    encode = fusion.encode

    def spy(model: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        encoded.append(ids.numel())
        return encode(model, ids, mask)

    monkeypatch.setattr(fusion, "encode", spy)
    with make_reader(tiny_t5, FID) as reader, torch.inference_mode():
        sizes = []
        for passages in (10, 20, 40):
            encoded.clear()
            (question,) = random_questions([passages], longest=5)
            states, _ = encode_questions(reader.model, [question], 64)
            assert max(encoded) <= 64
            assert states.shape[1] == sum(map(len, question))
            sizes.append(sum(encoded))
    assert sizes[2] < 2.2 * sizes[1] < 2.2 * 2.2 * sizes[0]


def test_prediction_encodes_the_passages_of_many_questions_together(
    tiny_t5: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[tuple[int, ...]] = []
    encode = fusion.encode

    def spy(model: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(ids.shape))
        return encode(model, ids, mask)

    monkeypatch.setattr(fusion, "encode", spy)
    empty = Example("empty", "Who?", (), ("nobody",))
    with make_reader(tiny_t5, FID, "generation.batch_tokens=600") as reader:
        prompts = make_prompts(reader, examples=[*rows(), several(9), several(4), empty])
        found = [p for _, p in reader.generate(prompts)]
    assert {p.id for p in found} == {p.id for p in prompts}
    assert all(p.raw is not None for p in found)
    assert sum(count for count, _ in shapes) == 8 + 9 + 4 + 1
    assert all(count * longest <= 600 for count, longest in shapes)
    assert len(shapes) < 8


@pytest.mark.parametrize("fusion", ["fid", "concat"])
def test_the_place_of_the_answer_means_nothing_to_fid(fusion: str, tiny_t5: Path) -> None:
    stressed = under_stress(questions(8), FAMILIES["position"], passages=4)
    with make_reader(tiny_t5, f"backend.fusion={fusion}", "backend.max_seq_length=512") as reader:
        found = []
        for condition in FAMILIES["position"]:
            prompts = make_prompts(reader, examples=stressed[condition])
            answers = {p.id: p for _, p in reader.generate(prompts)}
            assert len(answers) == 8
            found.append(answers)
    first, *others = found
    same = [(one.raw, pytest.approx(one.confidence, abs=1e-4)) for one in first.values()]
    now = [[(answers[key].raw, answers[key].confidence) for key in first] for answers in others]
    assert (now == [same] * len(others)) == (fusion == "fid")
