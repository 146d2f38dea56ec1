"""Tokens are sampled with their probabilities, from separate random numbers for each answer."""

from collections import Counter

import pytest
import torch

from aqa.backends.local.decoding import uniform_draws
from aqa.backends.local.generation import SeededSampler
from aqa.config.options import GenerationOptions

SCORES = torch.tensor([0.1, 0.2, 0.4, 0.3]).log()


def drawn(options: GenerationOptions, times: int) -> Counter[int]:
    rows = [uniform_draws(options, 3, str(place), 0) for place in range(times)]
    scores = SeededSampler(rows, options)(torch.zeros(times, 1), SCORES.expand(times, -1))
    assert (scores.isfinite().sum(-1) == 1).all(), "one token of each row is possible"
    return Counter(scores.argmax(-1).tolist())


@pytest.mark.parametrize(
    ("options", "shares"),
    [
        ({"temperature": 1}, [0.1, 0.2, 0.4, 0.3]),
        ({"temperature": 0.5}, [1 / 30, 4 / 30, 16 / 30, 9 / 30]),
        ({"temperature": 1, "top_p": 0.6}, [0, 0, 4 / 7, 3 / 7]),
        ({"temperature": 1, "top_p": 0.1}, [0, 0, 1, 0]),
    ],
)
def test_each_token_is_as_frequent_as_it_is_likely(
    options: dict[str, float], shares: list[float]
) -> None:
    found = drawn(GenerationOptions(max_new_tokens=2, **options), 4000)
    assert [found[token] / 4000 for token in range(4)] == pytest.approx(shares, abs=0.03)
    assert all(found[token] == 0 for token, share in enumerate(shares) if not share)


def test_each_step_has_a_number_of_its_own() -> None:
    options = GenerationOptions(temperature=1, max_new_tokens=2)
    processor = SeededSampler([[0.05, 0.95]], options)
    steps = [processor(torch.zeros(1, 1), SCORES[None]).argmax().item() for _ in range(2)]
    assert steps == [0, 3]
