"""Continuous batching gives the same answers as whole generations, with less work."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_llama import write_all
from transformers import AutoConfig, AutoModelForCausalLM

from aqa.backends.llama_qlora import generation
from aqa.backends.llama_qlora.generation import write_answers
from aqa.backends.llama_qlora.prefixes import forget_lengths, takes_padding
from aqa.backends.local.decoding import StopConditions, chosen_tokens
from aqa.config.options import GenerationOptions

NEW = 40


@pytest.fixture(scope="module")
def model(tiny: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def prompts() -> list[list[int]]:
    """Twelve rows, four of which share a prefix."""
    draw = torch.Generator().manual_seed(5)
    rows: list[list[int]] = [
        torch.randint(5, 40, (6 + n,), generator=draw).tolist() for n in range(8)
    ]
    return rows + [[*rows[7], *rows[n][:4]] for n in range(4)]


def whole(model: Any, row: list[int], end_ids: list[int]) -> list[int]:
    """Generate one row alone."""
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


@pytest.fixture(scope="module")
def free(model: Any, prompts: list[list[int]]) -> list[list[int]]:
    """What the model writes without an end token."""
    return [whole(model, row, [10_000]) for row in prompts]


def some_end(free: list[list[int]]) -> int:
    """An end token that some rows reach and others do not, in what an untrained model writes."""
    return next(
        token
        for token in {token for row in free for token in row}
        if 3 <= sum(token in row for row in free) <= 9
    )


@pytest.mark.slow
def test_the_answers_of_one_whole_generation_whatever_there_is_room_for(
    model: Any, prompts: list[list[int]], free: list[list[int]]
) -> None:
    end = some_end(free)
    expected = [whole(model, row, [end]) for row in prompts]
    options = GenerationOptions(max_new_tokens=NEW)
    sums: list[list[float]] = []
    for tokens in (1, 120, 100_000):
        found = write_all(model, prompts, StopConditions([end]), options, tokens)
        assert [written.ids for (written,) in found] == expected
        sums.append([written.log_probability for (written,) in found])
    for others in sums[1:]:
        assert others == pytest.approx(sums[0], abs=1e-3)


def test_steps_are_full(model: Any, prompts: list[list[int]], free: list[list[int]]) -> None:
    """Free slots are reused, so that few steps are less than full."""
    end = some_end(free)
    options = GenerationOptions(max_new_tokens=NEW)
    sizes: list[int] = []

    def note(_: Any, arguments: Any, words: Mapping[str, Any]) -> None:
        if words["input_ids"].shape[1] == 1:
            sizes.append(len(words["input_ids"]))

    hook = model.register_forward_pre_hook(note, with_kwargs=True)
    found = write_all(model, prompts, StopConditions([end]), options, tokens=4 * (NEW + 17))
    hook.remove()
    written = sum(len(answer.ids) for (answer,) in found)
    assert max(sizes) == 4
    assert len(sizes) <= written / 4 + 2 * NEW, "only the last rows are left alone"


def test_samples_depend_on_no_other_row(model: Any, prompts: list[list[int]]) -> None:
    options = GenerationOptions(
        max_new_tokens=12, temperature=1.2, top_p=0.9, num_return_sequences=3
    )
    found = [
        write_all(model, prompts, StopConditions([7]), options, *ways) for ways in ((90,), (9999,))
    ]
    assert found[0] != write_all(model, prompts, StopConditions([7]), options, seed=1)
    ids = [[[written.ids for written in answers] for answers in all_of] for all_of in found]
    assert ids[0] == ids[1]
    assert len({tuple(written) for answers in ids[0] for written in answers}) > 24


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (1.0, 0.6)])
def test_tokens_are_drawn_as_transformers_draws_them(temperature: float, top_p: float) -> None:
    from transformers import TemperatureLogitsWarper, TopPLogitsWarper

    logits = torch.tensor([[0.1, 2.0, -1.0, 1.5, 1.0]])
    options = GenerationOptions(temperature=temperature, top_p=top_p)
    draws = [(n + 0.5) / 2000 for n in range(2000)]
    tokens, found = chosen_tokens(logits.expand(2000, -1), draws, options)
    scores = TopPLogitsWarper(top_p)(None, TemperatureLogitsWarper(temperature)(None, logits))
    shares = torch.bincount(torch.tensor(tokens), minlength=5) / 2000
    torch.testing.assert_close(shares, scores.softmax(-1)[0], atol=1e-3, rtol=0)
    assert found == pytest.approx(logits.log_softmax(-1)[0, tokens].tolist())


def test_apples_gpu_which_has_no_float64_leaves_draws_to_the_cpu() -> None:
    class OnApple(torch.Tensor):
        device = torch.device("mps")

        def cpu(self) -> torch.Tensor:  # type: ignore[override]
            return self.as_subclass(torch.Tensor)

        def double(self) -> torch.Tensor:
            raise TypeError("the MPS framework doesn't support float64")

    logits = torch.tensor([[0.1, 2.0, -1.0]])
    options = GenerationOptions(temperature=1.0)
    found = [chosen_tokens(one, [0.9], options) for one in (logits, logits.as_subclass(OnApple))]
    assert found[0] == found[1]


def test_models_that_keep_other_things_than_keys_are_asked_for_whole_answers(
    model: Any, prompts: list[list[int]], free: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    end = some_end(free)
    options = GenerationOptions(max_new_tokens=NEW)
    continuous = write_all(model, prompts, StopConditions([end]), options)
    monkeypatch.setattr(generation, "can_share", lambda model: False)
    assert not generation.is_continuous(model, options, prompts)
    found = write_all(model, prompts, StopConditions([end]), options)
    assert [w.ids for (w,) in found] == [w.ids for (w,) in continuous]


def log_probabilities(model: Any, row: list[int], new: list[int]) -> list[float]:
    """Return the log-probability of each new token, from one pass."""
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
    model: Any, prompts: list[list[int]], free: list[list[int]], options: GenerationOptions
) -> None:
    torch.manual_seed(2)
    ends = [free[0][3], free[5][9], free[9][1]]  # some answers end with these
    found = write_all(model, prompts, StopConditions(ends), options)
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


def check_beams(model: Any, prompts: list[list[int]]) -> None:
    """The scores are those of beams by transformers alone."""
    options = GenerationOptions(max_new_tokens=12, num_beams=4, num_return_sequences=2)
    found = write_all(model, prompts, StopConditions([7]), options)
    for row, answers in zip(prompts, found, strict=True):
        forget_lengths(model)
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


def test_beams_are_those_of_transformers(model: Any, prompts: list[list[int]]) -> None:
    check_beams(model, prompts)


@pytest.mark.parametrize("kind", ["llama", "minimax"])
def test_beams_of_models_that_say_other_things_of_what_they_read_at_once(
    kind: str, prompts: list[list[int]]
) -> None:
    """Positions that are turned by the length so far, and a state that is kept in rounded blocks.

    Their scores were 0.01 off.
    """
    scaled = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4}
    config = AutoConfig.for_model(
        kind, vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, num_local_experts=2,
        num_experts_per_tok=1, block_size=16, max_position_embeddings=16,
        rope_parameters=scaled if kind == "llama" else None,
    )  # fmt: skip
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config).eval()
    for weights in model.parameters():
        if weights.dim() > 1:
            torch.nn.init.normal_(weights, std=0.3)
    check_beams(model, prompts)


@pytest.mark.parametrize("kind", ["bart", "marian", "roberta", "opt"])
def test_positions_that_count_the_padding(kind: str, prompts: list[list[int]]) -> None:
    """Rows of several lengths get the same answers as alone, even if no mask hides the padding."""
    config = AutoConfig.for_model(
        kind, vocab_size=64, d_model=32, hidden_size=32, word_embed_proj_dim=32,
        num_hidden_layers=2, decoder_layers=2, num_attention_heads=4, decoder_attention_heads=4,
        intermediate_size=64, decoder_ffn_dim=64, ffn_dim=64, max_position_embeddings=128,
        dropout=0.0, is_decoder=True, is_encoder_decoder=False, bos_token_id=2, eos_token_id=3,
        pad_token_id=1,
    )  # fmt: skip
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config).eval()
    for weights in model.parameters():
        torch.nn.init.normal_(weights, std=0.3)
    model.generation_config.forced_eos_token_id = None
    assert takes_padding(model) == (kind == "opt")
    found = write_answers(
        model, prompts[:5], StopConditions([60]), GenerationOptions(max_new_tokens=NEW)
    )
    assert [answers[0].ids for answers in found] == [whole(model, row, [60]) for row in prompts[:5]]
