"""Warnings with the scores about the texts that are compared."""

import unicodedata

import pytest

from aqa.evaluation.score_warnings import reference_warnings, system_warnings
from aqa.metrics.normalize import PROFILES
from aqa.metrics.pairs import Pairs
from aqa.metrics.unicode_forms import unicode_form


def pairs(predictions: list[str | None], references: list[list[str]]) -> Pairs:
    return Pairs(predictions, references, "squad")


def test_gold_answers_of_which_nothing_is_left() -> None:
    letters = pairs(["B", "B", "", "C"], [["A"], ["B"], ["A", "."], ["C"]])
    (told,) = reference_warnings(letters)
    assert told.startswith('of 2 gold answers (such as "A") nothing is left once normalised;')
    assert letters.answerable == [True] * 4
    assert letters.agreement[0] == [0, 100, 100, 100], "by the rule of SQuAD's script"
    assert letters.abstained == [False, False, True, False]
    assert not list(reference_warnings(pairs(["x"], [["Paris", "."]])))
    assert not list(reference_warnings(pairs(["x"], [[" "]])))


@pytest.mark.parametrize(
    ("profile", "gold"), [("squad", "The"), ("squad", "+"), ("korquad", "《》"), ("klue-mrc", "%")]
)
def test_every_profile_has_them(profile: str, gold: str) -> None:
    assert PROFILES[profile].normalize(gold) == ""
    found = Pairs([gold], [[gold]], profile)
    assert list(reference_warnings(found))
    assert (found.answerable, found.abstained) == ([True], [False])


@pytest.mark.parametrize(
    ("prediction", "reference", "form"),
    [
        ("３명", "3명", "nfkc"),
        ("3명", "３명", "nfkc"),
        ("Ｐａｒｉｓ", "Paris", "nfkc"),
        ("50％", "50%", "nfkc"),
        ("3㎞", "3km", "nfkc"),
        ("㈜삼성", "(주)삼성", "nfkc"),
        ("Henry Ⅳ", "Henry IV", "nfkc"),
        ("Paris\u200b", "Paris", "nfkc"),
        ("\ufeffParis", "Paris", "nfkc"),
        ("co\u00adop", "coop", "nfkc"),
        ("cafe\u0301", "caf\u00e9", "nfc"),
        (unicodedata.normalize("NFD", "서울"), "서울", "nfc"),
    ],
)
def test_texts_that_look_the_same(prediction: str, reference: str, form: str) -> None:
    (told,) = system_warnings("a", pairs([prediction, "x"], [[reference], ["y"]]))
    assert told.startswith("a: in 1 example one of prediction and reference ")
    assert told.endswith(f"compare with --normalize {form}")
    mended = unicode_form(form)
    assert mended(prediction) == mended(reference)
    assert not list(system_warnings("a", pairs([mended(prediction)], [[mended(reference)]])))


@pytest.mark.parametrize(
    ("prediction", "references"),
    [
        ("３명", ["３명"]),
        ("３명", ["3명", "３명"]),
        ("東京。", ["東京"]),
        ("서울ㆍ부산", ["서울·부산"]),
        ("", ["３명"]),
        (None, ["３명"]),
        ("３명", []),
    ],
)
def test_no_caution_without_need(prediction: str | None, references: list[str]) -> None:
    assert not list(system_warnings("a", pairs([prediction], [references])))


def test_a_phrase_that_means_no_answer() -> None:
    said = ["unanswerable", "Unanswerable.", "I don't know", "", "1990", "Paris", None]
    found = pairs(said, [[], [], [], [], [], ["Paris"], []])
    (told,) = system_warnings("a", found)
    assert told == (
        'a: it answers some unanswerable questions with "unanswerable" (2 times); if that'
        ' means "no answer", add --no-answer "unanswerable"'
    )
    assert not list(system_warnings("a", found, ["unanswerable"]))
    two = pairs(["모르겠습니다."] * 3 + ["unknown"] * 2, [[]] * 5)
    (told,) = system_warnings("a", two)
    assert told.endswith('add --no-answer "모르겠습니다." --no-answer "unknown"')


def test_a_frequent_gold_answer_means_no_silence() -> None:
    assert not list(system_warnings("a", pairs(["yes", "yes", "yes"], [[], [], ["yes"]])))
    rare = pairs(["x", "x", *map(str, range(98))], [[]] * 100)
    assert not list(system_warnings("a", rare))


@pytest.mark.parametrize(
    ("answer", "reference", "told"),
    [
        (
            "<pad> Paris</s>",
            "Paris",
            "special tokens or thoughts, such as <pad> Paris</s>; --answer",
        ),
        ("<think>Hm.</think>Paris", "Paris", "special tokens or thoughts"),
        ("Paris<|eot_id|>", "Paris", "1 of its answers is text with a model's special tokens"),
        ("{'text': 'Paris'}", "Paris", "a list or an object written as text"),
        ('```json\n{"answer": "Paris"}\n```', "Paris", "a list or an object written as text"),
        ('["Paris", "paris"]', "Paris", "a list or an object written as text"),
        ("AT&amp;T", "AT&T", "HTML entities, such as AT&amp;T; unescape them"),
        ("AT&amp;T", "AT&amp;T", ""),
        ("[1] Paris", "Paris", ""),
        ("use <s> for strike", "</s>", ""),
    ],
)
def test_answers_with_more_than_their_text(answer: str, reference: str, told: str) -> None:
    cautions = list(system_warnings("m", Pairs([answer], [(reference,)], "squad")))
    assert len(cautions) == bool(told)
    assert told in "".join(cautions)
