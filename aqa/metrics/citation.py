"""Citation: whether the passages that an answer names for itself are those that hold it."""

from typing import ClassVar

from aqa.errors import UsageError
from aqa.metrics.base import MetricOptions
from aqa.metrics.pairs import Citation, Pairs
from aqa.records import Score


class CitationPrecision:
    """The share of named passages that are gold ones.

    An answer that names none is right where no gold passage was to be seen, and wrong elsewhere.
    An example counts 0 where it is not known what was named or what is gold.
    """

    name: ClassVar[str] = "citation_precision"

    def __init__(self, options: MetricOptions) -> None:
        """Need no option."""

    def score(self, pairs: Pairs) -> Score:
        """Score every answer.

        Raises:
            UsageError: no answer tells which passages it goes by.
        """
        if not any(pairs.citations):
            raise UsageError(
                "the metric citation needs the passages that answers name: evidence.named_ranks and"
                " evidence.gold_ranks of aqa predict gpt4 --set backend.structured=true"
            )
        values = [0.0 if cited is None else 100.0 * self._share(cited) for cited in pairs.citations]
        return pairs.score(self.name, values, "of:named_ranks", refs="all")

    def _share(self, cited: Citation) -> float:
        return _share(cited.named, cited.gold)


class CitationRecall(CitationPrecision):
    """The share of the gold passages among the evidence that are named."""

    name: ClassVar[str] = "citation_recall"

    def _share(self, cited: Citation) -> float:
        return _share(cited.gold, cited.named)


def _share(ranks: frozenset[int], others: frozenset[int]) -> float:
    return len(ranks & others) / len(ranks) if ranks else float(not others)
