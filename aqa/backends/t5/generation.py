"""Generates an encoder-decoder's answers to one batch of questions."""

from collections.abc import Sequence
from typing import Any

from aqa.backends.local.decoding import ChosenTokens, Drawings, Drawn, Ends, Written, decoding
from aqa.backends.local.devices import without_gradients
from aqa.config.options import GenerationOptions

Parts = Sequence[Sequence[int]]
SCORED_VALUES = 2**26  # logits computed at once to score beams: 256 MB


def write_answers(
    model: Any,
    questions: Sequence[Parts],
    end_ids: list[int],
    options: GenerationOptions,
    encoded_tokens: int,
    draws: Drawings = (),
) -> list[list[Written]]:
    """Return each question's answers; at most `encoded_tokens` go through the encoder at once.

    `draws` holds the random draws of each answer, if tokens are sampled.
    """
    from aqa.backends.t5.fusion import EncoderStates, encode_questions

    with without_gradients():
        states, mask = encode_questions(model, questions, encoded_tokens)
        chosen = ChosenTokens() if options.num_beams == 1 else None
        if options.draws:
            each = options.answers_each
            states, mask = states.repeat_interleave(each, 0), mask.repeat_interleave(each, 0)
        drawn = [Drawn(draws, options)] if options.draws else []
        sequences = model.generate(
            encoder_outputs=EncoderStates(last_hidden_state=states),
            attention_mask=mask,
            eos_token_id=end_ids,
            pad_token_id=end_ids[0],
            logits_processor=[chosen, *drawn] if chosen else None,
            **decoding(options),
        )
        if chosen:
            found = chosen.log_probabilities(sequences)
        else:
            found = _score(model, sequences, states, mask)
    rows = zip(sequences[:, 1:].tolist(), found, strict=True)  # the first token starts the decoder
    answers = [Ends(end_ids).until(*row) for row in rows]
    step = options.answers_each
    return [answers[place : place + step] for place in range(0, len(answers), step)]


def _score(model: Any, sequences: Any, states: Any, mask: Any) -> list[list[float]]:
    """Return the log-probabilities of each sequence's tokens after the first, in a second pass.

    Beams are reordered while decoding, so looking their scores up would mean keeping rows * beams *
    vocabulary values for every step.
    """
    import torch

    from aqa.backends.t5.fusion import decode

    each = len(sequences) // len(states)  # answers per question
    size = max(SCORED_VALUES // (sequences.shape[1] * model.config.vocab_size), 1)
    found: list[list[float]] = []
    for rows in torch.split(torch.arange(len(sequences), device=states.device), size):
        questions = rows // each
        logits = decode(model, states[questions], mask[questions], sequences[rows, :-1]).float()
        picked = logits.gather(-1, sequences[rows, 1:, None]) - logits.logsumexp(-1, keepdim=True)
        found += picked.squeeze(-1).tolist()
    return found
