"""Generate an encoder-decoder's answers to one batch of questions."""

from collections.abc import Sequence
from typing import Any

from aqa.backends.local.decoding import (
    GeneratedAnswer,
    SeededSampler,
    StopConditions,
    UniformDraws,
    decoding,
    recorder,
)
from aqa.backends.local.devices import without_gradients
from aqa.config.options import GenerationOptions

Parts = Sequence[Sequence[int]]


def write_answers(
    model: Any,
    questions: Sequence[Parts],
    end_ids: list[int],
    options: GenerationOptions,
    encoded_tokens: int,
    draws: UniformDraws = (),
) -> list[list[GeneratedAnswer]]:
    """Return each question's answers; at most `encoded_tokens` go through the encoder at once.

    `draws` holds the random draws of each answer, if tokens are sampled.
    """
    from aqa.backends.t5.fusion import EncoderStates, encode_questions

    with without_gradients():
        states, mask = encode_questions(model, questions, encoded_tokens)
        chosen = recorder(options, start=1)
        if options.draws:
            each = options.answers_each
            states, mask = states.repeat_interleave(each, 0), mask.repeat_interleave(each, 0)
        drawn = [SeededSampler(draws, options)] if options.draws else []
        sequences = model.generate(
            encoder_outputs=EncoderStates(last_hidden_state=states),
            attention_mask=mask,
            eos_token_id=end_ids,
            pad_token_id=end_ids[0],
            logits_processor=[chosen.look, *drawn],
            stopping_criteria=[*chosen.criteria],
            **decoding(options),
        )
        found = chosen.log_probabilities(sequences, options.answers_each)
    rows = zip(sequences[:, 1:].tolist(), found, strict=True)  # the first token starts the decoder
    answers = [StopConditions(end_ids).until(*row) for row in rows]
    step = options.answers_each
    return [answers[place : place + step] for place in range(0, len(answers), step)]
