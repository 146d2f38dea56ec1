"""What two normalised texts share: words, characters, or a run."""

from collections import Counter
from difflib import SequenceMatcher

Overlap = tuple[int, int, int]  # what is shared, what the prediction has, what the reference has


def shared_words(prediction: str, reference: str) -> Overlap:
    """Compare the multisets of words, as SQuAD counts them."""
    return _shared(prediction.split(), reference.split())


def shared_characters(prediction: str, reference: str) -> Overlap:
    """Compare the multisets of characters without white space, as KorQuAD counts them."""
    return _shared(list(prediction.replace(" ", "")), list(reference.replace(" ", "")))


def longest_run(prediction: str, reference: str) -> Overlap:
    """Find the longest common run of characters, of which KLUE-MRC makes its ROUGE-W.

    difflib's default autojunk is kept, as in KLUE's own script: in references of 200 characters
    or more, frequent characters begin no run.
    """
    matcher = SequenceMatcher(None, prediction, reference)
    longest = matcher.find_longest_match(0, len(prediction), 0, len(reference)).size
    return longest, len(prediction), len(reference)


def _shared(prediction: list[str], reference: list[str]) -> Overlap:
    predicted, expected = len(prediction), len(reference)
    if predicted * expected > 400:
        return (Counter(prediction) & Counter(reference)).total(), predicted, expected
    for part in prediction:  # faster than counting where there is little to count
        if part in reference:
            reference.remove(part)
    return expected - len(reference), predicted, expected


def f1(overlap: Overlap) -> float:
    """2PR/(P+R) with P = shared/predicted and R = shared/expected, in its shortest form."""
    shared, predicted, expected = overlap
    return 2 * shared / (predicted + expected) if shared else 0.0
