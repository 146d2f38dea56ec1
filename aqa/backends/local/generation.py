"""Generate answers with transformers' `generate`, and record how likely each token was."""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import nan
from typing import Any

from aqa.backends.local.decoding import (
    GeneratedAnswer,
    StopConditions,
    UniformDraws,
    chosen_tokens,
)
from aqa.backends.local.devices import seeded, without_gradients
from aqa.config.options import GenerationOptions


def generate_answers(
    model: Any,
    inputs: Mapping[str, Any],
    start: int,
    ends: StopConditions,
    options: GenerationOptions,
    draws: UniformDraws,
) -> list[list[GeneratedAnswer]]:
    """Return the answers to a batch of prompts, those of a prompt together.

    `inputs` are the model's; answers start at the column `start`. If tokens are sampled, there is a
    row for each answer, and `draws` holds its random numbers.
    """
    import torch

    def ended(input_ids: Any, scores: Any, **_: Any) -> Any:
        endings = [ends.ended(row) for row in input_ids[:, start:].tolist()]
        return torch.tensor(endings, device=input_ids.device)

    recorder = BeamTokens(options.num_beams, start) if options.num_beams > 1 else ChosenTokens()
    sampler = [SeededSampler(draws, options)] if options.draws else []
    with without_gradients():
        sequences = model.generate(
            **inputs,
            eos_token_id=list(ends.ids),
            pad_token_id=ends.ids[0],
            logits_processor=[recorder.look, *sampler],
            stopping_criteria=[*([ended] if ends.cut else []), *recorder.criteria],
            **decoding(options),
        )
        log_probabilities = recorder.log_probabilities(sequences, options.answers_each)
    pairs = zip(sequences[:, start:].tolist(), log_probabilities, strict=True)
    answers = [ends.until(*pair) for pair in pairs]
    count = options.answers_each
    return [answers[start_of : start_of + count] for start_of in range(0, len(answers), count)]


def decoding(options: GenerationOptions) -> dict[str, Any]:
    """Translate our options to arguments of `generate`; greedy unless beams are sampled.

    No other settings apply, see `generation_config`. `SeededSampler` draws samples.
    """
    words: dict[str, Any] = {
        "use_cache": True,
        "max_new_tokens": options.max_new_tokens,
        "num_beams": options.num_beams,
        "num_return_sequences": options.num_return_sequences if options.num_beams > 1 else 1,
    }
    if options.num_beams > 1:
        words["length_penalty"] = options.length_penalty
    if options.draws or not options.temperature:
        return {**words, "do_sample": False}
    sampling = {"temperature": options.temperature, "top_p": options.top_p, "top_k": 0}
    return {**words, "do_sample": True, **sampling}


class ChosenTokens:
    """Records the log-probabilities of the chosen tokens.

    `look`, a logits processor, sees scores before the choice, which the next call's ids reveal, so
    it keeps one step's scores rather than all. Not for beams, see `BeamTokens`.
    """

    criteria: Sequence[Callable[..., Any]] = ()  # stopping criteria for `generate`

    def __init__(self) -> None:
        self._scores: Any = None
        self._total: Any = None  # log of the sum over the vocabulary
        self._steps: list[Any] = []

    def look(self, input_ids: Any, scores: Any) -> Any:
        """Record the last token's log-probability; keep the scores for the next one."""
        self._look_up(input_ids[:, -1:])
        self._scores, self._total = scores, scores.logsumexp(-1, keepdim=True)
        return scores

    def log_probabilities(self, sequences: Any, count: int) -> list[list[float]]:
        """Return those of all written tokens, row by row; `sequences` end with them."""
        import torch

        self._look_up(sequences[:, -1:])
        self._scores = None
        rows: list[list[float]] = torch.cat(self._steps, dim=-1).tolist()
        return rows

    def _look_up(self, chosen: Any) -> None:
        if self._scores is not None:
            self._steps.append(self._scores.gather(-1, chosen) - self._total)


class BeamTokens:
    """Records the log-probabilities of beams' tokens during the search, which reorders beams.

    `look`, a logits processor, sees each step's scores, then `note`, a stopping criterion that
    stops nothing, sees all candidates. A second pass over the answers would be slower, and give
    some models' answers other scores. Answers start at the column `start`. Each token
    refers to the one before: whole candidates would take memory quadratic in their length.
    """

    def __init__(self, beams: int, start: int) -> None:
        self._beams, self._start = beams, start
        self.criteria = [self.note]
        self._indices: dict[tuple[int, int], int] = {}  # by that of the token before
        self._values: list[float] = []  # by index
        self._last: dict[tuple[int, ...], int] = {}  # this step's candidates: their last indices

    def look(self, input_ids: Any, scores: Any) -> Any:
        """Keep a step's scores, and which beam each row is."""
        self._scores = scores
        self._rows = {key: row for row, key in enumerate(self._keys(input_ids, self._beams))}
        return scores

    def note(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """Record the last token of each candidate; a prompt's candidates are consecutive."""
        import torch

        keys = self._keys(input_ids, len(input_ids) * self._beams // len(self._scores))
        rows = [self._rows[key[:-1]] for key in keys]
        picked = self._scores[rows, [key[-1] for key in keys]]
        before, self._last = self._last, {}
        for key, value in zip(keys, picked.tolist(), strict=True):
            token = before.get(key[:-1], -1 - key[0]), key[-1]  # first after its prompt
            index = self._last[key] = self._indices.setdefault(token, len(self._values))
            if index == len(self._values):
                self._values.append(value)
        return torch.zeros(len(keys), dtype=torch.bool, device=input_ids.device)

    def log_probabilities(self, sequences: Any, count: int) -> list[list[float]]:
        """Return those of all tokens, row by row, `count` rows per prompt; NaN after an end."""
        return [[*self._read(key)] for key in self._keys(sequences, count)]

    def _read(self, key: tuple[int, ...]) -> Iterator[float]:
        index: int | None = -1 - key[0]
        for token in key[1:]:
            index = None if index is None else self._indices.get((index, token))
            yield nan if index is None else self._values[index]

    def _keys(self, ids: Any, count: int) -> list[tuple[int, ...]]:
        """Return each row's prompt number and answer tokens."""
        rows = enumerate(ids[:, self._start :].tolist())
        return [(number // count, *row) for number, row in rows]


class SeededSampler:
    """A logits processor that leaves each row only the token that its next draw selects.

    Greedy search then yields the sample, whatever batch it is written in.
    """

    def __init__(self, draws: UniformDraws, options: GenerationOptions) -> None:
        self._draws, self._options = draws, options
        self._step = 0

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return scores (rows, vocabulary) that allow one token per row."""
        import torch

        numbers = [draws[self._step] for draws in self._draws]
        self._step += 1
        tokens, _ = chosen_tokens(scores, numbers, self._options)
        chosen = torch.tensor(tokens, device=scores.device)[:, None]
        return torch.full_like(scores, -torch.inf).scatter(-1, chosen, 0.0)


@contextmanager
def seeded_sampling(options: GenerationOptions, seed: int, first_id: str) -> Iterator[None]:
    """Make sampled beams depend only on the seed and the first prompt of their batch.

    Other random numbers, such as those used in training, continue undisturbed.
    """
    if options.draws or not options.temperature:
        yield
        return
    with seeded(seed ^ zlib.crc32(first_id.encode())):
        yield
