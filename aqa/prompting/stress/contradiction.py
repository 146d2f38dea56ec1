"""Passages that contradict the answer: another of the same form replaces it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from aqa.metrics.languages import has_hangul
from aqa.metrics.match import holds
from aqa.metrics.normalize import PROFILES
from aqa.prompting.gold_passages import text_finder
from aqa.prompting.stress.answers import FIGURES, Kind, OtherAnswers, kind_of
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
    random: Random,
    beside: Sequence[Passage] = (),
) -> Contradicted | None:
    """Replace an example's answers in passages by one that is in none of `beside`.

    None if the passages don't state an answer, no other of its form fits, or the old one would
    remain: inside a longer word or in other words.
    """
    chosen = _to_replace(example, passages)
    says_old = text_finder(example)
    if chosen is None or not any(map(says_old, passages)):
        return None
    if says_old(Passage(example.question)):
        return None  # the question itself gives the answer away
    kind, olds = chosen
    for new in others.like(olds[0], kind, random, TRIED):
        says_new = text_finder(replace(example, answers=(new,)))
        context = (*passages, *beside, Passage(example.question))
        if any(map(says_new, context)) or any(_are_alike(old, new) for old in olds):
            continue
        changed = tuple(_changed(passage, olds, new) for passage in passages)
        if any(map(says_old, changed)):
            return None
        if any(map(says_new, changed)):
            return Contradicted(changed, new)
    return None


def _to_replace(example: Example, passages: Sequence[Passage]) -> tuple[Kind, list[str]] | None:
    """Return the type of the answer to replace, and the answer before the others.

    It occurs verbatim, and is the shortest with figures, or else the longest name. Of "1988" and
    "in 1988" only the former is replaced, which changes both.
    """
    answers = sorted({answer.strip() for answer in example.answers or ()} - {""}, key=len)
    texts = [passage.text for passage in passages]
    stated = (answer for answer in answers if any(answer in text for text in texts))
    typed = [(kind, answer) for answer in stated if (kind := kind_of(answer, example.question))]
    if not typed:
        return None
    figures = [pair for pair in typed if pair[0].name == FIGURES]
    kind, chosen = figures[0] if figures else typed[-1]
    rest = [answer for answer in answers[::-1] if chosen.lower() not in answer.lower()]
    return kind, [chosen, *rest]


def _are_alike(old: str, new: str) -> bool:
    profile = PROFILES["korquad" if has_hangul((old, new)) else "squad"]
    old, new = profile.normalize(old), profile.normalize(new)
    return not old or not new or holds(old, new) or holds(new, old)


def _changed(passage: Passage, olds: Sequence[str], new: str) -> Passage:
    text, title = (replaced(part, olds, new) for part in (passage.text, passage.title))
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
        particle = agreeing(ending, old, new)
        if particle is None:
            if has_hangul(old[-1:]) and not closing:
                return match[0]
            particle = ending
        return new + closing + particle

    return re.sub(pattern, change, text, flags=re.IGNORECASE)
