"""Packed layers compute the same as plain ones, if machine and model allow them."""

from pathlib import Path
from weakref import finalize

import pytest
import torch
from tiny_llama import make_reader

from aqa.backends.llama_qlora import prepacked_linear
from aqa.backends.llama_qlora.prepacked_linear import PackedLinear, pack


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 70])
def test_a_packed_layer_gives_the_same(bias: bool, rows: int) -> None:
    plain = torch.nn.Linear(24, 40, bias=bias)
    states = torch.randn(2, rows, 24)
    with torch.inference_mode():
        packed = PackedLinear(plain)
        torch.testing.assert_close(packed(states), plain(states))
    assert packed.weight.equal(plain.weight)


def test_what_is_shared_or_of_another_kind_stays() -> None:
    class Own(torch.nn.Linear):
        """Might do more than multiply."""

    tied = torch.nn.Linear(8, 8)
    layers = {"a": tied, "b": torch.nn.Linear(8, 8), "own": Own(8, 8), "c": torch.nn.Linear(8, 8)}
    layers["b"].weight = tied.weight
    model = torch.nn.ModuleDict(layers)
    pack(model)
    assert [name for name, layer in model.items() if isinstance(layer, PackedLinear)] == ["c"]


def test_a_layer_is_free_before_the_next_one_is_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = torch.nn.Sequential(*(torch.nn.Linear(8, 8) for _ in range(4)))
    freed: list[int] = []
    left: list[int] = []
    for number, layer in enumerate(model):
        finalize(layer, freed.append, number)
    del layer

    class Counting(PackedLinear):
        def __init__(self, layer: torch.nn.Linear) -> None:
            super().__init__(layer)
            left.append(len(freed))

    monkeypatch.setattr(prepacked_linear, "PackedLinear", Counting)
    monkeypatch.setattr(prepacked_linear, "_packs", lambda layer: True)
    pack(model)
    assert left == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", ["meta", "float64"])
def test_what_can_not_be_packed_stays(kind: str) -> None:
    given = {"device": "meta"} if kind == "meta" else {"dtype": torch.float64}
    model = torch.nn.Sequential(torch.nn.Linear(8, 8, **given))
    pack(model)
    assert not isinstance(model[0], PackedLinear)


def test_a_reader_that_answers_is_packed(tiny: Path) -> None:
    with make_reader(tiny) as reader:
        assert any(isinstance(layer, PackedLinear) for layer in reader.model.modules())
