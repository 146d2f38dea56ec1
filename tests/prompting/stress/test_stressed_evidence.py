"""Each stress condition: the passages in reading order, and the right answer."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from people import TOWNS, people

from aqa.config.options import EvidenceOptions
from aqa.config.stress_conditions import CONDITIONS, FAMILIES, parse_conditions
from aqa.errors import DataError, UsageError
from aqa.prompting.distractors import sample
from aqa.prompting.evidence import select
from aqa.prompting.gold_passages import answer_finder, gold_ranks
from aqa.prompting.stress.evidence import NO_ANSWER, NO_GOLD, Pools, StressedEvidence
from aqa.records import Example, Passage

COUNT = 40


def examples(retrieved: bool = False) -> list[Example]:
    return people([f"{TOWNS[n % 10]} {n}" for n in range(COUNT)], retrieved)


def stressed(
    rows: Sequence[Example], condition: str, **options: object
) -> tuple[StressedEvidence, list[Example]]:
    given = {"stress": {"condition": condition, "passages": 6}, **options}
    evidence = StressedEvidence(EvidenceOptions.model_validate(given), Pools(lambda: rows))
    count = evidence.count(rows)
    found = list(evidence.changed(rows))
    assert len(found) == count
    return evidence, found


def read(evidence: StressedEvidence, example: Example) -> list[str]:
    """The texts in reading order."""
    return [passage.text for passage in select(example, evidence.options).reading_order]


@pytest.mark.parametrize("retrieved", [False, True])
@pytest.mark.parametrize("order", ["given", "score", "best_last"])
def test_the_gold_passage_is_where_it_is_meant_to_be(retrieved: bool, order: str) -> None:
    rows = examples(retrieved)
    sets = []
    for condition, place in zip(FAMILIES["position"], (0, 2, 5), strict=True):
        evidence, found = stressed(rows, condition, order=order, top_k=3)
        for row, example in zip(rows, found, strict=True):
            texts = read(evidence, example)
            assert len(set(texts)) == 6
            assert texts.index(row.own_passages[0].text) == place
            holds = answer_finder(example)
            assert len(gold_ranks(example.passages, holds) or ()) == 1
        sets.append([sorted(read(evidence, example)) for example in found])
    assert sets[0] == sets[1] == sets[2]  # only the position differs


@pytest.mark.parametrize("number", [0, 2, 5, 10, 20])
def test_noise_is_around_the_gold_passage(number: int) -> None:
    rows = examples(retrieved=True)
    evidence, found = stressed(rows, f"noise-{number}")
    for row, example in zip(rows, found, strict=True):
        texts = read(evidence, example)
        assert len(set(texts)) == number + 1
        assert texts.index(row.own_passages[0].text) == number // 2
        own = [p.text for p in row.passages if p.text != row.own_passages[0].text]
        assert set(own[:number]) <= set(texts)  # the retriever's come first


def test_missing_evidence_leaves_silence() -> None:
    rows = examples(retrieved=True)
    evidence, found = stressed(rows, "missing")
    for row, example in zip(rows, found, strict=True):
        assert read(evidence, example) == [p.text for n, p in enumerate(row.passages) if n != 1]
        assert example.answers == ()
    evidence, found = stressed(examples(), "missing")  # if nothing would be left
    for row, example in zip(examples(), found, strict=True):
        assert len(read(evidence, example)) == 1
        assert row.own_passages[0].text not in read(evidence, example)


@pytest.mark.parametrize("condition", ["missing", "noise-5", "position-last"])
@pytest.mark.parametrize("place", [0, 1])
def test_no_other_passage_says_the_answer(condition: str, place: int) -> None:
    """Neither its own other passages, nor those of other questions."""
    rows = examples(retrieved=place == 0)
    again = Passage(f"Where person 0 does live: {TOWNS[0]} 0.", id="again", rank=1)
    rows[place] = replace(rows[place], passages=(again, *rows[place].passages))
    evidence, found = stressed(rows, condition)
    texts = read(evidence, found[0])
    assert texts
    assert again.text not in texts


def test_doubled_passages_are_not_taken_out_again() -> None:
    rows = examples(retrieved=True)
    evidence, found = stressed(rows, "duplicate", top_k=2)
    for row, example in zip(rows, found, strict=True):
        texts = [p.text for p in row.passages[:2]]
        assert read(evidence, example) == texts + texts


def test_a_conflict_says_another_answer_wherever_the_old_one_was() -> None:
    rows = examples(retrieved=True)
    evidence, found = stressed(rows, "conflict")
    for row, example in zip(rows, found, strict=True):
        (old,), (new,) = row.answers or (), example.answers or ()
        assert new != old
        assert new.split()[0] == old.split()[0]  # figures change in place
        assert len(new) == len(old)
        texts = read(evidence, example)
        number = row.id.removeprefix("q")
        assert texts[1] == f"Person {number} lives in {new}."
        assert not gold_ranks(example.passages, answer_finder(replace(row, own_passages=())))
        assert gold_ranks(example.passages, answer_finder(example)) == (2,)


def test_two_sources_stand_side_by_side_in_either_order() -> None:
    rows = examples(retrieved=True)
    evidence, found = stressed(rows, "two_sources")
    firsts = set()
    for row, example in zip(rows, found, strict=True):
        old, new = example.answers or ()
        assert (old,) == row.answers
        texts = read(evidence, example)
        assert len(texts) == 5
        assert sum(f" {new}." in text for text in texts) == 1  # in none of the other passages
        assert {old in texts[1], new in texts[2]} in ({True}, {False})
        assert {old in texts[2], new in texts[1]} in ({True}, {False})
        firsts.add(old in texts[1])
        gold = 2 if old in texts[1] else 3  # the copy does not count
        assert gold_ranks(example.passages, answer_finder(example)) == (gold,)
    assert firsts == {True, False}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_evidence_is_that_of_the_seed_whatever_the_limit(condition: str) -> None:
    rows = examples(retrieved=True)
    evidence, found = stressed(rows, condition)
    assert list(evidence.changed(rows[:7])) == found[:7]
    assert stressed(rows, condition)[1] == found
    if condition in ("conflict", "two_sources"):
        given = {"stress": {"condition": condition, "passages": 6, "seed": 1}}
        other = StressedEvidence(EvidenceOptions.model_validate(given), Pools(lambda: rows))
        assert list(other.changed(rows)) != found


def test_what_a_condition_can_not_be_made_of_is_left_out_and_counted() -> None:
    rows = examples(retrieved=True)
    rows[3] = replace(rows[3], answers=())
    rows[4] = replace(rows[4], answers=None)
    phrase = Passage("One saves to have money later.", id="p5")
    rows[5] = replace(
        rows[5], answers=("to have money",), passages=(phrase,), own_passages=(phrase,)
    )
    assert stressed(rows, "position-last")[0].left_out == {NO_GOLD: 2}
    evidence, found = stressed(rows, "conflict")
    assert evidence.left_out == {NO_GOLD: 2, NO_ANSWER: 1}
    assert {"q3", "q4", "q5"}.isdisjoint(example.id for example in found)


def test_data_without_gold_passages() -> None:
    rows = [replace(row, answers=("nowhere",), own_passages=()) for row in examples()]
    with pytest.raises(DataError, match=r"no question allows it .no gold passage is known"):
        stressed(rows, "position-first")


def test_fewer_passages_than_noise_asks_for() -> None:
    with pytest.raises(
        DataError, match=r"noise-20 asks for 20 passages besides .* have only 8 for"
    ):
        stressed(examples()[:9], "noise-20")
    assert stressed(examples()[:9], "noise-5")
    with pytest.raises(DataError, match=r"asks for 5 passages besides .* have only 4 for"):
        stressed(examples()[:5], "position-last")
    rows = examples()[:5]  # with two gold passages, one fewer is needed
    second = Passage("So it is: person 0 lives there.", id="p", rank=2)
    rows = [replace(row, own_passages=(*row.own_passages, second)) for row in rows]
    rows = [
        replace(row, passages=row.own_passages, gold_ids=("p", f"p{n}"))
        for n, row in enumerate(rows)
    ]
    evidence, found = stressed(rows, "position-last")
    assert [read(evidence, example)[-2:] for example in found] == [
        [row.own_passages[0].text, second.text] for row in rows
    ]


def test_names_of_conditions() -> None:
    assert parse_conditions("noise-2, position") == ["noise-2", *FAMILIES["position"]]
    last, *others = parse_conditions("position-last,position")
    assert [*others, last] == list(FAMILIES["position"])
    with pytest.raises(UsageError, match="no condition 'mising'; did you mean missing"):
        parse_conditions("position,mising")
    with pytest.raises(UsageError, match="no condition 'xyz'; choose among position, noise"):
        parse_conditions("xyz")
    with pytest.raises(UsageError, match="names no condition"):
        parse_conditions(" , ")


@pytest.mark.parametrize(
    ("condition", "used"),
    [
        ("position-last", {"passages": 6}),
        *((name, {"seed": 1}) for name in ("conflict", "two_sources")),
        *((name, {}) for name in ("noise-5", "missing", "duplicate")),
    ],
)
def test_runs_differ_by_what_their_condition_uses(condition: str, used: dict[str, int]) -> None:
    given = {"stress": {"condition": condition, "passages": 6, "seed": 1}}
    found = EvidenceOptions.model_validate(given).plan()["stress"]
    assert found == {"condition": condition, **used}


def test_a_plan_without_stress_is_the_old_one() -> None:
    assert "stress" not in EvidenceOptions().plan()
    with pytest.raises(ValueError, match="did you mean noise-5"):
        EvidenceOptions.model_validate({"stress": {"condition": "noise-6"}})


def test_a_sample_does_not_depend_on_the_order_and_stays_small() -> None:
    items = [(f"text {n}", n) for n in range(1000)]
    found = sample(items, 50)
    assert len(found) == 50
    assert sample([*items[::-1], *items], 50) == found
    assert sorted(sample(items, 2000)) == list(range(1000))
