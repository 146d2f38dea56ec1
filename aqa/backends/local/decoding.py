"""Choose tokens, find where answers end, and compute their confidence."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

from aqa.backends.local.devices import seeded
from aqa.config.options import GenerationOptions
from aqa.records import MEAN_LOGPROB, MIN_LOGPROB, Prediction

UniformDraws = Sequence[Sequence[float]]  # the `uniform_draws` of each answer

UNFINISHED = (
    "the model was still thinking after {} tokens, so there is no answer; raise"
    " generation.max_new_tokens, or keep it from thinking with backend.enable_thinking=false if its"
    " chat template has that variable"
)

NO_NUMBERS = (
    "the model's probabilities are not finite numbers (NaN or infinity), as happens in float16; set"
    " backend.compute_dtype to bfloat16 or float32"
)


@dataclass(frozen=True, slots=True)
class GeneratedAnswer:
    """The ids of an answer, without its end token.

    `log_probability` is the sum over its `tokens`, including an end token if one was written;
    `lowest` is that of the least likely token, or None if only the sum is known.
    """

    ids: list[int]
    log_probability: float
    tokens: int
    lowest: float | None = None

    @property
    def confidence(self) -> float:
        """The mean log-probability per token."""
        return self.score(1.0)

    def score(self, length_penalty: float) -> float:
        """Return the log-probability over a power of the length, by which beam search ranks."""
        length: float = max(self.tokens, 1) ** length_penalty
        return self.log_probability / length


def as_prediction(
    prompt_id: str,
    prompt_tokens: int,
    answers: Sequence[GeneratedAnswer],
    decode: Callable[[Sequence[int]], tuple[str, bool]],
    options: GenerationOptions,
) -> Prediction:
    """Make a prediction of the best of a prompt's answers, with all of them if several were asked.

    `decode` returns a text and whether it is an answer; an unfinished thought is not.
    """
    if not all(isfinite(answer.log_probability) for answer in answers):
        return Prediction(prompt_id, None, NO_NUMBERS, prompt_tokens)
    ranked = sorted(answers, key=lambda a: a.score(options.length_penalty), reverse=True)
    pairs = [(answer, decode(answer.ids)) for answer in ranked]
    nbest = [(a, text) for a, (text, is_answer) in pairs if is_answer]
    if not nbest:
        first, (text, _) = pairs[0]
        tokens = len(first.ids)
        return Prediction(prompt_id, text, UNFINISHED.format(tokens), prompt_tokens, tokens)
    best, text = nbest[0]
    scored = tuple((text, a.score(options.length_penalty)) for a, text in nbest)
    return Prediction(
        prompt_id,
        text,
        prompt_tokens=prompt_tokens,
        answer_tokens=len(best.ids),
        confidence=best.confidence,
        confidence_kind=MEAN_LOGPROB,
        other_confidences=() if best.lowest is None else ((MIN_LOGPROB, best.lowest),),
        nbest=scored if options.num_return_sequences > 1 else (),
    )


@dataclass(frozen=True, slots=True)
class StopConditions:
    """Where an answer ends: at one of the token ids, or where `cut` finds the end in its text."""

    ids: Sequence[int]
    cut: Callable[[Sequence[int]], int | None] | None = None

    def ended(self, tokens: Sequence[int]) -> bool:
        """Whether the answer ends with its newest token."""
        return tokens[-1] in self.ids or (self.cut is not None and self.cut(tokens) is not None)

    def until(self, tokens: Sequence[int], log_probabilities: Sequence[float]) -> GeneratedAnswer:
        """Return the answer up to its end, which may be a token or a text."""
        place = None if self.cut is None else self.cut(tokens)
        tokens, found = tokens[:place], log_probabilities[:place]
        end = next((at for at, token in enumerate(tokens) if token in self.ids), None)
        if end is not None:
            tokens, found = tokens[:end], found[: end + 1]
        return GeneratedAnswer(list(tokens), sum(found), len(found), min(found, default=None))


def chosen_tokens(
    logits: Any, draws: Sequence[float], options: GenerationOptions
) -> tuple[list[int], list[float]]:
    """Return a token for each row, and its log-probability before temperature and `top_p`.

    `draws`, uniform in [0, 1), select by inverse transform sampling; greedy takes the likeliest.
    """
    import torch

    if options.temperature and logits.device.type == "mps":  # which has no float64
        logits = logits.cpu()
    total = logits.logsumexp(-1, keepdim=True)
    if options.temperature:
        probabilities = (logits.double() / options.temperature).softmax(-1)
        if options.top_p < 1:
            ranked, order = probabilities.sort(dim=-1, descending=True)
            beyond = ranked.cumsum(-1) - ranked >= options.top_p
            dropped = torch.zeros_like(beyond).scatter(-1, order, beyond)
            probabilities = probabilities.masked_fill(dropped, 0.0)
        # In vocabulary order, which rounding does not change, unlike ranks.
        sums = probabilities.cumsum(-1)
        drawn = torch.tensor(draws, dtype=sums.dtype, device=sums.device)[:, None] * sums[:, -1:]
        tokens = torch.searchsorted(sums, drawn, right=True).clamp(max=sums.shape[-1] - 1)
    else:
        tokens = logits.argmax(-1, keepdim=True)
    log_probabilities = logits.gather(-1, tokens) - total
    return tokens.flatten().tolist(), log_probabilities.flatten().tolist()


def uniform_draws(
    options: GenerationOptions, seed: int, prompt_id: str, number: int
) -> list[float]:
    """Return the random numbers for answer `number` of a prompt; none if nothing is sampled.

    They depend on nothing else, so neither batching nor resuming changes an answer.
    """
    if not options.temperature:
        return []
    import torch

    generator = torch.Generator().manual_seed(zlib.crc32(f"{seed} {number} {prompt_id}".encode()))
    found: list[float] = torch.rand(
        options.max_new_tokens, generator=generator, dtype=torch.float64
    ).tolist()
    return found


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

    def log_probabilities(self, sequences: Any, each: int) -> list[list[float]]:
        """Return those of all written tokens, row by row; `sequences` end with them."""
        import torch

        self._look_up(sequences[:, -1:])
        self._scores = None
        found: list[list[float]] = torch.cat(self._steps, dim=-1).tolist()
        return found

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
        self._places: dict[tuple[int, int], int] = {}  # by the place of the token before
        self._found: list[float] = []  # by place
        self._last: dict[tuple[int, ...], int] = {}  # this step's candidates: their last places

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
            place = self._last[key] = self._places.setdefault(token, len(self._found))
            if place == len(self._found):
                self._found.append(value)
        return torch.zeros(len(keys), dtype=torch.bool, device=input_ids.device)

    def log_probabilities(self, sequences: Any, each: int) -> list[list[float]]:
        """Return those of all tokens, row by row, `each` rows per prompt; NaN after an end."""
        return [[*self._read(key)] for key in self._keys(sequences, each)]

    def _read(self, key: tuple[int, ...]) -> Iterator[float]:
        place: int | None = -1 - key[0]
        for token in key[1:]:
            place = None if place is None else self._places.get((place, token))
            yield nan if place is None else self._found[place]

    def _keys(self, ids: Any, each: int) -> list[tuple[int, ...]]:
        """Return each row's prompt number and answer tokens."""
        rows = enumerate(ids[:, self._start :].tolist())
        return [(number // each, *row) for number, row in rows]


def recorder(options: GenerationOptions, start: int) -> ChosenTokens | BeamTokens:
    """Return what records the log-probabilities of answers, which start at that column."""
    return BeamTokens(options.num_beams, start) if options.num_beams > 1 else ChosenTokens()


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

        numbers = [own[self._step] for own in self._draws]
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
