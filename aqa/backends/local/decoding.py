"""Answers as a model wrote or draws them, and how sure it was of them."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from typing import Any

from aqa.backends.local.devices import seeded
from aqa.config.options import GenerationOptions
from aqa.records import MEAN_LOGPROB, MIN_LOGPROB, Prediction

Drawings = Sequence[Sequence[float]]  # of each answer its `uniform_draws`

UNFINISHED = (
    "the model was still thinking after {} tokens, so there is no answer; raise"
    " generation.max_new_tokens, or keep it from thinking with backend.enable_thinking=false if its"
    " chat template has that variable"
)

NO_NUMBERS = (
    "the model computed no number for how likely its answer is (NaN or infinity), as in float16;"
    " bfloat16 and float32 reach further"
)


@dataclass(frozen=True, slots=True)
class Written:
    """The ids of an answer, its end token left out.

    `log_probability` is the sum over its `tokens`, the end token among them where it was written,
    and `lowest` that of the least likely one; None where only the sum is known.
    """

    ids: list[int]
    log_probability: float
    tokens: int
    lowest: float | None = None

    @property
    def confidence(self) -> float:
        """The mean log-probability of the tokens."""
        return self.score(1.0)

    def score(self, length_penalty: float) -> float:
        """The log-probability over a power of the length, as beam search compares answers."""
        length: float = max(self.tokens, 1) ** length_penalty
        return self.log_probability / length


def as_prediction(
    prompt_id: str,
    prompt_tokens: int,
    answers: Sequence[Written],
    decode: Callable[[Sequence[int]], tuple[str, bool]],
    options: GenerationOptions,
) -> Prediction:
    """The best of one prompt's answers, and all of them where several were asked for.

    `decode` gives a text, and whether it is an answer: a thought that does not end is none.
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
class Ends:
    """Where an answer ends: before one of the tokens, or where `cut` finds that its text ends."""

    ids: Sequence[int]
    cut: Callable[[Sequence[int]], int | None] | None = None

    def ended(self, tokens: Sequence[int]) -> bool:
        """Whether an answer has ended whose last token is new."""
        return tokens[-1] in self.ids or (self.cut is not None and self.cut(tokens) is not None)

    def until(self, tokens: Sequence[int], log_probabilities: Sequence[float]) -> Written:
        """What was written up to its end, be that a token or a text."""
        place = None if self.cut is None else self.cut(tokens)
        tokens, found = tokens[:place], log_probabilities[:place]
        end = next((at for at, token in enumerate(tokens) if token in self.ids), None)
        if end is not None:
            tokens, found = tokens[:end], found[: end + 1]
        return Written(list(tokens), sum(found), len(found), min(found, default=None))


def chosen_tokens(
    logits: Any, draws: Sequence[float], options: GenerationOptions
) -> tuple[list[int], list[float]]:
    """A token of each row, and its log-probability before temperature and `top_p`.

    `draws`, uniform in [0, 1), choose by the distribution's inverse; greedy takes the likeliest.
    """
    import torch

    if options.temperature and logits.device.type == "mps":  # where there is no float64
        logits = logits.cpu()
    total = logits.logsumexp(-1, keepdim=True)
    if options.temperature:
        probabilities = (logits.double() / options.temperature).softmax(-1)
        if options.top_p < 1:
            ranked, order = probabilities.sort(dim=-1, descending=True)
            beyond = ranked.cumsum(-1) - ranked >= options.top_p
            dropped = torch.zeros_like(beyond).scatter(-1, order, beyond)
            probabilities = probabilities.masked_fill(dropped, 0.0)
        # In the order of the vocabulary, which rounding does not change as it does ranks.
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
    """What draws the tokens of a prompt's answer of that number; nothing where none is drawn.

    They depend on nothing else, so that neither batches nor a resumed run change an answer.
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
    """A logits processor that notes the log-probabilities of the tokens that are chosen.

    It meets the scores before the choice, which is at the end of the ids at the next step: so
    one step's scores are kept instead of all steps'. Not for beams, which change places.
    """

    def __init__(self) -> None:
        self._scores: Any = None
        self._total: Any = None  # log of the sum over the vocabulary
        self._steps: list[Any] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Look up the token chosen last; keep the scores of the next one."""
        self._look_up(input_ids[:, -1:])
        self._scores, self._total = scores, scores.logsumexp(-1, keepdim=True)
        return scores

    def log_probabilities(self, sequences: Any) -> list[list[float]]:
        """Those of all tokens that were written, row by row; `sequences` end with them."""
        import torch

        self._look_up(sequences[:, -1:])
        self._scores = None
        found: list[list[float]] = torch.cat(self._steps, dim=-1).tolist()
        return found

    def _look_up(self, chosen: Any) -> None:
        if self._scores is not None:
            self._steps.append(self._scores.gather(-1, chosen) - self._total)


def decoding(options: GenerationOptions) -> dict[str, Any]:
    """Our options in the words of transformers' `generate`; without beams always greedy.

    They are the only ones, see `generation_config`. Samples are drawn by `drawing.Drawn`.
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


class Drawn:
    """A logits processor that leaves each row the token that its next number falls on.

    So a sample is what a greedy search then finds, whatever batch it is written in.
    """

    def __init__(self, draws: Drawings, options: GenerationOptions) -> None:
        self._draws, self._options = draws, options
        self._step = 0

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Give scores (rows, vocabulary) of which one token of each row is possible."""
        import torch

        numbers = [own[self._step] for own in self._draws]
        self._step += 1
        tokens, _ = chosen_tokens(scores, numbers, self._options)
        chosen = torch.tensor(tokens, device=scores.device)[:, None]
        return torch.full_like(scores, -torch.inf).scatter(-1, chosen, 0.0)


@contextmanager
def drawing(options: GenerationOptions, seed: int, first_id: str) -> Iterator[None]:
    """Let beams that are sampled depend on the seed and their batch's first prompt alone.

    Random numbers drawn elsewhere, such as those of a training, go on as if nothing had happened.
    """
    if options.draws or not options.temperature:
        yield
        return
    with seeded(seed ^ zlib.crc32(first_id.encode())):
        yield
