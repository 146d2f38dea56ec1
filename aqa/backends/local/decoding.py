"""Choose tokens, find where answers end, and compute their confidence."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from aqa.config.options import GenerationOptions
from aqa.records import MEAN_LOGPROB, MIN_LOGPROB, Prediction
from aqa.runs.tool_calls import CALLED, is_tool_call

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

    `decode` returns a text and whether it is an answer; an unfinished thought is not. Nor is a
    tool call.
    """
    if not all(isfinite(answer.log_probability) for answer in answers):
        return Prediction(prompt_id, None, NO_NUMBERS, prompt_tokens)
    ranked = sorted(answers, key=lambda a: a.score(options.length_penalty), reverse=True)
    pairs = [(answer, decode(answer.ids)) for answer in ranked]
    nbest = [(a, text) for a, (text, is_answer) in pairs if is_answer and not is_tool_call(text)]
    if not nbest:
        first, (text, is_answer) = pairs[0]
        tokens = len(first.ids)
        error = CALLED if is_answer else UNFINISHED.format(tokens)
        return Prediction(prompt_id, text, error, prompt_tokens, tokens)
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
        stop = None if self.cut is None else self.cut(tokens)
        tokens, values = tokens[:stop], log_probabilities[:stop]
        end = next((index for index, token in enumerate(tokens) if token in self.ids), None)
        if end is not None:
            tokens, values = tokens[:end], values[: end + 1]
        return GeneratedAnswer(list(tokens), sum(values), len(values), min(values, default=None))


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
        marks = torch.tensor(draws, dtype=sums.dtype, device=sums.device)[:, None] * sums[:, -1:]
        tokens = torch.searchsorted(sums, marks, right=True).clamp(max=sums.shape[-1] - 1)
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
    draws: list[float] = torch.rand(
        options.max_new_tokens, generator=generator, dtype=torch.float64
    ).tolist()
    return draws
