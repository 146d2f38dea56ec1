import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aqa.backends.local.training_batches import EpochSampler

DRAW = random.Random(3)
LENGTHS = [DRAW.randint(20, 500) for _ in range(400)]


def order(epoch: int, seed: int = 42, grouped: bool = True, lengths: list[int] = LENGTHS) -> list:
    sampler = EpochSampler(lengths, 8, seed, grouped)
    sampler.set_epoch(epoch)
    return list(sampler)


@pytest.mark.parametrize("grouped", [True, False])
def test_seed_and_epoch_alone_decide_the_order(grouped: bool) -> None:
    first = order(2, grouped=grouped)
    torch.rand(17)  # any other draws in between
    random.random()
    assert order(2, grouped=grouped) == first
    assert order(3, grouped=grouped) != first
    assert order(2, seed=7, grouped=grouped) != first


def test_one_sampler_gives_the_same_order_again() -> None:
    sampler = EpochSampler(LENGTHS, 8, 42, grouped=True)
    assert list(sampler) == list(sampler)
    assert len(sampler) == len(LENGTHS)


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=60),
    st.integers(1, 9),
    st.integers(0, 5),
    st.booleans(),
)
def test_every_row_comes_once(lengths: list[int], size: int, epoch: int, grouped: bool) -> None:
    sampler = EpochSampler(lengths, size, 0, grouped)
    sampler.set_epoch(epoch)
    assert sorted(sampler) == list(range(len(lengths)))


@given(st.integers(1, 30), st.sampled_from([1, 2, 3, 8]), st.booleans())
def test_blank_rows_complete_an_epoch(rows: int, multiple: int, grouped: bool) -> None:
    sampler = EpochSampler(LENGTHS[:rows], 4, 0, grouped, multiple=multiple)
    order = list(sampler)
    assert sorted(order[:rows]) == list(range(rows))
    assert set(order[rows:]) <= {rows}
    assert len(order) == len(sampler) == -(-rows // multiple) * multiple


def padded_share(rows: list[int]) -> float:
    batches = [[LENGTHS[row] for row in rows[start : start + 8]] for start in range(0, 400, 8)]
    padded = sum(len(batch) * max(batch) for batch in batches)
    return 1 - sum(LENGTHS) / padded


def test_batches_hold_rows_of_like_length() -> None:
    assert padded_share(order(0, grouped=False)) > 0.3
    assert padded_share(order(0)) < 0.1


def test_each_epoch_takes_one_row_of_each_example() -> None:
    examples = [0, 0, 0, 1, 2, 2, 3]

    def drawn(epoch: int, seed: int = 5, grouped: bool = False) -> list[int]:
        sampler = EpochSampler([4, 5, 6, 7, 8, 9, 10], 2, seed, grouped, examples)
        sampler.set_epoch(epoch)
        assert len(sampler) == 4
        return list(sampler)

    for epoch in range(20):
        for grouped in (False, True):
            found = drawn(epoch, grouped=grouped)
            assert sorted(examples[row] for row in found) == [0, 1, 2, 3]
            assert drawn(epoch, grouped=grouped) == found
    assert {row for epoch in range(20) for row in drawn(epoch)} == set(range(7))
    assert any(drawn(epoch) != drawn(epoch, seed=6) for epoch in range(3))
