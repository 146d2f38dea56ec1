"""ROUGE by the rouge-score package, with a tokenizer that fits the language."""

from collections.abc import Sequence
from typing import Any, ClassVar

from aqa.metrics.base import MetricOptions
from aqa.metrics.best_reference import best_scores, mostly_ascii
from aqa.metrics.kiwi import has_kiwi, kiwi_version, load_kiwi
from aqa.metrics.normalize import mostly_hangul
from aqa.metrics.pairs import Pairs
from aqa.records import Score


class Characters:
    """Every character but white space is a token: ROUGE's own tokenizer keeps [a-z0-9] only."""

    def tokenize(self, text: str) -> list[str]:
        """Part a text."""
        return [character for character in text.lower() if not character.isspace()]


class Morphemes:
    """Every morpheme that Kiwi finds is a token."""

    def tokenize(self, text: str) -> list[str]:
        """Part a text."""
        return [token.form for token in load_kiwi().tokenize(text.lower())]


class Rouge1:
    """F1 over shared tokens."""

    name: ClassVar[str] = "rouge1"

    def __init__(self, options: MetricOptions) -> None:
        """Keep the language; None goes by the references."""
        self._language = options.language

    def score(self, pairs: Pairs) -> Score:
        """Score every pair."""
        from importlib.metadata import version

        from rouge_score.rouge_scorer import RougeScorer

        tokenizer, named = self._tokenizer(pairs.references)
        scorer = RougeScorer([self.name], use_stemmer=False, tokenizer=tokenizer)

        def compare(prediction: str, reference: str) -> float:
            return 100.0 * float(scorer.score(reference, prediction)[self.name].fmeasure)

        details = f"tokenizer:{named}|stemmer:no|rouge-score:{version('rouge-score')}"
        return pairs.score(self.name, best_scores(compare, pairs), details)

    def _tokenizer(self, references: Sequence[Sequence[str]]) -> tuple[Any, str]:
        """Choose how texts become tokens, and name it for the signature."""
        is_korean = self._language == "ko" or (not self._language and mostly_hangul(references))
        if is_korean and has_kiwi():
            return Morphemes(), f"kiwi-{kiwi_version()}"
        if is_korean or not mostly_ascii(references):
            return Characters(), "characters"
        return None, "default"


class Rouge2(Rouge1):
    """F1 over shared pairs of neighbouring tokens; 0 for a text of one token."""

    name: ClassVar[str] = "rouge2"


class RougeL(Rouge1):
    """F1 over the longest common subsequence of tokens."""

    name: ClassVar[str] = "rougeL"
