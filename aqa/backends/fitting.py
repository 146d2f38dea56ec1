"""Make a prompt fit into what a reader can take, by spending the budget on passages only."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from aqa.errors import PromptError
from aqa.records import Dropped, Encoding, Evidence, Prompt

# A passage may end after a sentence; failing that, after a word.
SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’」』)\]]*(?=\s|$)")
WORD_END = re.compile(r"\S(?=\s)")


def fit(
    prompt: Prompt,
    length: Callable[[Prompt], int],
    limit: int,
    encoded: Callable[[Prompt], Prompt] = lambda prompt: prompt,
) -> Prompt:
    """Make a prompt fit into `limit` tokens by spending the budget on passages only.

    Whole passages go first, the lowest ranked before the others; then the end of the last one, at
    a sentence or word boundary. Instructions, question and answer are never cut. `length` gives
    the tokens that a prompt and its answer take, once it is `encoded`.

    Raises:
        PromptError: the prompt does not fit even without passages.
    """
    trial = prompt

    def fits(evidence: Evidence) -> bool:
        nonlocal trial
        changed = evidence is not prompt.evidence
        trial = encoded(replace(prompt, evidence=evidence) if changed else prompt)
        return length(trial) <= limit

    if shorten(prompt.evidence, fits, "reader") is None:
        fits(replace(prompt.evidence, passages=()))
        raise PromptError(
            f"{prompt.id}: instructions, question and answer alone take {length(trial)} tokens,"
            f" more than the {limit} that fit; shorten the template or raise the limit"
        )
    return trial


def fit_each(
    prompt: Prompt,
    length: Callable[[Prompt], int],
    limit: int,
    encoded: Callable[[Prompt], Prompt] = lambda prompt: prompt,
) -> Prompt:
    """Make a prompt fit whose passages are read one by one: each has the whole `limit` to itself.

    `length` gives the tokens of a prompt with one passage, or without any.

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
    evidence: Evidence, fits: Callable[[Evidence], bool], reason: Literal["budget", "reader"]
) -> Evidence | None:
    """Drop the lowest ranked passages, then the end of the last; None where nothing fits.

    What is given was the last that `fits` was asked about.
    """
    if fits(evidence):
        return evidence
    kept = list(evidence.passages)
    dropped = list(evidence.dropped)
    while len(kept) > 1:
        dropped.insert(0, Dropped(kept.pop(), reason))
        trial = replace(evidence, passages=tuple(kept), dropped=tuple(dropped))
        if fits(trial):
            return trial
    if not kept:
        return None  # there was nothing to cut
    return _cut_last(replace(evidence, passages=tuple(kept), dropped=tuple(dropped)), fits, reason)


def _cut_last(
    evidence: Evidence, fits: Callable[[Evidence], bool], reason: Literal["budget", "reader"]
) -> Evidence | None:
    """Keep as much of the only passage's beginning as fits; without it where not a word does."""
    (passage,) = evidence.passages

    def ending_at(end: int) -> Evidence:
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

    low, high = 0, len(passage.text)  # what ends at `low` fits, what ends at `high` does not
    if not fits(ending_at(0)):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(ending_at(middle)) else (low, middle)
    end = _boundary(passage.text, low)
    while not fits(ending_at(end)):  # a tokenizer may need more tokens for a shorter text
        end = _boundary(passage.text, end - 1)
    return ending_at(end)


def _boundary(text: str, end: int) -> int:
    """The last sentence end in the second half of text[:end], else the last word end, else 0.

    Without any white space (a Chinese or Japanese text, or one long token) `end` itself is taken.
    """
    # One character more is looked at, or "3." of "3.14" would pass for the end of a sentence.
    sentences, words = (
        [match.end() for match in ending.finditer(text, 0, end + 1) if match.end() <= end]
        for ending in (SENTENCE_END, WORD_END)
    )
    if sentences and sentences[-1] >= end // 2:
        return sentences[-1]
    if words:
        return words[-1]
    return end if not re.search(r"\s", text.strip()) else 0
