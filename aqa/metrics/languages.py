"""Detect the language of texts and examples from their letters."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice

KOREAN, LATIN = "ko", "latin"  # languages in Latin letters are not told apart
NO_LANGUAGE = ""  # of numbers, punctuation and empty texts
WITHOUT_SPACES = {"ja", "zh", "thai", "lao", "khmer", "myanmar"}  # between words
_READ = 500  # characters of a text to look at
_PASSAGES, _BEGINNING = 3, 150  # passages to look at, and characters of each
_FEW = 0.1  # share of answers in a monolingual data set that may be names in another script

HANGUL_LETTERS = "\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff"
_HANGUL = re.compile(f"[{HANGUL_LETTERS}]")
_OTHER_LETTERS = re.compile(rf"[^\W\d_{HANGUL_LETTERS}]")
_KOREAN_WORDS = re.compile(rf"[{HANGUL_LETTERS}][^\W\d_]*")  # from the first Hangul letter on
_KANA = re.compile("[\u3040-\u30ff\uff66-\uff9f]")
_LETTERS = re.compile(r"[^\W\d_]+")
_SCRIPTS = {"CJK": "zh", "HIRAGANA": "ja", "KATAKANA": "ja"}


def has_hangul(texts: Iterable[str]) -> bool:
    """Whether any of the texts has a Hangul letter, composed or not."""
    return any(_HANGUL.search(text) for text in texts)


def is_of_a_word(character: str) -> bool:
    """Whether a character is part of a word, rather than punctuation.

    In many scripts, such as Devanagari and Thai, vowels are combining marks.
    """
    return character.isalnum() or unicodedata.category(character)[0] == "M"


def language_of(text: str, korean: float = 0.4) -> str:
    """Return a text's language: "ko", "ja", "zh", or its script ("latin", "cyrillic", ...).

    A text is Korean if the share `korean` of its words has Hangul, since names may keep their
    letters. A text without letters has no language.
    """
    if text.isascii():  # fast path: nearly all English
        return LATIN if _LETTERS.search(text) else NO_LANGUAGE
    if not _OTHER_LETTERS.search(text, 0, _READ):
        return KOREAN if _HANGUL.search(text, 0, _READ) else NO_LANGUAGE
    words = _LETTERS.findall(text, 0, _READ)
    if len(_KOREAN_WORDS.findall(text, 0, _READ)) >= korean * len(words):
        return KOREAN
    letters = [letter for word in words for letter in word if not _HANGUL.match(letter)]
    if 2 * sum(map(str.isascii, letters)) > len(letters):
        return LATIN
    scripts = Counter(unicodedata.name(letter, "UNNAMED").partition(" ")[0] for letter in letters)
    script = max(scripts, key=lambda name: (scripts[name], name))
    if script == "CJK" and _KANA.search(text):
        return "ja"
    return _SCRIPTS.get(script, script.lower())


def language_of_passages(texts: Iterable[str]) -> str:
    """Return the language of an example's passages, from the beginnings of the first ones.

    A few Hangul words suffice, since Korean texts contain lists of foreign names.
    """
    return language_of(" ".join(text[:_BEGINNING] for text in islice(texts, _PASSAGES)), 0.2)


def example_languages(
    references: Sequence[Sequence[str]], questions: Sequence[str] = (), passages: Sequence[str] = ()
) -> list[str]:
    """Return the language of each example, from its question, passages and references.

    `passages` are languages, "" if unknown; `questions` and `passages` may be omitted. The
    majority of the three decides; in a tie, Korean (comparing by words is wrong for Hangul), then
    the question. An example without a language gets the most common one. If only references are
    known, a tenth of them may be names in another script.
    """
    none = [NO_LANGUAGE] * len(references)
    of_questions = [language_of(question) for question in questions] or none
    of_passages = passages or none
    votes = [
        _decided(question, passage, language_of(" ".join(texts)))
        for question, passage, texts in zip(of_questions, of_passages, references, strict=True)
    ]
    counts = Counter(filter(None, votes))
    most = max(counts, key=lambda name: (counts[name], name == KOREAN, name), default=LATIN)
    is_uniform = counts.total() - counts[most] <= _FEW * counts.total()
    return [
        most if not vote or (is_uniform and vote != KOREAN and not (question or passage)) else vote
        for vote, question, passage in zip(votes, of_questions, of_passages, strict=True)
    ]


def _decided(*votes: str) -> str:
    """The language with most votes; in a tie, Korean, or else the first."""
    cast = [vote for vote in votes if vote]
    if len(set(cast)) < 2:
        return cast[0] if cast else NO_LANGUAGE
    counts = Counter(cast)
    best = max(counts.values())
    return KOREAN if counts[KOREAN] == best else next(v for v in cast if counts[v] == best)
