"""Classify each answer by its kind of mistake, one category per example."""

from collections.abc import Sequence

from aqa.evaluation.predictions import AnsweredRow, evidence_of
from aqa.metrics.match import closed, holds
from aqa.metrics.pairs import Pairs

# Every example is in the first category that applies:
CATEGORIES = {
    "missing": "no prediction, or a failed one",
    "answered_unanswerable": "answered the unanswerable",
    "exact": "exact",
    "abstained_wrongly": "said that there is no answer, where there is one",
    "empty": "empty",
    "extra_words": "extra words around a right answer",
    "partial": "partial: part of the answer, or a second score of 50 or more",
    "wrong_with_evidence": "wrong, with the answer in the evidence",
    "wrong_without_evidence": "wrong, without the answer in the evidence",
    "wrong": "wrong; the file does not record the evidence",
}
PARTIAL = 50.0  # character F1 is above 0 for almost any two Korean texts


def categorize(pairs: Pairs, rows: Sequence[AnsweredRow | None]) -> tuple[str, ...]:
    """Return the category of each example; `rows` match the pairs."""
    return tuple(_category(pairs, index, row) for index, row in enumerate(rows))


def _category(pairs: Pairs, index: int, row: AnsweredRow | None) -> str:
    prediction, profile = pairs.predictions[index], pairs.profiles[index]
    exact, second = (values[index] for values in pairs.agreement)
    if prediction is None or row is None:
        return "missing"
    if exact == 100:
        return "exact"
    if not pairs.expected[index]:
        return "answered_unanswerable"
    if pairs.abstained[index]:
        # Cleaning turned a no-answer phrase into ""; white space and bare marks are just empty.
        was_said = row.metadata.get("abstained") is True or bool(row.prediction and not prediction)
        return "abstained_wrongly" if was_said else "empty"
    answer = profile.normalize(prediction)
    expected = [text for text in map(profile.normalize, pairs.expected[index]) if text]
    differs_by_spaces = closed(answer) in map(closed, expected)
    if any(holds(answer, text) for text in expected) and not differs_by_spaces:
        return "extra_words"
    if second >= PARTIAL or any(holds(text, answer) for text in expected if answer):
        return "partial"
    in_evidence = evidence_of(row).get("gold_in_evidence")
    if in_evidence is None:
        return "wrong"
    return "wrong_with_evidence" if in_evidence else "wrong_without_evidence"
