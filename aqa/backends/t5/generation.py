"""Generate the answers of an encoder-decoder for one batch of questions."""

from collections.abc import Sequence
from typing import Any

from aqa.backends.local.decoding import ChosenTokens, Drawings, Drawn, Ends, Written, decoding
from aqa.backends.local.devices import without_gradients
from aqa.config.options import GenerationOptions

Parts = Sequence[Sequence[int]]
SCORED_VALUES = 2**26  # logits computed at once for the log-probabilities of beams: 256 MB


def write_answers(
    model: Any,
    questions: Sequence[Parts],
    end_ids: list[int],
    options: GenerationOptions,
    encoded_tokens: int,
    draws: Drawings = (),
) -> list[list[Written]]:
    """Give each question's answers; at most `encoded_tokens` go through the encoder at once.

    `draws` are those of each answer, where tokens are drawn.
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
    rows = zip(sequences[:, 1:].tolist(), found, strict=True)  # the first begins the decoder
    answers = [Ends(end_ids).until(*row) for row in rows]
    step = options.answers_each
    return [answers[place : place + step] for place in range(0, len(answers), step)]


def _score(model: Any, sequences: Any, states: Any, mask: Any) -> list[list[float]]:
    """Log-probabilities of sequences' tokens after the first, by reading them once more.

    Beams change places while they are written, so looking their scores up would need those of all
    steps: rows * beams * vocabulary each.
    """
    import torch

    from aqa.backends.t5.fusion import decode

    each = len(sequences) // len(states)  # answers of one question
    size = max(SCORED_VALUES // (sequences.shape[1] * model.config.vocab_size), 1)
    found: list[list[float]] = []
    for rows in torch.split(torch.arange(len(sequences), device=states.device), size):
        questions = rows // each
        logits = decode(model, states[questions], mask[questions], sequences[rows, :-1]).float()
        picked = logits.gather(-1, sequences[rows, 1:, None]) - logits.logsumexp(-1, keepdim=True)
        found += picked.squeeze(-1).tolist()
    return found
