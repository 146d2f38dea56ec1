"""Lenient EM and F1, compared with a person's judgements, and on mixed data."""

import unicodedata

import pytest
from lenient_pairs import FIRST, PAIRS, SECOND, Case

from aqa.errors import UsageError
from aqa.metrics import load_metric
from aqa.metrics.lenient import is_same, parse_answer
from aqa.metrics.pairs import Pairs

MISSED = [("50%를", "50%")]  # after a sign, Kiwi reads 를 as a noun and a particle


def korean(predictions: list[str | None], references: list[str]) -> Pairs:
    texts = [[text] for text in references]
    return Pairs(predictions, texts, "korquad", known_languages=["ko"] * len(texts))


def test_the_table() -> None:
    assert len(FIRST) > 60
    assert len(SECOND) > 60
    assert len({pair[:2] for pair in PAIRS}) == len(PAIRS)
    assert 60 < sum(same for *_, same, _ in PAIRS) < len(PAIRS) - 60


@pytest.mark.parametrize("case", PAIRS, ids=lambda case: f"{case[0]}-{case[1]}")
@pytest.mark.slow
def test_judgements(case: Case) -> None:
    prediction, reference, same, reason = case
    score = load_metric("lenient")(korean([prediction], [reference]))
    assert (score.value == 100) is (same and (prediction, reference) not in MISSED), reason


@pytest.mark.slow
def test_f1_is_full_where_em_is_and_never_below_the_strict_one() -> None:
    pairs = korean([pair[0] for pair in PAIRS], [pair[1] for pair in PAIRS])
    lenient = load_metric("lenient")(pairs).per_example
    f1 = load_metric("lenient_f1")(pairs).per_example
    for exact, partial, strict in zip(lenient, f1, pairs.agreement[1], strict=True):
        assert exact in (0, 100)
        assert partial == 100 if exact else partial >= strict


def test_f1_forgives_endings_of_partial_answers() -> None:
    found = load_metric("lenient_f1")(korean(["이순신장군입니다"], ["이순신"]))
    assert found.value == pytest.approx(100 * 2 * 3 / (3 + 5))


@pytest.mark.parametrize(
    ("prediction", "references", "value"),
    [
        ("부산에서", ["서울", "부산"], 100),
        (None, ["서울"], 0),
        ("", [], 100),
        ("서울", [], 0),
        ("!", ["서울"], 0),
    ],
)
def test_references_and_silence(
    prediction: str | None, references: list[str], value: float
) -> None:
    pairs = Pairs([prediction], [references], "korquad", known_languages=["ko"])
    assert load_metric("lenient")(pairs).value == value


def test_other_languages_are_compared_as_ever() -> None:
    pairs = Pairs(
        ["the Paris", "in Paris", "서울에서"],
        [["Paris"], ["Paris"], ["서울"]],
        "mixed",
        known_languages=["latin", "latin", "ko"],
    )
    found = load_metric("lenient")(pairs)
    assert found.per_example == (100, 0, 100)
    assert "|profile:mixed(korquad:1,squad:2)|particles:forgiven|" in found.signature
    with pytest.raises(UsageError, match="lenient is for Korean answers"):
        load_metric("lenient")(Pairs(["x"], [["Paris"]], "squad"))


def test_decomposed_text_is_left_whole() -> None:
    decomposed = unicodedata.normalize("NFD", "서울에서")
    assert parse_answer(decomposed).stem is None
    assert is_same(decomposed, decomposed)
