"""ROUGE by the rouge-score-rs package, with a tokenizer that fits the language.

The package gives the scores of rouge-score, the published implementation, many times as fast.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import ClassVar, Protocol

from aqa.metrics.base import MetricOptions
from aqa.metrics.best_reference import mostly_ascii, single
from aqa.metrics.kiwi import has_kiwi, kiwi_version, morphemes
from aqa.metrics.normalize import mostly_hangul
from aqa.metrics.pairs import Pairs
from aqa.records import Score

_WORD = re.compile("[a-z0-9]")  # what the default tokenizer makes words of


class Tokenizer(Protocol):
    """Parts texts; rouge-score and rouge-score-rs take one of this shape."""

    def tokenize(self, text: str) -> Sequence[str]:
        """Part a text."""


class Characters:
    """Every character but white space is a token: ROUGE's own tokenizer keeps [a-z0-9] only."""

    def tokenize(self, text: str) -> Sequence[str]:
        """Part a text."""
        return [character for character in text.lower() if not character.isspace()]


class Morphemes:
    """Every morpheme that Kiwi finds is a token."""

    def tokenize(self, text: str) -> Sequence[str]:
        """Part a text."""
        return morphemes(text.lower())


class Rouge1:
    """F1 over shared tokens."""

    name: ClassVar[str] = "rouge1"

    def __init__(self, options: MetricOptions) -> None:
        """Keep the language; None goes by the references."""
        self._language = options.language

    def score(self, pairs: Pairs) -> Score:
        """Score every pair."""
        values, details = _scored(pairs, self._language)
        return pairs.score(self.name, values[self.name], details)


class Rouge2(Rouge1):
    """F1 over shared pairs of neighbouring tokens; 0 for a text of one token."""

    name: ClassVar[str] = "rouge2"


class RougeL(Rouge1):
    """F1 over the longest common subsequence of tokens."""

    name: ClassVar[str] = "rougeL"


@lru_cache(maxsize=1)
def _scored(pairs: Pairs, language: str | None) -> tuple[dict[str, list[float]], str]:
    """Score by all three at once, for whoever asks for one next; and say how for the signature."""
    from importlib.metadata import version

    from rouge_score_rs import RougeScorer

    tokenizer, named = _tokenizer(pairs.references, language)
    apart = single(pairs)
    places: Sequence[int] = range(len(apart.references))
    if tokenizer is None:
        # Where ROUGE's own finds no word in a reference, even the same text would score 0.
        places = [at for at in places if not _WORD.search(apart.references[at].lower())]
        tokenizer, named = Characters(), "default+characters" if places else "default"
    predictions, references = list(apart.predictions), list(apart.references)
    words = _words_for_tokens(
        tokenizer, (text for at in places for text in (predictions[at], references[at]))
    )
    for at in places:
        predictions[at], references[at] = words[predictions[at]], words[references[at]]
    names = [metric.name for metric in (Rouge1, Rouge2, RougeL)]
    found = RougeScorer(names).score_batch(references, predictions)
    return (
        {name: apart.best([100.0 * own[name].fmeasure for own in found]) for name in names},
        f"tokenizer:{named}|stemmer:no|rouge-score-rs:{version('rouge-score-rs')}",
    )


def _tokenizer(
    references: Sequence[Sequence[str]], language: str | None
) -> tuple[Tokenizer | None, str]:
    """Choose how texts become tokens, and name it for the signature; None is ROUGE's own."""
    is_korean = language == "ko" or (not language and mostly_hangul(references))
    if is_korean and has_kiwi():
        return Morphemes(), f"kiwi-{kiwi_version()}"
    if is_korean or not mostly_ascii(references):
        return Characters(), "characters"
    return None, "default"


def _words_for_tokens(tokenizer: Tokenizer, texts: Iterable[str]) -> dict[str, str]:
    """Write each distinct text as one made-up word a token, the same for the same token.

    The default tokenizer, which runs without Python, parts these words as they are meant, and
    ROUGE asks of tokens only whether they are equal.
    """
    words: dict[str, str] = {}
    return {
        text: " ".join(
            words.setdefault(token, str(len(words))) for token in tokenizer.tokenize(text)
        )
        for text in dict.fromkeys(texts)
    }
