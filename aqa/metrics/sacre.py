"""BLEU and chrF of each answer, by sacrebleu; the score is the mean over the examples."""

from collections.abc import Sequence
from typing import Any

from aqa.metrics.base import MetricOptions
from aqa.metrics.best_reference import mostly_ascii, single
from aqa.metrics.normalize import mostly_hangul
from aqa.metrics.pairs import Pairs
from aqa.records import Score


class Bleu:
    """Sentence BLEU with effective order: answers are often shorter than four tokens."""

    def __init__(self, options: MetricOptions) -> None:
        """Keep the language; None goes by the references."""
        self._language = options.language

    def score(self, pairs: Pairs) -> Score:
        """Score every pair; Korean and other scripts without words in ASCII by characters."""
        from sacrebleu.metrics.bleu import BLEU

        return _score("bleu", BLEU(effective_order=True, tokenize=self._tokens(pairs)), pairs)

    def _tokens(self, pairs: Pairs) -> str:
        references: Sequence[Sequence[str]] = pairs.references
        is_korean = self._language == "ko" or (not self._language and mostly_hangul(references))
        return "char" if is_korean or not mostly_ascii(references) else "13a"


class Chrf:
    """F-score over runs of up to six characters, which fits every language."""

    def __init__(self, options: MetricOptions) -> None:
        """Need no option."""

    def score(self, pairs: Pairs) -> Score:
        """Score every pair."""
        from sacrebleu.metrics.chrf import CHRF

        return _score("chrf", CHRF(), pairs)


def _score(name: str, metric: Any, pairs: Pairs) -> Score:
    apart = single(pairs)
    values = [
        min(100.0, float(metric.sentence_score(prediction, [reference]).score))
        for prediction, reference in zip(apart.predictions, apart.references, strict=True)
    ]
    metric.num_refs = 1  # the signature needs it, even where no text met the metric
    signature = str(metric.get_signature()).removeprefix("nrefs:1|").replace("version", "sacrebleu")
    return pairs.score(name, apart.best(values), f"sentences:mean|{signature}")
