"""What kind of mistake each answer is: one category an example."""

from collections.abc import Sequence

from aqa.evaluation.predictions import AnsweredRow, evidence_of
from aqa.metrics.normalize import Profile, has_hangul, profile_for
from aqa.metrics.pairs import Pairs

# Every example falls into exactly one, the first that holds of:
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
    "wrong": "wrong; the file does not tell about the evidence",
}
PARTIAL = 50.0  # F1 over characters is above 0 for almost any two Korean texts


def categorize(pairs: Pairs, rows: Sequence[AnsweredRow | None]) -> tuple[str, ...]:
    """Name the category of each example; `rows` follow the pairs."""
    exact, second = pairs.agreement
    return tuple(
        _category(profile_for(pairs.profile, texts), prediction, texts, scores, row)
        for prediction, texts, *scores, row in zip(
            pairs.predictions, pairs.references, exact, second, rows, strict=True
        )
    )


def _category(
    profile: Profile,
    prediction: str | None,
    references: Sequence[str],
    scores: Sequence[float],
    row: AnsweredRow | None,
) -> str:
    if prediction is None or row is None:
        return "missing"
    if scores[0] == 100:
        return "exact"
    answer = profile.normalize(prediction)
    expected = [text for text in map(profile.normalize, references) if text]
    if not expected:
        return "answered_unanswerable"
    if not answer:
        # A phrase that means so was made "" of; white space and bare marks say nothing.
        was_said = row.metadata.get("abstained") is True or bool(row.prediction and not prediction)
        return "abstained_wrongly" if was_said else "empty"
    differs_by_spaces = _closed(answer) in map(_closed, expected)
    if any(_holds(answer, text) for text in expected) and not differs_by_spaces:
        return "extra_words"
    if scores[1] >= PARTIAL or any(_holds(text, answer) for text in expected):
        return "partial"
    seen = evidence_of(row).get("gold_in_evidence")
    if seen is None:
        return "wrong"
    return "wrong_with_evidence" if seen else "wrong_without_evidence"


def _holds(text: str, part: str) -> bool:
    """Tell whether `part` stands in `text`: whole words, but Hangul, which needs no spaces."""
    if _stands_in(text, part):
        return True
    return has_hangul((part,)) and _stands_in(_closed(text), _closed(part))


def _closed(text: str) -> str:
    return text.replace(" ", "")


def _stands_in(text: str, part: str) -> bool:
    """Look for `part` where it is no piece of a longer word or number: no 3명 in 13명."""
    start = text.find(part)
    while start >= 0:
        end = start + len(part)
        if not _is_one_word(text[start - 1 : start], part[0]) and not _is_one_word(
            part[-1], text[end : end + 1]
        ):
            return True
        start = text.find(part, start + 1)
    return False


def _is_one_word(left: str, right: str) -> bool:
    """Tell whether two neighbours are of one word; Hangul joins any word as its ending."""
    return left.isalnum() and right.isalnum() and not has_hangul((left, right))
