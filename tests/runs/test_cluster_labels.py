from typing import Any

import pytest

from aqa.records import Evidence, Example, Passage, Prediction, Prompt, Template
from aqa.runs.cluster_labels import cluster_labels, read_labels
from aqa.runs.journal_rows import failure_row, journal_row

ONE, TWO = Passage("서울은 수도이다.", "서울", "p1"), Passage("부산은 항구이다.", "부산", "p2")


def labels(passages: tuple[Passage, ...], **more: Any) -> dict[str, str]:
    return cluster_labels(Example("q", "?", passages, **more))


def test_the_only_passage_is_what_was_asked_about() -> None:
    assert labels((ONE,))["title"] == "서울"
    assert labels((ONE,)) == labels((Passage(ONE.text, ONE.title, "another id"),))
    assert labels((ONE,))["passage"] != labels((TWO,))["passage"]


def test_of_several_the_gold_one() -> None:
    assert labels((ONE, TWO), gold_ids=("p2",)) == labels((TWO,))
    # A retriever's passages were joined; the gold one came with the question.
    assert labels((TWO, TWO), own_passages=(ONE,)) == labels((ONE,))


def test_of_several_without_a_gold_one_only_the_title_of_the_question() -> None:
    assert labels((ONE, TWO)) == {}
    assert labels((ONE, TWO), metadata={"title": "한국"}) == {"title": "한국"}
    assert labels((ONE, TWO), metadata={"title": 7}) == {}


def test_a_passage_without_text_goes_by_its_id() -> None:
    assert labels((Passage("", "", "p9"),)) == {"passage": "p9"}
    assert labels(()) == {}


def test_rows_keep_them() -> None:
    example = Example("q", "?", (ONE,), ("수도",))
    found = cluster_labels(example)
    prompt = Prompt("q", 0, "?", Evidence((ONE,)), Template("t", ()), clusters=found)
    assert journal_row(prompt, Prediction("q", raw="수도"))["clusters"] == found
    assert failure_row(example, "too long")["clusters"] == found
    assert "clusters" not in failure_row(Example("q", "?", ()), "too long")


@pytest.mark.parametrize(
    ("given", "read"),
    [({"title": "a", "passage": 3, "": "b"}, {"title": "a", "": "b"}), (["a"], {}), (None, {})],
)
def test_a_column_of_that_name_may_be_anything(given: object, read: dict[str, str]) -> None:
    assert read_labels(given) == read
