"""Fusion-in-decoder (Izacard & Grave 2021): passages are encoded separately and decoded together.

A question with its context in one part is the case of a single passage. The model itself is
unchanged: it is passed encoder states instead of token ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers.modeling_outputs import BaseModelOutput

from aqa.backends.local.batches import batches_by_tokens, pad_right
from aqa.backends.local.decoding import GeneratedAnswer, StopConditions, UniformDraws
from aqa.backends.local.devices import input_device, without_gradients
from aqa.backends.local.generation import generate_answers
from aqa.config.options import GenerationOptions

Parts = Sequence[Sequence[int]]  # token ids of each part that is encoded separately

ENCODE = "encode_parts"  # the encoding method added to a model with sharded weights


@dataclass
class EncoderStates(BaseModelOutput):  # type: ignore[misc]  # transformers' types are not followed
    """Encoder states in the form that models accept."""

    router_logits: Any = None  # read by Switch Transformers


def encode(model: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return encoder states of shape (rows, longest, width)."""
    encoder = getattr(model, ENCODE, None) or model.get_encoder()
    states: torch.Tensor = encoder(
        input_ids=ids.to(input_device(model)), attention_mask=mask.to(input_device(model))
    ).last_hidden_state
    return states


def decode(
    model: Any, states: torch.Tensor, mask: torch.Tensor, read: torch.Tensor
) -> torch.Tensor:
    """Return logits (rows, tokens, vocabulary) for decoder inputs, given encoder states.

    Without a mask, T5Gemma would hide a first token that is the padding token; without `input_ids`,
    which are otherwise unused, FSMT would apply no causal mask.
    """
    logits: torch.Tensor = model(
        input_ids=read,
        encoder_outputs=EncoderStates(last_hidden_state=states),
        attention_mask=mask,
        decoder_input_ids=read,
        decoder_attention_mask=torch.ones_like(read),
        use_cache=False,
    ).logits
    return logits


def lay_side_by_side(
    states: torch.Tensor, mask: torch.Tensor, counts: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Concatenate the states of each question's parts, without the padding between them.

    `counts` are the numbers of parts. Returns states (questions, tokens, width) and their mask.
    """
    if len(counts) == len(states):
        return states, mask
    tokens = [int(part.sum()) for part in torch.split(mask, list(counts))]
    return pad_joined(torch.split(states[mask.bool()], tokens))


def pad_joined(questions: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Stack the states of questions, each (tokens, width), and return them with a padding mask."""
    lengths = torch.tensor([len(states) for states in questions], device=questions[0].device)
    stacked = pad_sequence(list(questions), batch_first=True)
    columns = torch.arange(stacked.shape[1], device=stacked.device)
    return stacked, (columns < lengths[:, None]).long()


def encode_questions(
    model: Any, questions: Sequence[Parts], budget: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Encode all questions' parts in batches of similar length, at most `budget` tokens each.

    Returns the states (questions, tokens, width) that a decoder attends to, and their mask.
    """
    parts = [(number, part) for number, parts in enumerate(questions) for part in parts]
    by_part: dict[int, torch.Tensor] = {}
    indices = [[index] for index in range(len(parts))]
    for batch in batches_by_tokens(indices, lambda index: len(parts[index][1]), budget):
        ids, mask = pad_right([parts[index][1] for index in batch])
        for index, states in zip(batch, encode(model, ids, mask), strict=True):
            by_part[index] = states[: len(parts[index][1])]
    joined: list[list[torch.Tensor]] = [[] for _ in questions]
    for index, (number, _) in enumerate(parts):
        joined[number].append(by_part[index])
    return pad_joined([torch.cat(states) for states in joined])


def write_answers(
    model: Any,
    questions: Sequence[Parts],
    ends: StopConditions,
    options: GenerationOptions,
    encoded_tokens: int,
    draws: UniformDraws,
) -> list[list[GeneratedAnswer]]:
    """Return each question's answers; at most `encoded_tokens` go through the encoder at once.

    `draws` holds the random numbers of each answer, if tokens are sampled.
    """
    with without_gradients():
        states, mask = encode_questions(model, questions, encoded_tokens)
        if options.draws:
            count = options.answers_each
            states, mask = states.repeat_interleave(count, 0), mask.repeat_interleave(count, 0)
    inputs = {"encoder_outputs": EncoderStates(last_hidden_state=states), "attention_mask": mask}
    return generate_answers(model, inputs, 1, ends, options, draws)  # a first token begins all
