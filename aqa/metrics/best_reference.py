"""What metrics of text overlap share: the best of the references, and the question's language."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from aqa.metrics.pairs import Pairs

_LETTER = re.compile(r"[^\W_]")


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
    settled: list[float] = []
    for owner, (prediction, texts) in enumerate(
        zip(pairs.predictions, pairs.references, strict=True)
    ):
        references = dict.fromkeys(text for text in texts if text.strip())
        is_silent = prediction is not None and not prediction.strip()
        settled.append(100.0 if is_silent and not references else 0.0)
        if prediction is not None and not is_silent:
            owners += [owner] * len(references)
            said += [prediction] * len(references)
            expected += references
    return Single(said, expected, owners, settled)


def mostly_ascii(references: Sequence[Sequence[str]]) -> bool:
    """Tell whether at least half of the examples have references of mostly ASCII letters."""
    fitting = speaking = 0
    for own in references:
        text = "".join(own)
        if not _LETTER.search(text):
            continue
        speaking += 1
        letters = [True] if text.isascii() else [c.isascii() for c in text if c.isalnum()]
        fitting += 2 * sum(letters) >= len(letters)
    return 2 * fitting >= speaking
