"""Answers written in rounds are those of one whole generation, with less work."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from aqa.backends.llama_qlora import generation
from aqa.backends.llama_qlora.generation import write_answers
from aqa.backends.llama_qlora.prefixes import group_by_prefix
from aqa.backends.local.decoding import Written
from aqa.config.options import GenerationOptions

NEW = 40


@pytest.fixture(scope="module")
def model(tiny: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def prompts() -> list[list[int]]:
    """Twelve rows, four of which begin alike."""
    draw = torch.Generator().manual_seed(5)
    rows: list[list[int]] = [
        torch.randint(5, 40, (6 + n,), generator=draw).tolist() for n in range(8)
    ]
    return rows + [[*rows[7], *rows[n][:4]] for n in range(4)]


def whole(model: Any, row: list[int], end_ids: list[int]) -> list[int]:
    """One row alone, in one generation."""
    ids = torch.tensor([row])
    output = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=NEW,
        do_sample=False,
        eos_token_id=end_ids,
        pad_token_id=0,
    )
    new: list[int] = output[0, len(row) :].tolist()
    ends = [n for n, token in enumerate(new) if token in end_ids]
    return new[: ends[0]] if ends else new


def only_ids(found: list[list[Written]]) -> list[list[int]]:
    return [written.ids for (written,) in found]


def test_the_answers_of_one_whole_generation(
    model: Any, prompts: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What an untrained model writes often makes a good end token: some rows meet it, some do not.
    free = [whole(model, row, [10_000]) for row in prompts]
    end = next(
        token
        for token in {token for row in free for token in row}
        if 3 <= sum(token in row for row in free) <= 9
    )
    calls: list[tuple[int, int]] = []
    generate = model.generate

    def spy(input_ids: torch.Tensor, max_new_tokens: int, **options: Any) -> Any:
        calls.append((len(input_ids), max_new_tokens))
        return generate(input_ids=input_ids, max_new_tokens=max_new_tokens, **options)

    monkeypatch.setattr(model, "generate", spy)
    options = GenerationOptions(max_new_tokens=NEW)
    found = only_ids(write_answers(model, prompts, group_by_prefix(prompts), [end], options))
    monkeypatch.undo()
    assert found == [whole(model, row, [end]) for row in prompts]
    assert [tokens for _, tokens in calls] == [8, 16, 16]
    sizes = [rows for rows, _ in calls]
    assert sizes[0] == 12
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == sum(len(row) > 24 for row in found) < 12


def test_one_round_where_the_cache_can_not_be_cut(
    model: Any, prompts: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = GenerationOptions(max_new_tokens=NEW)
    met = {token for row in prompts for token in whole(model, row, [10_000])}
    never = next(token for token in range(model.config.vocab_size) if token not in met)
    expected = only_ids(write_answers(model, prompts, group_by_prefix(prompts), [never], options))
    monkeypatch.setattr(generation, "can_share", lambda model: False)
    calls: list[int] = []
    generate = model.generate
    monkeypatch.setattr(
        model,
        "generate",
        lambda **asked: calls.append(asked["max_new_tokens"]) or generate(**asked),
    )
    assert (
        only_ids(write_answers(model, prompts, group_by_prefix(prompts), [never], options))
        == expected
    )
    assert calls == [NEW]


def log_probabilities(model: Any, row: list[int], new: list[int]) -> list[float]:
    """Of each new token, read in one pass."""
    with torch.no_grad():
        found = model(input_ids=torch.tensor([[*row, *new]])).logits[0].log_softmax(-1)
    return [found[len(row) - 1 + n, token].item() for n, token in enumerate(new)]


@pytest.mark.parametrize(
    "options",
    [
        GenerationOptions(max_new_tokens=20),
        GenerationOptions(max_new_tokens=20, temperature=1.5, num_return_sequences=3),
        GenerationOptions(max_new_tokens=20, num_beams=4, num_return_sequences=3),
        GenerationOptions(max_new_tokens=20, num_beams=3, temperature=1.0),
    ],
    ids=["greedy", "samples", "beams", "sampled beams"],
)
def test_log_probabilities_are_those_of_the_model(
    model: Any, prompts: list[list[int]], options: GenerationOptions
) -> None:
    torch.manual_seed(2)
    free = [whole(model, row, [10_000]) for row in prompts]
    ends = [free[0][3], free[5][9], free[9][1]]  # some answers will end by themselves
    found = write_answers(model, prompts, group_by_prefix(prompts), ends, options)
    assert len(found) == 12
    assert any(written.tokens > len(written.ids) for answers in found for written in answers)
    for row, answers in zip(prompts, found, strict=True):
        assert len(answers) == options.num_return_sequences
        for written in answers:
            ended = written.tokens > len(written.ids)
            sums = [
                sum(log_probabilities(model, row, [*written.ids, *end]))
                for end in ([[end] for end in ends] if ended else [[]])
            ]
            assert min(abs(total - written.log_probability) for total in sums) < 1e-3


def test_beams_are_those_of_transformers(model: Any, prompts: list[list[int]]) -> None:
    options = GenerationOptions(max_new_tokens=12, num_beams=4, num_return_sequences=2)
    found = write_answers(model, prompts, group_by_prefix(prompts), [7], options)
    for row, answers in zip(prompts, found, strict=True):
        output = model.generate(
            input_ids=torch.tensor([row]),
            attention_mask=torch.ones(1, len(row), dtype=torch.long),
            max_new_tokens=12,
            num_beams=4,
            num_return_sequences=2,
            do_sample=False,
            eos_token_id=7,
            pad_token_id=0,
            return_dict_in_generate=True,
            output_scores=True,
        )
        for written, score in zip(answers, output.sequences_scores.tolist(), strict=True):
            assert written.score(1.0) == pytest.approx(score, abs=1e-4)
