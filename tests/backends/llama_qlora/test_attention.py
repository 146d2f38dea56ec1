"""Attention by blocks of queries gives the same result as PyTorch's."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_families import save_causal
from tiny_llama import make_prompts, make_reader, tiny_template
from torch.nn.functional import scaled_dot_product_attention

from aqa.backends.llama_qlora import attention
from aqa.backends.llama_qlora.attention import causal_attention


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("before", [0, 5])
@pytest.mark.parametrize("block", [3, 64])
def test_the_last_tokens_see_all_before_them(
    groups: int, before: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "BLOCK", block)
    draw = torch.Generator().manual_seed(1)
    query = torch.randn(2, 10, 6, 8, generator=draw).transpose(1, 2)
    key, value = (torch.randn(2, groups, 10 + before, 8, generator=draw) for _ in range(2))
    seen = torch.ones(10, 10 + before, dtype=torch.bool).tril(before)
    expected = scaled_dot_product_attention(
        query, key, value, attn_mask=seen, scale=0.3, enable_gqa=True
    )
    found = causal_attention(query, key, value, 0.3)
    torch.testing.assert_close(found, expected.transpose(1, 2))


@pytest.mark.parametrize("family", ["gemma2", "gptoss", "bloom", "mpt", "doge"])
def test_models_with_an_attention_of_their_own_keep_it(family: str, tmp_path: Path) -> None:
    """Whether it is plain, windowed, or the only choice."""
    with make_reader(save_causal(family, tmp_path)) as reader:
        assert not attention.can_continue(reader.model)


def test_what_the_user_chose_is_taken(tiny: Path) -> None:
    with make_reader(tiny, "backend.attn_implementation=sdpa") as reader:
        assert reader.model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize(
    "words",
    [
        {"attention_mask": torch.tensor([[False, True, True, True]])},
        {"local_size": 2},
        {"allow_is_causal_skip": False},
    ],
)
def test_only_what_sees_all_before_it_has_no_mask(words: dict[str, object]) -> None:
    sizes = {"batch_size": 1, "q_length": 2, "kv_length": 4, "q_offset": 2}
    assert attention._mask(**sizes) is None
    assert attention._mask(**sizes, **words) is not None


def test_an_encoder_within_a_model_sees_what_is_behind() -> None:
    query, key, value = torch.randn(3, 1, 2, 5, 8).unbind()
    encoder = SimpleNamespace(is_causal=False)
    found, _ = attention._attention(encoder, query, key, value, None)
    expected = scaled_dot_product_attention(query, key, value).transpose(1, 2)
    torch.testing.assert_close(found, expected)


def test_what_masks_its_scores_itself_is_not_read_flat() -> None:
    query, key, value = torch.randn(3, 1, 2, 5, 8).unbind()
    mask = torch.zeros(1, 1, 5, 5)
    words = (SimpleNamespace(), query, key, value, mask)
    with attention.Apart.of([2, 3]).active(), pytest.raises(attention._OwnWayError):
        attention._attention(*words)
    assert attention._attention(*words)[0].shape == (1, 5, 2, 8)


def test_the_last_layer_maps_only_the_last_token_of_each_row(tiny: Path, tmp_path: Path) -> None:
    mapped = []
    with make_reader(tiny, "backend.compute_dtype=float32") as reader:
        prompts = make_prompts(reader, tiny_template(tmp_path), with_target=False)
        last = reader.model.get_submodule("model.layers")[-1].mlp.down_proj
        hook = last.register_forward_pre_hook(lambda _, given: mapped.append(given[0].shape[1]))
        found = [answer for _, answer in reader.generate(prompts)]
        hook.remove()
        del reader.model.get_submodule("model.layers")[-1].mlp.forward
        whole = [answer for _, answer in reader.generate(prompts)]
    assert [answer.raw for answer in whole] == [answer.raw for answer in found]
    assert mapped[1] == len(prompts)  # after the shared prefix


def test_a_layer_that_is_used_twice_maps_all_tokens(tiny: Path) -> None:
    with make_reader(tiny) as reader:
        model, options = reader.model, reader.options
        layers = model.get_submodule("model.layers")
        del layers[-1].mlp.forward
        layers[0] = layers[-1]
        model.set_attn_implementation("sdpa")
        attention.attend_in_blocks(model, options)
        assert attention.can_continue(model)
        assert "forward" not in vars(layers[-1].mlp)


def test_what_maps_tokens_in_a_way_of_its_own_maps_all() -> None:
    class Mapping(torch.nn.Module):
        down_proj = None

        def forward(self, states: torch.Tensor, factor: int = 1, pair: bool = False) -> object:
            found = states + factor
            return (found, factor) if pair else found

    layer, states = Mapping(), torch.zeros(1, 5, 2)
    attention._map_last_tokens(layer)
    assert layer(states).equal(torch.ones(1, 5, 2))
    with attention.Apart.of([2, 3]).active():
        assert layer(states)[0, :, 0].tolist() == [0, 1, 0, 0, 1]
        assert layer(states, 2).equal(torch.full((1, 5, 2), 2.0))
        assert layer(states, pair=True)[0].equal(torch.ones(1, 5, 2))
