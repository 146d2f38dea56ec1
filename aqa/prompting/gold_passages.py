"""Find the passages that are known, or seem, to contain the answer."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from unicodedata import normalize as unicode_form

from aqa.metrics.languages import WITHOUT_SPACES, has_hangul, language_of
from aqa.metrics.match import closed, holds
from aqa.metrics.normalize import PROFILES, without_punctuation
from aqa.records import Example, Passage

Holds = Callable[[Passage], bool]

# Words and numbers: "Rollo" in "Rollo's", "BTV" in "BTV에서는", "1940" in "1939–1940", but not
# "000" in "1,000".
WORD = re.compile(r"\d+(?:[.,]\d+)+|[가-힣]+|[^\W_가-힣]+")
NO_LETTERS = re.compile(r"[\W_]+")


def answer_finder(example: Example) -> Holds | None:
    """Return a test whether a passage contains the answer; None if no answer is known.

    By id if the data mark gold passages and the passage has an id, unless its text was cut before
    the answer; a passage with a gold passage's text counts, too. By text alone if gold passages
    without ids are among the passages. Otherwise as `text_finder`.
    """
    if not any(example.answers or ()):
        return None
    says = text_finder(example)
    if not example.gold_ids:
        return _among_own(example, says) or says
    passages = (*example.passages, *example.own_passages)
    by_id = {passage.id: passage for passage in passages}
    gold_texts = {_text(passage) for passage in passages if passage.id in example.gold_ids}

    def is_gold(passage: Passage) -> bool:
        if passage.id is None:
            return says(passage)
        full = by_id.get(passage.id, passage)
        if passage.id not in example.gold_ids and _text(full) not in gold_texts:
            return False
        return len(passage.text) >= len(full.text) or says(passage) or not says(full)

    return is_gold


def _among_own(example: Example, says: Holds) -> Holds | None:
    """Match the example's own gold passages; None if they are not among its passages."""
    by_text = {_text(passage): passage for passage in example.own_passages}
    if not by_text or not by_text.keys() <= {_text(passage) for passage in example.passages}:
        return None

    def is_gold(passage: Passage) -> bool:
        text = _text(passage)
        if text in by_text:
            return True
        uncut = [by_text[full] for full in by_text if text and full.startswith(text)]
        return bool(uncut) and (says(passage) or not any(map(says, uncut)))

    return is_gold


def text_finder(example: Example) -> Holds:
    """Return a test whether an answer occurs in a passage's text or title.

    Both are NFC-composed, then normalised like predictions or split into words. An answer must
    be whole words, except that Hangul (whose words take endings) and scripts without spaces may
    continue after it. Hangul that begins a word may be spaced differently.
    """
    answers = [unicode_form("NFC", text) for text in example.answers or () if text]
    profile = PROFILES["korquad" if has_hangul(answers) else "squad"]

    def contains(text: str, wanted: Sequence[str]) -> bool:
        return any(answer in f" {text} " for answer in wanted)

    plain = list(filter(None, map(profile.normalize, answers)))
    normalised = list(map(_edged, plain))
    as_words = [_edged(text) for text in map(_words, answers) if text]
    spaced = [(text, closed(text)) for text in plain if has_hangul((text,))]

    def says(passage: Passage) -> bool:
        parts = [unicode_form("NFC", part) for part in (passage.title, passage.text)]
        text = " ".join(parts).lower()
        # Normalising a long text is slow, so first check that it has an answer's words.
        likely = _likely(normalised, without_punctuation(text))
        if likely and contains(" ".join(map(profile.normalize, parts)), likely):
            return True
        likely = _likely(as_words, text)
        if likely and contains(" ".join(map(_words, parts)), likely):
            return True
        run = NO_LETTERS.sub("", text) if spaced else ""
        likely = [answer for answer, joined in spaced if joined in run]
        return bool(likely) and any(
            holds(profile.normalize(part), answer) for part in parts for answer in likely
        )

    return says


def _likely(answers: Sequence[str], text: str) -> list[str]:
    return [answer for answer in answers if all(word in text for word in answer.split())]


def _edged(answer: str) -> str:
    before, after = (
        "" if has_hangul((end,)) or language_of(end) in WITHOUT_SPACES else " "
        for end in (answer[0], answer[-1])
    )
    return before + answer + after


def _words(text: str) -> str:
    return " ".join(WORD.findall(text.lower()))


def _text(passage: Passage) -> str:
    return " ".join(passage.text.split())


def gold_ranks(
    passages: Sequence[Passage], holds: Holds | None, title: bool = True
) -> tuple[int, ...] | None:
    """Return the ranks of the passages that contain the answer; None if no answer is known.

    Without `title`, titles don't count, since the reader doesn't see them.
    """
    if holds is None:
        return None
    return tuple(p.rank for p in passages if holds(p if title else replace(p, title="")))
