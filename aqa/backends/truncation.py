"""Shorten a prompt to a token limit by dropping or cutting passages only."""

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate
from typing import Literal

from aqa.errors import PromptError
from aqa.records import Dropped, Encoding, Evidence, Prompt

# A passage is cut after a sentence or, failing that, after a word.
SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’」』)\]]*(?=\s|$)")
WORD_END = re.compile(r"\S(?=\s)")
TRIED_AT_ONCE = 16  # passages; this many usually fit
PROBED = 2  # passages tried first if there are more, to estimate how many fit
AT_LEAST = 0.75  # share of a passage's tokens that it adds to others: tokens may merge at the join


def fit(
    prompt: Prompt,
    length: Callable[[Prompt], int],
    limit: int,
    encoded: Callable[[Prompt], Prompt] = lambda prompt: prompt,
) -> Prompt:
    """Make a prompt fit into `limit` tokens by dropping or cutting passages only.

    Whole passages go first, lowest-ranked first; then the last one is cut at a sentence or word
    boundary. Instructions, question and answer are never cut. `length` counts the tokens of an
    `encoded` prompt and its answer.

    Raises:
        PromptError: the prompt does not fit even without passages.
    """
    fitted: dict[int, Prompt] = {}  # by the id of their evidence

    def fullness(evidence: Evidence) -> float:
        changed = evidence is not prompt.evidence
        trial = encoded(replace(prompt, evidence=evidence) if changed else prompt)
        fitted[id(trial.evidence)] = trial
        return length(trial) / max(limit, 0.5)  # with a limit of 0, an empty prompt still fits

    evidence = shorten(prompt.evidence, fullness, "reader")
    if evidence is None:
        bare = encoded(replace(prompt, evidence=replace(prompt.evidence, passages=())))
        raise PromptError(
            f"{prompt.id}: instructions, question and answer alone take {length(bare)} tokens,"
            f" more than the {limit} that fit; shorten the template or raise the limit"
        )
    return fitted[id(evidence)]


def fit_each(
    prompt: Prompt,
    length: Callable[[Prompt], int],
    limit: int,
    encoded: Callable[[Prompt], Prompt] = lambda prompt: prompt,
) -> Prompt:
    """Make a prompt fit whose passages are read separately, each with the whole `limit`.

    `length` counts the tokens of a prompt with one passage or none.

    Raises:
        PromptError: the prompt does not fit even without a passage.
    """
    evidence = prompt.evidence
    dropped, cut = list(evidence.dropped), 0
    parts: list[Prompt] = []
    for passage in evidence.passages:
        single = replace(evidence, passages=(passage,), dropped=())
        part = fit(replace(prompt, evidence=single), length, limit, encoded)
        parts.append(part)
        dropped += part.evidence.dropped
        cut += part.evidence.reader_cut_characters
    filled = [part for part in parts if part.evidence.passages]
    changed = replace(
        evidence,
        passages=tuple(part.evidence.passages[0] for part in filled),
        dropped=tuple(dropped),
        reader_cut_characters=cut,
    )
    if not filled:
        return fit(replace(prompt, evidence=changed), length, limit, encoded)
    encoded_parts = [part.encoding for part in (reversed(filled) if evidence.best_last else filled)]
    encodings = [encoding for encoding in encoded_parts if encoding is not None]
    result = replace(prompt, evidence=changed)
    if len(encodings) < len(filled):
        return result
    return result.carrying(
        Encoding(
            tuple(token for encoding in encodings for token in encoding.prompt_ids),
            encodings[0].target_ids,
            tuple(length for encoding in encodings for length in encoding.part_lengths),
        )
    )


def shorten(
    evidence: Evidence, fullness: Callable[[Evidence], float], reason: Literal["budget", "reader"]
) -> Evidence | None:
    """Drop the lowest-ranked passages, then cut the last one; None if nothing fits.

    `fullness` returns the share of the limit that evidence takes; above 1 it does not fit. It is
    always called for the given evidence, otherwise rarely: each call may encode a whole prompt.
    """
    passages = evidence.passages
    trials: dict[int, Evidence] = {len(passages): evidence}
    taken: dict[int, float] = {}  # by number of passages: the share of the limit
    sizes = [0, *accumulate(len(evidence.text_of(p)) + len(evidence.join) for p in passages)]

    def keeping(number: int) -> float:
        if number not in trials:
            dropped = tuple(Dropped(passage, reason) for passage in passages[number:])
            trials[number] = replace(
                evidence, passages=passages[:number], dropped=(*dropped, *evidence.dropped)
            )
        if number not in taken:
            taken[number] = fullness(trials[number])
        return taken[number]

    def fits(number: int) -> bool:
        before = taken.get(number - 1, 2.0)
        if number > 1 and before <= 1:  # one more: encoding it alone is faster
            alone = fullness(replace(evidence, passages=passages[number - 1 : number]))
            if before + AT_LEAST * (alone - bare) > 1:
                return False
        return keeping(number) <= 1

    first = len(passages) if len(passages) <= TRIED_AT_ONCE else PROBED
    full = keeping(first)
    if first == len(passages) and full <= 1:
        return evidence
    bare = keeping(0)
    if bare > 1:
        return None
    room = sizes[first] * (1 - bare) / max(full - bare, 1e-9)  # in characters
    low, high = (0, first) if full > 1 else (first, len(passages) + 1)
    guess = bisect_right(sizes, room) - 1
    number = last_that_fits(fits, low, high, guess)
    if number:
        return trials[number]
    return _cut_last(trials[1], (1 - bare) / (keeping(1) - bare), fullness, reason)


def last_that_fits(fits: Callable[[int], bool], low: int, high: int, guess: int) -> int:
    """Return the last number that fits, given that `low` does and `high` does not.

    It looks around the guess in growing steps, then halves: a good guess takes few calls.
    """
    begun, number, step = (low, high), guess, 1
    while high - low > 1:
        if low != begun[0] and high != begun[1]:
            number = (low + high) // 2
        number = min(max(number, low + 1), high - 1)
        if fits(number):
            low, number = number, number + step
        else:
            high, number = number, number - step
        step *= 2
    return low


def _cut_last(
    evidence: Evidence,
    ratio: float,
    fullness: Callable[[Evidence], float],
    reason: Literal["budget", "reader"],
) -> Evidence:
    """Keep as much of the start of the only passage as fits, about this `ratio` of it.

    It ends with the last sentence that ends in the second half of what fits, otherwise with a word;
    in text without white space (Chinese, Japanese, one long token) anywhere.
    """
    (passage,) = evidence.passages
    text, has_words = passage.text, re.search(r"\s", passage.text.strip())
    ends = [0, *(m.end() for m in WORD_END.finditer(text))] if has_words else [*range(len(text))]
    trials: dict[int, tuple[Evidence, float]] = {}

    def fits(end: int) -> bool:
        if end not in trials:
            trial = _ending_at(evidence, end, reason)
            trials[end] = trial, fullness(trial)
        return trials[end][1] <= 1

    guess = bisect_right(ends, ratio * len(text)) - 1
    last = last_that_fits(lambda number: fits(ends[number]), 0, len(ends), guess)
    end, beyond = ends[last], [*ends, len(text)][last + 1]
    sentence = max((m.end() for m in SENTENCE_END.finditer(text) if m.end() <= end), default=0)
    if end // 2 <= sentence < (beyond - 1) // 2:  # it depends on how much of the next word fits
        beyond = last_that_fits(fits, end, beyond, end + 1) + 1
    if sentence and sentence >= (beyond - 1) // 2:
        last = bisect_right(ends, sentence) - 1
    while not fits(ends[last]):  # a tokenizer may need more tokens for a shorter text
        last -= 1
    return trials[ends[last]][0]


def _ending_at(evidence: Evidence, end: int, reason: Literal["budget", "reader"]) -> Evidence:
    (passage,) = evidence.passages
    if end == 0:
        dropped = (Dropped(passage, reason), *evidence.dropped)
        return replace(
            evidence, passages=(), dropped=dropped, cut_characters=0, reader_cut_characters=0
        )
    shorter = replace(passage, text=passage.text[:end])
    cut = len(passage.text) - end
    if reason == "reader":
        return replace(evidence, passages=(shorter,), reader_cut_characters=cut)
    return replace(evidence, passages=(shorter,), cut_characters=cut)
