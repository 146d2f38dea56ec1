"""What metrics of text overlap share: the best of the references, and the question's language."""

from collections.abc import Callable, Sequence

from aqa.metrics.pairs import Pairs


def best_scores(compare: Callable[[str, str], float], pairs: Pairs) -> list[float]:
    """Compare (prediction, reference), 0..100, with each reference and take the best.

    As for the other metrics a missing prediction scores 0, and an unanswerable question scores 100
    where nothing is predicted; texts that say nothing never meet the metric.
    """
    values = []
    for prediction, texts in zip(pairs.predictions, pairs.references, strict=True):
        references = dict.fromkeys(text for text in texts if text.strip())
        if prediction is None:
            values.append(0.0)
        elif not references or not prediction.strip():
            values.append(0.0 if references or prediction.strip() else 100.0)
        else:
            values.append(max(compare(prediction, text) for text in references))
    return values


def mostly_ascii(references: Sequence[Sequence[str]]) -> bool:
    """Tell whether at least half of the examples have references of mostly ASCII letters."""
    texts = ["".join(own) for own in references]
    letters = [[c.isascii() for c in text if c.isalnum()] for text in texts]
    fitting = [2 * sum(own) >= len(own) for own in letters if own]
    return 2 * sum(fitting) >= len(fitting)
