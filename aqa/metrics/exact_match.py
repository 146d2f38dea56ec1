"""Exact match: 100 where the normalised prediction equals one of the references."""

from aqa.metrics.base import MetricOptions
from aqa.metrics.pairs import Pairs
from aqa.records import Score


class ExactMatch:
    """The share of predictions that equal a reference."""

    def __init__(self, options: MetricOptions) -> None:
        """Need no option."""

    def score(self, pairs: Pairs) -> Score:
        """Score every pair."""
        return pairs.score("em", pairs.agreement[0])
