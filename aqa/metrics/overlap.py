"""Partial agreement of two normalised texts, from 0 to 1: shared words, characters, or a run."""

from collections import Counter
from difflib import SequenceMatcher


def word_f1(prediction: str, reference: str) -> float:
    """F1 over the multisets of words, as SQuAD counts it."""
    return _multiset_f1(prediction.split(), reference.split())


def character_f1(prediction: str, reference: str) -> float:
    """F1 over the multisets of characters without white space, as KorQuAD counts it."""
    return _multiset_f1(list(prediction.replace(" ", "")), list(reference.replace(" ", "")))


def longest_run_f1(prediction: str, reference: str) -> float:
    """F1 over the longest common run of characters: what KLUE-MRC calls ROUGE-W.

    difflib's default autojunk is kept, as in KLUE's own script: in references of 200 characters
    or more, frequent characters begin no run.
    """
    matcher = SequenceMatcher(None, prediction, reference)
    longest = matcher.find_longest_match(0, len(prediction), 0, len(reference)).size
    return _f1(longest, len(prediction), len(reference))


def _multiset_f1(prediction: list[str], reference: list[str]) -> float:
    predicted, expected = len(prediction), len(reference)
    if predicted * expected > 400:
        return _f1((Counter(prediction) & Counter(reference)).total(), predicted, expected)
    for part in prediction:  # faster than counting where there is little to count
        if part in reference:
            reference.remove(part)
    return _f1(expected - len(reference), predicted, expected)


def _f1(shared: int, predicted: int, expected: int) -> float:
    """2PR/(P+R) with P = shared/predicted and R = shared/expected, in its shortest form."""
    return 2 * shared / (predicted + expected) if shared else 0.0
