"""Passages that contradict the answer: another of the same type replaces it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from aqa.metrics.languages import has_hangul
from aqa.metrics.match import holds
from aqa.metrics.normalize import PROFILES
from aqa.prompting.gold_passages import text_finder
from aqa.prompting.stress.answers import OtherAnswers, kind_of
from aqa.prompting.stress.particles import agreeing
from aqa.records import Example, Passage

TRIED = 20  # answers drawn per form; those in the evidence or like the old one are skipped
CLOSING = r"[\"'”’」』》〉)\]]*"


@dataclass(frozen=True, slots=True)
class Contradicted:
    """Passages that state `answer` instead of the example's own answers."""

    passages: tuple[Passage, ...]
    answer: str


def contradict(
    example: Example,
    passages: Sequence[Passage],
    others: OtherAnswers,
    chance: Random,
    beside: Sequence[Passage] = (),
) -> Contradicted | None:
    """Replace an example's answers in passages by one that is in none of `beside`.

    None if the passages don't state an answer, no other of its type fits, or the old one would
    remain: inside a longer word or in other words.
    """
    olds = _to_replace(example, passages)
    kind = kind_of(olds[0], example.question) if olds else None
    says_old = text_finder(example)
    if kind is None or not any(map(says_old, passages)):
        return None
    if says_old(Passage(example.question)):
        return None  # the question itself gives the answer away
    for new in others.like(kind, chance, TRIED):
        says_new = text_finder(replace(example, answers=(new,)))
        given = (*passages, *beside, Passage(example.question))
        if any(map(says_new, given)) or any(_are_alike(old, new) for old in olds):
            continue
        changed = tuple(_changed(passage, olds, new) for passage in passages)
        if any(map(says_old, changed)):
            return None
        if any(map(says_new, changed)):
            return Contradicted(changed, new)
    return None


def _to_replace(example: Example, passages: Sequence[Passage]) -> list[str]:
    """Return the longest answer that has a type and occurs verbatim, then the others.

    Of "1988" and "in 1988" only the former is replaced, which changes both.
    """
    answers = sorted({answer.strip() for answer in example.answers or ()} - {""}, key=len)[::-1]
    texts = [passage.text for passage in passages]
    said = (each for each in answers if any(each in text for text in texts))
    chosen = next((each for each in said if kind_of(each, example.question) is not None), None)
    if chosen is None:
        return []
    return [chosen, *(each for each in answers if chosen.lower() not in each.lower())]


def _are_alike(old: str, new: str) -> bool:
    profile = PROFILES["korquad" if has_hangul((old, new)) else "squad"]
    one, other = profile.normalize(old), profile.normalize(new)
    return not one or not other or holds(one, other) or holds(other, one)


def _changed(passage: Passage, olds: Sequence[str], new: str) -> Passage:
    text, title = (replaced(each, olds, new) for each in (passage.text, passage.title))
    return replace(passage, text=text, title=title)


def replaced(text: str, olds: Sequence[str], new: str) -> str:
    """Replace `olds` by `new` where they are whole words, adjusting Korean particles.

    If Hangul that is not a particle follows, nothing is replaced, except that a number may be
    followed by its unit.
    """
    words = "|".join(re.escape(old) for old in olds)
    # Neither part of a longer word nor of a number such as 3,000.
    pattern = rf"(?<![^\W_])(?<!\d[.,])({words})(?![^\W_가-힣]|[.,]\d)({CLOSING})([가-힣]*)"

    def change(match: re.Match[str]) -> str:
        old, closing, ending = match.groups()
        found = agreeing(ending, old, new)
        if found is None:
            if has_hangul(old[-1:]) and not closing:
                return match[0]
            found = ending
        return new + closing + found

    return re.sub(pattern, change, text, flags=re.IGNORECASE)
