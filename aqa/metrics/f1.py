"""The second score of a profile: F1 over words or characters, or KLUE's ROUGE-W."""

from aqa.metrics.base import MetricOptions
from aqa.metrics.pairs import Pairs
from aqa.records import Score


class F1:
    """How much of the answer was found, and how little besides."""

    def __init__(self, options: MetricOptions) -> None:
        """Need no option."""

    def score(self, pairs: Pairs) -> Score:
        """Score every pair."""
        return pairs.score(pairs.second, pairs.agreement[1])
