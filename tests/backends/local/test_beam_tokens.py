"""The log-probabilities of beams, recorded during the search."""

import tracemalloc
from math import isnan

import pytest

from aqa.backends.local.generation import BeamTokens

torch = pytest.importorskip("torch")
BEAMS, PROMPTS, VOCABULARY = 3, 2, 50


def search(steps: int) -> tuple[BeamTokens, "torch.Tensor", list[dict[tuple[int, ...], float]]]:
    """Go on from random beams in another order at each step; return the last candidates, too."""
    draws = torch.Generator().manual_seed(steps)
    recorder = BeamTokens(BEAMS, start=1)
    ids = torch.zeros(PROMPTS * BEAMS, 1, dtype=torch.long)
    seen: list[dict[tuple[int, ...], float]] = [{} for _ in range(PROMPTS)]
    for _ in range(steps):
        scores = torch.randn(len(ids), VOCABULARY, generator=draws).log_softmax(-1)
        if ids.shape[1] == 1:
            scores = scores[::BEAMS].repeat_interleave(BEAMS, 0)  # all beams begin alike
        recorder.look(ids, scores)
        picks = torch.stack(
            [BEAMS * prompt + torch.randperm(BEAMS, generator=draws) for prompt in range(PROMPTS)]
        ).repeat(1, 2)
        tokens = torch.randint(VOCABULARY, (*picks.shape, 1), generator=draws)
        candidates = torch.cat([ids[picks], tokens], -1)
        recorder.note(candidates.flatten(0, 1), None)
        for prompt, rows in enumerate(candidates.tolist()):
            for row, pick in zip(rows, picks[prompt].tolist(), strict=True):
                seen[prompt][tuple(row[1:])] = scores[pick, row[-1]].item()
        ids = candidates[:, :BEAMS].flatten(0, 1)
    return recorder, ids, seen


def test_each_token_has_the_score_of_its_own_beam() -> None:
    recorder, ids, seen = search(steps=6)
    found = recorder.log_probabilities(ids, BEAMS)
    for number, row in enumerate(ids[:, 1:].tolist()):
        own = seen[number // BEAMS]
        assert found[number] == [own[tuple(row[:end])] for end in range(1, len(row) + 1)]


def test_what_follows_an_end_is_unknown() -> None:
    recorder, ids, _ = search(steps=4)
    padded = torch.cat([ids, torch.full((len(ids), 2), VOCABULARY)], -1)
    for row in recorder.log_probabilities(padded, BEAMS):
        assert [isnan(value) for value in row] == [False] * 4 + [True] * 2


def test_memory_grows_with_the_length_not_with_its_square() -> None:
    """Whole candidates were kept: answers four times as long took fifteen times the memory."""

    def kept(steps: int) -> int:
        tracemalloc.start()
        try:
            recorder, _, seen = search(steps)
            seen.clear()
            return tracemalloc.get_traced_memory()[0] if recorder else 0
        finally:
            tracemalloc.stop()

    assert kept(160) < 6 * kept(40)
