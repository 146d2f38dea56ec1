import re
from collections.abc import Iterable
from dataclasses import replace

import pytest
from people import TOWNS, people

from aqa.config.options import TrainingEvidenceOptions
from aqa.prompting.distractors import OtherPassages, terms
from aqa.prompting.training_evidence import TrainingEvidence
from aqa.records import Example, Passage


def examples(retrieved: bool = False) -> list[Example]:
    """Ten questions with a passage each; with `retrieved`, three more were found."""
    found = people(TOWNS, retrieved)
    return found if retrieved else [replace(each, own_passages=()) for each in found]


def applied(
    given: Iterable[Example], top_k: int | None = None, seed: int = 1, **options: object
) -> list[Example | None]:
    chosen = TrainingEvidenceOptions.model_validate(options)
    rows = list(given)
    evidence = TrainingEvidence(chosen, top_k, seed, rows)
    return [evidence.apply(example) for example in rows]


def texts(example: Example | None) -> list[str]:
    assert example is not None
    return [passage.text for passage in example.passages]


def test_retrieved_leaves_all_as_it_is() -> None:
    assert applied(examples(retrieved=True)) == examples(retrieved=True)


@pytest.mark.parametrize("retrieved", [True, False])
def test_gold_alone(retrieved: bool) -> None:
    for number, example in enumerate(applied(examples(retrieved), passages="gold")):
        assert texts(example) == [f"Person {number} lives in {TOWNS[number]}."]


@pytest.mark.parametrize("negatives", ["bm25", "random"])
@pytest.mark.parametrize("retrieved", [True, False])
def test_mixed_holds_gold_and_distractors(retrieved: bool, negatives: str) -> None:
    rows = applied(examples(retrieved), passages="mixed", distractors=5, negatives=negatives)
    places = set()
    for number, example in enumerate(rows):
        found = texts(example)
        assert len(set(found)) == len(found) == 6
        gold = f"Person {number} lives in {TOWNS[number]}."
        assert sum(TOWNS[number] in text for text in found) == 1
        places.add(found.index(gold))
        assert example is not None
        assert [(p.rank, p.score) for p in example.passages] == [(n, None) for n in range(1, 7)]
        if retrieved:  # retrieved passages come before those of other questions
            near = {f"Person {(number + n) % 10} " for n in (1, 2, 3)}
            assert all(any(text.startswith(name) for text in found) for name in near)
    assert len(places) > 3  # its position reveals nothing


def test_one_seed_gives_one_data_set_in_any_order() -> None:
    options = {"passages": "mixed", "distractors": 3, "negatives": "random"}
    first = {e.id: texts(e) for e in applied(examples(), **options) if e}
    # OtherPassages reads the same data, whichever example is asked for first.
    rows = examples()
    evidence = TrainingEvidence(TrainingEvidenceOptions.model_validate(options), None, 1, rows)
    backwards = {row.id: texts(evidence.apply(row)) for row in reversed(rows)}
    assert backwards == first
    assert {e.id: texts(e) for e in applied(examples(), seed=2, **options) if e} != first


def test_gold_has_room_in_the_prompt() -> None:
    for number, example in enumerate(applied(examples(True), 3, passages="mixed", distractors=9)):
        found = texts(example)
        assert len(found) == 3
        assert sum(TOWNS[number] in text for text in found) == 1


def test_distractors_alone_are_unanswerable_or_left_out() -> None:
    mixed = {"passages": "mixed", "distractors": 2, "gold_probability": 0.0}
    assert applied(examples(), **mixed) == [None] * 10
    for number, example in enumerate(applied(examples(), **mixed, unanswerable_probability=1.0)):
        assert example is not None
        assert example.answers == ()
        assert not any(TOWNS[number] in text for text in texts(example))
    half = applied(examples() * 40, **mixed | {"gold_probability": 0.5})
    many = [e for n, e in enumerate(half) if n < 10]
    assert 0 < sum(example is None for example in many) < 10


@pytest.mark.parametrize("named", ["by id", "as its own"])
def test_what_says_the_answer_elsewhere_is_no_distractor(named: str) -> None:
    """Gold is known; without it, the rest must really have no answer."""
    texts_found = ["Ostry is where she lives.", "Gold: Ostry.", "Nothing.", "Gold: Ostry.", "Else."]
    found = tuple(Passage(text, id=f"d{n}", rank=n) for n, text in enumerate(texts_found, 1))
    known = {"gold_ids": ("d2",)} if named == "by id" else {"own_passages": found[1:2]}
    row = replace(Example("q", "Where does she live?", found, ("Ostry",)), **known)
    options = {"passages": "mixed", "distractors": 2, "unanswerable_probability": 1.0}
    (without,) = applied([row], **options, gold_probability=0.0)
    assert sorted(texts(without)) == ["Else.", "Nothing."]
    (beside,) = applied([row], **options)
    assert {"Gold: Ostry.", "Nothing.", "Else."} == set(texts(beside))


def test_distractors_are_distinct() -> None:
    found = tuple(Passage(text) for text in ("Ostry.", "Nothing.", "Nothing.", "Else."))
    (row,) = applied([Example("q", "Where?", found, ("Ostry",))], passages="mixed", distractors=2)
    assert set(texts(row)) == {"Ostry.", "Nothing.", "Else."}


@pytest.mark.parametrize("passages", [(), (Passage("..."),)])
def test_nothing_to_search_in(passages: tuple[Passage, ...]) -> None:
    rows = [Example("u", "Where?", passages, ())]
    (found,) = applied(rows, passages="mixed")
    assert texts(found) == [passage.text for passage in passages]


def test_unanswerable_questions() -> None:
    rows = [*examples(), Example("u", "Where does nobody live?", (Passage("Empty."),), ())]
    assert texts(applied(rows, passages="gold")[-1]) == ["Empty."]
    found = applied(rows, passages="mixed", distractors=3)[-1]
    assert "Empty." in texts(found)
    assert len(texts(found)) == 4
    assert found is not None
    assert found.answers == ()


def test_an_example_without_any_gold_passage_is_left_out() -> None:
    row = Example("q", "Who?", (Passage("nothing of it"),), ("Anna",))
    assert applied([row], passages="gold") == [None]
    assert applied([row], passages="mixed") == [None]
    assert applied([row]) == [row]


def test_the_nearest_by_bm25_come_first() -> None:
    others = OtherPassages(examples())
    (first, *_) = others.nearest("Does Sefton exist?", 3)
    assert "Sefton" in first.text
    assert len(others.nearest("Sefton", 99)) == 10


def test_words_of_hangul_are_searched_by_pairs_of_letters() -> None:
    assert list(terms("서울특별시는 Big 수")) == [
        "서울",
        "울특",
        "특별",
        "별시",
        "시는",
        "big",
        "수",
    ]
    korean = [
        Example("a", "?", (Passage("대한민국의 수도는 서울특별시이다."),), ("서울",)),
        Example("b", "?", (Passage("부산은 항구 도시이다."),), ("부산",)),
        Example("c", "?", (Passage("제주도는 섬이다."),), ("제주",)),
    ]
    (first, *_) = OtherPassages(korean).nearest("수도가 서울특별시인 나라는?", 1)
    assert re.match("대한민국", first.text)
