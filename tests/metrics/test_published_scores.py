"""The fast scores equal the published definitions, implemented step by step."""

import json
import re
import string
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aqa.metrics import score_pairs


def normalize(text: str, profile: str) -> str:
    if profile == "korquad":
        for mark in "'\"《》<>〈〉()‘’":
            text = text.replace(mark, " ")
    kept = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    if profile == "squad":
        kept = re.sub(r"\b(a|an|the)\b", " ", kept)
    return " ".join(kept.split())


def second(prediction: str, reference: str, profile: str) -> float:
    if not prediction or not reference:
        return float(prediction == reference)
    if profile == "klue-mrc":
        matcher = SequenceMatcher(None, prediction, reference)
        shared = matcher.find_longest_match(0, len(prediction), 0, len(reference)).size
        predicted, expected = len(prediction), len(reference)
    else:
        units = [prediction.split(), reference.split()]
        if profile == "korquad":
            units = [[letter for word in words for letter in word] for words in units]
        shared = sum((Counter(units[0]) & Counter(units[1])).values())
        predicted, expected = map(len, units)
    if not shared:
        return 0.0
    precision, recall = shared / predicted, shared / expected
    return 2 * precision * recall / (precision + recall)


def published(prediction: str, references: Sequence[str], profile: str) -> tuple[float, float]:
    answer = normalize(prediction, profile)
    expected = [text for text in (normalize(text, profile) for text in references) if text] or [""]
    return (
        100.0 * max(answer == text for text in expected),
        100.0 * max(second(answer, text, profile) for text in expected),
    )


WORDS = [
    "the",
    "An",
    "cat",
    "cats",
    "U.S.",
    "서울",
    "서울시",
    "《송환》",
    "(한국)",
    "a-b",
    "’",
    "1988년",
]
TEXT = st.lists(st.sampled_from(WORDS), max_size=60).flatmap(
    lambda words: st.sampled_from([" ", "", "  "]).map(lambda space: space.join(words))
)


@pytest.mark.parametrize("profile", ["squad", "korquad", "klue-mrc"])
@given(TEXT, st.lists(TEXT, max_size=4).map(tuple))
def test_equal_to_the_definition(
    profile: str, prediction: str, references: tuple[str, ...]
) -> None:
    scores = score_pairs([prediction], [references], profile).values()
    expected = published(prediction, references, profile)
    assert [score.value for score in scores] == pytest.approx(expected, abs=1e-9)


def test_equal_to_torchmetrics_on_real_questions(shared_data: Path) -> None:
    from torchmetrics.functional.text import squad

    file = shared_data / "squad2-cs224n" / "dev-v2.0.json"
    predictions, references = [], []
    for article in json.loads(file.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                if texts := [answer["text"] for answer in question["answers"]]:
                    # An annotator's answer, with more or less context, or something else.
                    start = question["answers"][0]["answer_start"] - 5 * (len(references) % 4)
                    end = start + len(texts[0]) + 3 * (len(references) % 3)
                    around = paragraph["context"][max(0, start) : end]
                    predictions.append(texts[-1] if len(references) % 5 == 0 else around)
                    references.append(tuple(texts))
    assert len(references) == 2910
    predictions, references = predictions[:500], references[:500]
    theirs = squad(
        [{"id": str(at), "prediction_text": text} for at, text in enumerate(predictions)],
        [
            {"id": str(at), "answers": {"text": list(texts), "answer_start": [0] * len(texts)}}
            for at, texts in enumerate(references)
        ],
    )
    ours = score_pairs(predictions, references, "squad")
    assert 20 < ours["em"].value < ours["f1"].value < 95
    # torchmetrics sums in float32.
    assert ours["em"].value == pytest.approx(float(theirs["exact_match"]), abs=1e-4)
    assert ours["f1"].value == pytest.approx(float(theirs["f1"]), abs=1e-4)
