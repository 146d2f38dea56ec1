"""Generate answers from token ids, in continuous batches or with transformers' `generate`.

The latter is for beams, and for models whose keys and values cannot move between batches.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from aqa.backends.llama_qlora.prefixes import (
    can_share,
    forget_lengths,
    group_by_prefix,
    steady_length,
    takes_padding,
)
from aqa.backends.local.batches import pad_right
from aqa.backends.local.decoding import GeneratedAnswer, StopConditions, UniformDraws
from aqa.backends.local.devices import input_device
from aqa.backends.local.generation import generate_answers
from aqa.backends.local.memory import TokenBudget
from aqa.config.options import GenerationOptions

Rows = Sequence[Sequence[int]]


def is_continuous(model: Any, options: GenerationOptions, rows: Rows) -> bool:
    """Whether answers to rows can be written in continuous batches."""
    return options.num_beams == 1 and can_share(model) and _are_steady(model, rows, options)


def _are_steady(model: Any, rows: Rows, options: GenerationOptions) -> bool:
    """Whether each row's positions are the same as if it were alone."""
    return max(map(len, rows), default=0) + options.max_new_tokens <= steady_length(model.config)


def write_continuously(
    model: Any,
    rows: Rows,
    ends: StopConditions,
    options: GenerationOptions,
    budget: TokenBudget,
    draws: UniformDraws,
) -> Iterator[tuple[int, list[GeneratedAnswer] | None]]:
    """Yield row numbers and their answers as they end; None instead if memory is too small.

    `draws` holds the random numbers of each answer, if tokens are sampled.
    """
    from aqa.backends.llama_qlora.continuous_batching import Answer, Writer

    count, groups = options.answers_each, group_by_prefix(rows)
    answers: dict[int, list[Answer]] = {}
    for group in groups:
        prefix = [*rows[group.members[0]][: group.length]]  # an object of its own
        for number in group.members:
            row_draws = draws[number * count : (number + 1) * count]
            answers[number] = [Answer(number, rows[number], prefix, draw) for draw in row_draws]
    by_prefix = [[a for number in group.members for a in answers[number]] for group in groups]
    for ended in Writer(model, ends, options, budget).write(by_prefix):
        row_answers = answers.get(ended.number)
        if row_answers and all(answer.ended for answer in row_answers):
            del answers[ended.number]
            fits = all(answer.fits for answer in row_answers)
            written = [ends.until(a.tokens, a.log_probabilities) for a in row_answers]
            yield ended.number, written if fits else None


def write_answers(
    model: Any,
    rows: Rows,
    ends: StopConditions,
    options: GenerationOptions,
    draws: UniformDraws = (),
) -> list[list[GeneratedAnswer]]:
    """Return each row's answers, of at most `max_new_tokens`; one, unless several are asked for."""
    if not (takes_padding(model) and _are_steady(model, rows, options)):
        forget_lengths(model)
        if len({len(row) for row in rows}) > 1:
            return _write_by_length(model, rows, ends, options, draws)
    count = options.answers_each if options.draws else 1  # `generate` adds rows for beams itself
    ids, mask = pad_left([row for row in rows for _ in range(count)], ends.ids[0])
    device = input_device(model)
    inputs = {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
    return generate_answers(model, inputs, ids.shape[1], ends, options, draws)


def _write_by_length(
    model: Any, rows: Rows, ends: StopConditions, options: GenerationOptions, draws: UniformDraws
) -> list[list[GeneratedAnswer]]:
    """Write answers to rows of one length at a time, for models that other lengths would affect."""
    by_row: dict[int, list[GeneratedAnswer]] = {}
    for length in sorted({len(row) for row in rows}, reverse=True):
        numbers = [n for n, row in enumerate(rows) if len(row) == length]
        count = options.answers_each
        drawn = [draw for n in numbers for draw in draws[n * count : (n + 1) * count]]
        answers = write_answers(model, [rows[n] for n in numbers], ends, options, drawn)
        by_row |= zip(numbers, answers, strict=True)
    return [by_row[n] for n in range(len(rows))]


def pad_left(rows: Rows, filling: int) -> tuple[Any, Any]:
    """Return ids and attention mask of shape (rows, longest), padded on the left.

    Only the mask marks padding: its token may also be the end-of-turn token.
    """
    ids, mask = pad_right([row[::-1] for row in rows], filling)
    return ids.flip(1), mask.flip(1)
