"""The metric match: whether an answer contains a reference."""

from collections.abc import Sequence

from aqa.metrics.languages import WITHOUT_SPACES, has_hangul, is_of_a_word, language_of
from aqa.metrics.normalize import Profile
from aqa.metrics.pairs import Pairs
from aqa.records import Score


def match(name: str, pairs: Pairs) -> Score:
    """Score 100 if the answer contains a reference, both normalised by the profile."""
    values = [
        100.0 * (exact == 100 or _holds_one(profile, text or "", texts))
        for exact, profile, text, texts in zip(
            pairs.agreement[0], pairs.profiles, pairs.predictions, pairs.expected, strict=True
        )
    ]
    return pairs.score(name, values)


def _holds_one(profile: Profile, text: str, references: Sequence[str]) -> bool:
    answer = profile.normalize(text)
    return any(holds(answer, part) for part in map(profile.normalize, references) if part)


def holds(text: str, part: str) -> bool:
    """Whether `text` contains `part` as whole words, in scripts with spaces between words.

    If Hangul matches across a space of the text, it must begin a word: no 사과 in 회사 과장.
    """
    if _stands_in(text, part):
        return True
    if not has_hangul((part,)):
        return False
    part, words = closed(part), text.split()
    starts = ("".join(words[index : index + len(part) + 1]) for index in range(len(words)))
    return _stands_in(text, part) or any(
        start.startswith(part) and not _is_one_word(part[-1], start[len(part) : len(part) + 1])
        for start in starts
    )


def closed(text: str) -> str:
    """Remove spaces."""
    return text.replace(" ", "")


def _stands_in(text: str, part: str) -> bool:
    """Find `part` where it is not part of a longer word or number: no 3명 in 13명."""
    start = text.find(part)
    while start >= 0:
        end = start + len(part)
        if not _is_one_word(text[start - 1 : start], part[0]) and not _is_one_word(
            part[-1], text[end : end + 1]
        ):
            return True
        start = text.find(part, start + 1)
    return False


def _is_one_word(left: str, right: str) -> bool:
    """Whether two adjacent characters belong to one word.

    Hangul may follow any word as its ending; some other scripts put no spaces between words.
    """
    both = left + right
    if len(both) < 2 or not all(map(is_of_a_word, both)) or has_hangul(both):
        return False
    return WITHOUT_SPACES.isdisjoint(map(language_of, both)) or not right.isalnum()
