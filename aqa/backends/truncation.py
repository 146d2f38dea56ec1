"""Shorten a prompt to a token limit by dropping or cutting passages only."""

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Literal

from aqa.errors import PromptError
from aqa.records import Dropped, Encoding, Evidence, Prompt

# A passage is cut after a sentence or, failing that, after a word.
SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’」』)\]]*(?=\s|$)")
WORD_END = re.compile(r"\S(?=\s)")
GUESSES = 12  # then the search bisects, in case sizes predict little
TRIED_AT_ONCE = 16  # passages; this many usually fit
PROBED = 2  # passages tried first if there are more, to estimate how many fit
AT_LEAST = 0.75  # share of a passage's tokens that it adds to others: tokens may merge at the join
MARGIN = 8  # characters, about one word


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
    made: dict[int, Prompt] = {}  # by the id of their evidence

    def fullness(evidence: Evidence) -> float:
        changed = evidence is not prompt.evidence
        trial = encoded(replace(prompt, evidence=evidence) if changed else prompt)
        made[id(trial.evidence)] = trial
        return length(trial) / max(limit, 0.5)  # with a limit of 0, an empty prompt still fits

    evidence = shorten(prompt.evidence, fullness, "reader")
    if evidence is None:
        bare = encoded(replace(prompt, evidence=replace(prompt.evidence, passages=())))
        raise PromptError(
            f"{prompt.id}: instructions, question and answer alone take {length(bare)} tokens,"
            f" more than the {limit} that fit; shorten the template or raise the limit"
        )
    return made[id(evidence)]


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
        alone = replace(evidence, passages=(passage,), dropped=())
        part = fit(replace(prompt, evidence=alone), length, limit, encoded)
        parts.append(part)
        dropped += part.evidence.dropped
        cut += part.evidence.reader_cut_characters
    kept = [part for part in parts if part.evidence.passages]
    changed = replace(
        evidence,
        passages=tuple(part.evidence.passages[0] for part in kept),
        dropped=tuple(dropped),
        reader_cut_characters=cut,
    )
    if not kept:
        return fit(replace(prompt, evidence=changed), length, limit, encoded)
    found = [part.encoding for part in (reversed(kept) if evidence.best_last else kept)]
    encodings = [encoding for encoding in found if encoding is not None]
    whole = replace(prompt, evidence=changed)
    if len(encodings) < len(kept):
        return whole
    return whole.carrying(
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
    sizes = [0, *accumulate(len(evidence.text_of(p)) + len(evidence.join) for p in passages)]

    def keeping(number: int) -> float:
        if number not in trials:
            dropped = tuple(Dropped(passage, reason) for passage in passages[number:])
            trials[number] = replace(
                evidence, passages=passages[:number], dropped=(*dropped, *evidence.dropped)
            )
        return fullness(trials[number])

    def added(number: int) -> float:
        """Estimate what one more passage adds, by encoding it alone, which is fast."""
        return fullness(replace(evidence, passages=passages[number : number + 1])) - bare

    first = len(passages) if len(passages) <= TRIED_AT_ONCE else PROBED
    full = keeping(first)
    if first == len(passages) and full <= 1:
        return evidence
    bare = keeping(0)
    if bare > 1:
        return None
    if full > 1:
        search = Search(0, first, bare, full)
    else:  # what is far too long is never encoded; its fullness is extrapolated
        sizes.append(sizes[-1] + 1)
        rate = (full - bare) / max(sizes[first], 1)
        search = Search(first, len(passages) + 1, full, bare + rate * sizes[-1])
    number = search.last_that_fits(sizes.__getitem__, keeping, added=added)
    if number:
        return trials[number]
    return _cut_last(trials[1], search.high_full, fullness, reason)


@dataclass(slots=True)
class Search:
    """Finds the largest value that fits, given that `low` fits and `high` does not.

    `low_full` and `high_full` are their fullness, known or estimated.
    """

    low: int
    high: int
    low_full: float
    high_full: float

    def last_that_fits(
        self,
        size: Callable[[int], int],
        fullness: Callable[[int], float],
        margin: int = 0,
        settled: Callable[[int, int], bool] | None = None,
        added: Callable[[int], float] | None = None,
    ) -> int:
        """Find it with few calls of `fullness`, which grows roughly in proportion to `size`.

        With a `margin`, guesses are shifted by it, to close in from the other side as well; once
        both bounds have moved the search bisects, until `settled` says that the rest makes no
        difference.
        """
        begun = self.low, self.high
        guesses = off = 0
        while self.high - self.low > 1 and not (settled and settled(self.low, self.high)):
            surrounded = margin > 0 and self.low != begun[0] and self.high != begun[1]
            if surrounded or guesses == GUESSES:
                place = (self.low + self.high) // 2
            else:
                place, guesses = self._guess(size) + off, guesses + 1
            place = min(max(place, self.low + 1), self.high - 1)
            full = fullness(place)
            if full <= 1:
                self.low, self.low_full, off = place, full, margin * guesses
                if added and place + 1 < self.high and full + AT_LEAST * added(place) > 1:
                    break
            else:
                self.high, self.high_full, off = place, full, -margin * guesses
        return self.low

    def _guess(self, size: Callable[[int], int]) -> int:
        """Return the last place that fits if fullness grows linearly."""
        first, last = size(self.low), size(self.high)
        share = (1 - self.low_full) / max(self.high_full - self.low_full, 1e-9)
        wanted = first + share * (last - first)
        return bisect_right(range(self.high), wanted, lo=self.low, key=size) - 1


def _cut_last(
    evidence: Evidence,
    full: float,
    fullness: Callable[[Evidence], float],
    reason: Literal["budget", "reader"],
) -> Evidence | None:
    """Keep as much of the start of the only passage as fits; drop it if not even a word does."""
    (passage,) = evidence.passages
    text = passage.text
    trials: dict[int, tuple[Evidence, float]] = {}

    def ending_at(end: int) -> float:
        if end not in trials:
            trial = _ending_at(evidence, end, reason)
            trials[end] = trial, fullness(trial)
        return trials[end][1]

    def settled(low: int, high: int) -> bool:
        return _boundary(text, low) == _boundary(text, high - 1)

    bare = ending_at(0)
    if bare > 1:
        return None
    search = Search(0, len(text), bare, full)
    end = _boundary(text, search.last_that_fits(lambda end: end, ending_at, MARGIN, settled))
    while ending_at(end) > 1:  # a tokenizer may need more tokens for a shorter text
        end = _boundary(text, end - 1)
    return trials[end][0]


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


def _boundary(text: str, end: int) -> int:
    """Return the last sentence end in the second half of text[:end], or the last word end, or 0.

    In text without white space (Chinese, Japanese, one long token) `end` itself is returned.
    """
    # Look one character further, or the "3." of "3.14" would pass for a sentence end.
    sentences, words = (
        [match.end() for match in ending.finditer(text, 0, end + 1) if match.end() <= end]
        for ending in (SENTENCE_END, WORD_END)
    )
    if sentences and sentences[-1] >= end // 2:
        return sentences[-1]
    if words:
        return words[-1]
    return end if not re.search(r"\s", text.strip()) else 0
