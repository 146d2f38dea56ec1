"""The second score of a profile: F1 over words or characters, or KLUE's ROUGE-W; and its parts."""

from typing import ClassVar

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


class Precision:
    """The share of the prediction's words, or what the profile compares, that a reference has."""

    name: ClassVar[str] = "precision"
    side: ClassVar[int] = 1  # whose share it is, in an Overlap

    def __init__(self, options: MetricOptions) -> None:
        """Need no option."""

    def score(self, pairs: Pairs) -> Score:
        """Score every pair, the best over the references."""
        return pairs.score(
            self.name, [self._value(pairs, place) for place in range(len(pairs.predictions))]
        )

    def _value(self, pairs: Pairs, place: int) -> float:
        exact, profile = pairs.agreement[0][place], pairs.profiles[place]
        answer = profile.normalize(pairs.predictions[place] or "")
        if exact == 100 or not answer:
            return exact
        overlaps = [
            profile.overlap(answer, text)
            for text in map(profile.normalize, pairs.expected[place])
            if text
        ]
        return max((100.0 * own[0] / own[self.side] for own in overlaps), default=0.0)


class Recall(Precision):
    """The share of a reference's words, or what the profile compares, that the prediction has."""

    name: ClassVar[str] = "recall"
    side: ClassVar[int] = 2
