"""Decoders that read an answer as they write it, and those that don't, which can't learn so."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import tiny_t5
import torch
from tiny_families import save_seq2seq

from aqa.backends.local.checks import check_causal
from aqa.backends.t5.fusion import decode, encode
from aqa.errors import ModelError

READ_AS_WRITTEN = [
    ("fsmt", "</s>", True),
    ("fsmt", "<pad>", False),  # the positions of padding, and after it
    ("m2m100", "</s>", True),
    ("m2m100", "<pad>", False),
    ("prophetnet", "</s>", False),  # it mixes up positions in a text
    ("t5gemma", "<pad>", True),
]


@pytest.mark.parametrize(("family", "first", "is_read_as_written"), READ_AS_WRITTEN)
def test_a_decoder_learns_by_what_it_writes_with(
    family: str, first: str, is_read_as_written: bool, tmp_path: Path
) -> None:
    """The logits of reading an answer equal those with which transformers wrote it."""
    tokenizer = tiny_t5.bart_tokenizer() if family != "t5gemma" else tiny_t5.t5_tokenizer()
    start = tokenizer.convert_tokens_to_ids(first)
    model = save_seq2seq(family, tmp_path / "model", decoder_start_token_id=start)
    reader = tiny_t5.make_reader(model, "backend.max_seq_length=256")
    ids = torch.tensor([[9, 8, 7, 6, 5, tokenizer.eos_token_id]])
    with reader, torch.no_grad():
        reader.model.generation_config.eos_token_id = None
        written = reader.model.generate(
            ids, max_new_tokens=5, output_logits=True, return_dict_in_generate=True
        )
        states, mask = encode(reader.model, ids, torch.ones_like(ids)), torch.ones_like(ids)
        read = decode(reader.model, states, mask, written.sequences[:, :-1])[0]
    assert torch.allclose(read, torch.cat(written.logits), atol=1e-4) is is_read_as_written
    reader = tiny_t5.make_reader(model, "backend.max_seq_length=256", "training.max_steps=1")
    fault = pytest.raises(
        ModelError, match=rf"\({reader._model_config.model_type}\).* otherwise than it writes"
    )
    with nullcontext() if is_read_as_written else fault:
        tiny_t5.t5_training(reader, tmp_path / "run", with_dev=False).run()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_model_without_numbers_is_refused_before_the_first_prompt(value: float) -> None:
    logits, none = torch.zeros(3), torch.full((3,), value)
    for pair in ((logits, none), (none, logits), (none, none)):
        with pytest.raises(ModelError, match="m: its probabilities are not finite numbers"):
            check_causal(None, "m", *pair)
