"""What metrics of text overlap share: each pair of two texts, and the best of the references."""

from collections.abc import Sequence
from dataclasses import dataclass

from aqa.metrics.pairs import Pairs


@dataclass(frozen=True, slots=True)
class Single:
    """Predictions and references one by one, each pair of two texts that both say something.

    As for the other metrics a missing prediction scores 0, and an unanswerable question scores 100
    where nothing is predicted; such texts never meet the metric. `owners` are the examples that
    the pairs belong to, `settled` what each example scores at least.
    """

    predictions: Sequence[str]
    references: Sequence[str]
    owners: Sequence[int]
    settled: Sequence[float]

    def best(self, found: Sequence[float]) -> list[float]:
        """Turn the pairs' scores, 0..100, into each example's best."""
        values = list(self.settled)
        for owner, value in zip(self.owners, found, strict=True):
            values[owner] = max(values[owner], value)
        return values


def single(pairs: Pairs) -> Single:
    """Take predictions and references apart, one reference at a time."""
    said: list[str] = []
    expected: list[str] = []
    owners: list[int] = []
    for owner, (prediction, texts) in enumerate(
        zip(pairs.predictions, pairs.expected, strict=True)
    ):
        if prediction is not None and prediction.strip():
            owners += [owner] * len(texts)
            said += [prediction] * len(texts)
            expected += texts
    return Single(said, expected, owners, pairs.silence)
