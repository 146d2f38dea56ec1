"""Shared prefixes of prompts are read once, with the same answers as if each were read whole."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_llama import make_prompts, make_reader, write_all
from transformers import AutoModelForCausalLM

from aqa.backends.llama_qlora import prefill
from aqa.backends.llama_qlora.attention import attend_in_blocks
from aqa.backends.llama_qlora.generation import pad_left
from aqa.backends.llama_qlora.prefill import read_beginning, read_rows
from aqa.backends.llama_qlora.prefixes import Group, can_share, group_by_prefix
from aqa.backends.local.decoding import StopConditions
from aqa.config.backend_options import LlamaQloraOptions
from aqa.config.options import GenerationOptions
from aqa.library_output import quiet
from aqa.records import Example, Passage, Template


@pytest.mark.parametrize(
    ("rows", "groups"),
    [
        ([[1, 2, 3, 4]], [Group(3, (0,))]),
        ([[1, 2, 3, 4], [1, 2, 3, 5]], [Group(3, (0, 1))]),
        ([[1, 2, 3, 4], [1, 2, 3, 4]], [Group(3, (0, 1))]),  # the last token is left over
        ([[1, 2, 9, 9, 9], [1, 2, 8, 8, 8]], [Group(4, (1,)), Group(4, (0,))]),  # too little
        ([[5, 6, 7, 1], [1, 2, 3, 4], [5, 6, 7, 2]], [Group(3, (1,)), Group(3, (0, 2))]),
    ],
)
def test_groups(rows: list[list[int]], groups: list[Group]) -> None:
    assert group_by_prefix(rows) == groups


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), min_size=1, max_size=12))
def test_groups_hold_every_row_once_and_share_what_they_say(rows: list[list[int]]) -> None:
    groups = group_by_prefix(rows)
    assert sorted(n for group in groups for n in group.members) == list(range(len(rows)))
    for group in groups:
        prefixes = {tuple(rows[n][: group.length]) for n in group.members}
        assert len(prefixes) == 1
        assert all(len(rows[n]) > group.length for n in group.members)


@pytest.mark.parametrize("way", ["padded", "flat", "begun"])
def test_the_same_logits_as_with_whole_rows(
    tiny: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32).eval()
    draw = torch.Generator().manual_seed(1)

    def tokens(number: int) -> list[int]:
        found: list[int] = torch.randint(5, 40, (number,), generator=draw).tolist()
        return found

    one, other = tokens(20), tokens(11)
    rows = [[*one, *tokens(4)], [*other, *tokens(5)], [*one, *tokens(7)], tokens(9)]
    if way != "padded":
        attend_in_blocks(model, LlamaQloraOptions(model=str(tiny)))
        monkeypatch.setattr(prefill, "WORTH", 0 if way == "begun" else 1000)
        head = tokens(8)
        rows = [[*head, *row] for row in rows]
    groups = group_by_prefix(rows)
    assert sorted(len(group.members) for group in groups) == [1, 1, 2]
    with torch.inference_mode():
        firsts = [rows[group.members[0]][: group.length] for group in groups]
        beginning = read_beginning(model, firsts)
        assert [keys.shape[2] for keys, _ in beginning] == [8, 8] * (way == "begun")
        own = {
            row: first for group, first in zip(groups, firsts, strict=True) for row in group.members
        }
        read = read_rows(model, rows, [own[number] for number in range(4)], beginning)
        for row, logits, span in zip(rows, read.logits, read.spans, strict=True):
            whole = model(input_ids=torch.tensor([row]))
            torch.testing.assert_close(logits, whole.logits[0, -1], atol=1e-5, rtol=1e-4)
            for layer, pair in zip(whole.past_key_values.layers, read.layers, strict=True):
                for expected, found in zip((layer.keys, layer.values), pair, strict=True):
                    kept = found[span.row, :, span.start : span.stop]
                    torch.testing.assert_close(kept, expected[0], atol=1e-5, rtol=1e-4)


def test_padding_is_on_the_left_and_masked() -> None:
    ids, mask = pad_left([[7], [5, 6]], 9)
    assert ids.tolist() == [[9, 7], [5, 6]]
    assert mask.tolist() == [[0, 1], [1, 1]]


@pytest.mark.parametrize(
    ("settings", "shares"),
    [({}, True), ({"sliding_window": 128}, False), ({"layer_types": ["linear_attention"]}, False)],
)
def test_only_models_that_keep_all_keys_share(settings: dict[str, object], shares: bool) -> None:
    class Model(torch.nn.Module):
        config = SimpleNamespace(model_type="llama", **settings)
        config.get_text_config = lambda: Model.config

        def forward(self, past_key_values: object, position_ids: object) -> None: ...

    assert can_share(Model()) == shares


SMALL = {"vocab_size": 60, "initializer_range": 0.2}
LLAMA = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2}
# Positions that change beyond 25 tokens.
DYNAMIC = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10_000.0}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10_000.0,
    "short_factor": [1.0] * 8,
    "long_factor": [4.0] * 8,
    "original_max_position_embeddings": 25,
}
TWO = {"num_hidden_layers": 2, "num_key_value_heads": 2}


@pytest.mark.parametrize(
    ("kind", "sizes", "tuning"),
    [
        ("llama", LLAMA, None),
        ("llama", LLAMA, "prompt"),
        ("llama", LLAMA, "prefix"),
        ("bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 2}, None),  # positions from the mask
        ("mpt", {"d_model": 32, "n_heads": 2, "n_layers": 2}, None),  # distances from positions
        (  # windows from positions
            "gpt_neo",
            {
                "hidden_size": 32,
                "num_layers": 2,
                "num_heads": 2,
                "attention_types": [[["global", "local"], 1]],
                "window_size": 8,
            },
            None,
        ),
        ("openai-gpt", {"n_embd": 32, "n_layer": 2, "n_head": 2}, None),  # has no cache
        ("rwkv", {"hidden_size": 32, "num_hidden_layers": 2}, None),  # takes no mask
        (  # takes none in its recurrent layers
            "recurrent_gemma",
            {**LLAMA, "lru_width": 32, "attention_window_size": 32, "num_hidden_layers": 3},
            None,
        ),
        (
            "llama",
            {**LLAMA, **TWO, "max_position_embeddings": 25, "rope_parameters": DYNAMIC},
            None,
        ),
        ("phi3", {**LLAMA, **TWO, "pad_token_id": 0, "rope_parameters": LONGROPE}, None),
        (  # in one kind of its layers
            "gemma3_text",
            {
                **LLAMA,
                **TWO,
                "max_position_embeddings": 25,
                "head_dim": 16,
                "sliding_window": 8,
                "layer_types": ["sliding_attention", "full_attention"],
                "rope_parameters": {
                    "full_attention": DYNAMIC,
                    "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
                },
            },
            None,
        ),
        (  # states of convolutions
            "lfm2",
            {**LLAMA, **TWO, "layer_types": ["conv", "full_attention"]},
            None,
        ),
        ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 2}, None),
        (  # sums over positions, including padding
            "deepseek_v4",
            {
                "hidden_size": 32,
                "num_hidden_layers": 4,
                "num_attention_heads": 4,
                "head_dim": 16,
                "q_lora_rank": 16,
                "o_lora_rank": 8,
                "o_groups": 2,
                "moe_intermediate_size": 16,
                "n_routed_experts": 4,
                "num_experts_per_tok": 2,
                "index_n_heads": 2,
                "index_head_dim": 16,
                "sliding_window": 16,
            },
            None,
        ),
        (  # latent keys and values
            "minicpm3",
            {
                **LLAMA,
                **TWO,
                "kv_lora_rank": 16,
                "q_lora_rank": 16,
                "v_head_dim": 8,
                "qk_rope_head_dim": 8,
                "qk_nope_head_dim": 8,
                "num_attention_heads": 2,
            },
            None,
        ),
        (  # attention and a state side by side
            "falcon_h1",
            {
                **LLAMA,
                **TWO,
                "head_dim": 16,
                "mamba_d_ssm": 64,
                "mamba_n_heads": 4,
                "mamba_d_head": 16,
                "mamba_n_groups": 1,
                "mamba_d_state": 8,
            },
            None,
        ),
    ],
)
@pytest.mark.slow
def test_answers_do_not_depend_on_the_batch(
    kind: str, sizes: dict[str, object], tuning: str | None
) -> None:
    """With padded rows, shared prefixes, or a soft prompt."""
    import peft
    from transformers import AutoConfig

    torch.manual_seed(7)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SMALL, **sizes)).eval()
    model.generation_config.eos_token_id = None
    if tuning is not None:
        kinds = {"prompt": peft.PromptTuningConfig, "prefix": peft.PrefixTuningConfig}
        config = kinds[tuning](num_virtual_tokens=4, task_type="CAUSAL_LM")
        with quiet():
            model = peft.get_peft_model(model, config).eval()
    draw = torch.Generator().manual_seed(3)

    def tokens(number: int) -> list[int]:
        found: list[int] = torch.randint(5, 60, (number,), generator=draw).tolist()
        return found

    passages = [tokens(24), tokens(17)]
    rows = [[*passages[n % 2], *tokens(3 + n)] for n in range(6)] + [tokens(9)]
    options = GenerationOptions(max_new_tokens=10)
    assert len(group_by_prefix(rows)) < len(rows)
    with quiet():
        together = write_all(model, rows, StopConditions([1]), options)
        for row, (written,) in zip(rows, together, strict=True):
            ((alone,),) = write_all(model, [row], StopConditions([1]), options)
            assert written.ids == alone.ids


@pytest.mark.parametrize("tuning", ["PromptTuningConfig", "PrefixTuningConfig"])
def test_a_learnt_prompt_answers_as_by_peft_alone(
    tuning: str, tiny: Path, template: Template, tmp_path: Path
) -> None:
    """Questions on one passage, which would otherwise be read once for all."""
    import peft

    torch.manual_seed(3)
    with quiet():
        base = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
        config = getattr(peft, tuning)(num_virtual_tokens=4, task_type="CAUSAL_LM")
        model = peft.get_peft_model(base, config).eval()
        model.save_pretrained(tmp_path)
    passage = Passage("Mira lives in Ostry. Tom lives in Veld. It is small. " * 2)
    examples = [
        Example(name, f"Where does {name} live{'?' * n}", (passage,), ())
        for n, name in enumerate(["Mira", "Tom", "Adda"], 1)
    ]
    reader = make_reader(tmp_path, "generation.num_return_sequences=1")
    with reader:
        prompts = make_prompts(reader, template, with_target=False, examples=examples)
        found = {answer.id: answer.raw for _, answer in reader.generate(prompts)}
    for prompt in prompts:
        ids = torch.tensor([reader.encode(prompt).prompt_ids])
        with quiet():
            written = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=8,
                do_sample=False,
                eos_token_id=list(reader._encoder.end_token_ids),
                pad_token_id=0,
            )
        text = reader._tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True)
        assert found[prompt.id] == text
