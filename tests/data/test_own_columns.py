"""Ordinary rows that share columns with known data sets are read as ordinary."""

import json
from pathlib import Path
from typing import Any

import pytest
from data_shapes import BUILT, WHEN

from aqa.data import Source, read_examples
from aqa.errors import DataError
from aqa.records import Example


def read(folder: Path, row: dict[str, Any]) -> Example:
    """The example of a file with only this row."""
    path = folder / "f.jsonl"
    path.write_text(json.dumps(row))
    (example,) = read_examples(Source(str(path)))
    return example


PASSAGE = {"title": "", "text": BUILT}
# Rows with some columns of a known data set besides their own question, passages and references.
OWN: dict[str, dict[str, Any]] = {
    "StrategyQA": {"facts": ["x"], "answers": ["1874"], "answer": True},
    "BoolQ": {"idx": 1, "passage": "x", "label": 1},
    "BoolQ, one answer": {"idx": 1, "passage": "x", "label": 1, "answers": None, "answer": "1874"},
    "PubMedQA": {"context": "x", "final_decision": "no"},
    "BioASQ": {"body": "x", "snippets": ["x"], "ideal_answer": "x"},
    "PubMedQA, more passages": {"context": "x", "final_decision": "1874", "answers": None},
    "NewsQA": {"story_text": "x"},
    "SQuAD in a table": {"context": "x", "text": "x", "answer_start": 0},
    "NarrativeQA": {"document_id": "d", "answer1": "x", "answer2": "y"},
    "HaluEval": {"knowledge": "x", "right_answer": "x"},
    "SciQ": {"support": "x", "correct_answer": "1874"},
    "WikiHop": {"query": WHEN, "supports": ["x"], "candidates": ["x"]},
    "ELI5": {"q_id": "1", "title": "x", "selftext": ""},
    "CRAG": {"search_results": [{"page_snippet": "x"}]},
    "Alpaca": {
        "question": None,
        "query": WHEN,
        "instruction": "x?",
        "input": "x",
        "output": "1874",
    },
    "Dolly": {
        "question": None,
        "query": WHEN,
        "instruction": "x?",
        "context": "x",
        "response": "x",
    },
    "a conversation": {"question": None, "query": WHEN, "questions": ["x"]},
    "MT-bench": {"question": None, "query": WHEN, "category": "x", "turns": 2},
    "MKQA": {"queries": ["x"], "answers": {"text": ["1874"], "answer_start": [0]}},
    "multiple-choice": {"choices": ["x", "y"], "label": 1},
    "two systems": {"answer_a": "x", "answer_b": "y", "label": 1},
}


@pytest.mark.parametrize("like", OWN)
def test_a_rows_own_fields_stay(tmp_path: Path, like: str) -> None:
    row = {"question": WHEN, "passages": [PASSAGE], "answers": ["1874"], **OWN[like]}
    example = read(tmp_path, row)
    assert (example.question, example.answers) == (WHEN, ("1874",))
    assert [passage.text for passage in example.passages] == [BUILT]


@pytest.mark.parametrize("context", [BUILT, [BUILT]])
def test_a_decision_about_a_plain_context(tmp_path: Path, context: Any) -> None:
    row = {"pubid": 3, "question": WHEN, "context": context, "final_decision": "yes"}
    example = read(tmp_path, row)
    assert (example.id, example.answers) == ("3", ("yes",))
    assert [passage.text for passage in example.passages] == [BUILT]


def test_what_is_true_keeps_its_id(tmp_path: Path) -> None:
    row = {"question_id": "q7", "idx": 1, "question": WHEN, "passage": BUILT, "answer": True}
    example = read(tmp_path, row)
    assert (example.id, example.answers) == ("q7", ("yes",))


def test_the_results_of_a_single_row_are_no_rows(tmp_path: Path) -> None:
    row = {"question": WHEN, "context": BUILT, "results": [PASSAGE]}
    example = read(tmp_path, row)
    assert example.question == WHEN


def test_a_body_comes_before_its_summary(tmp_path: Path) -> None:
    row = {"question": WHEN, "passages": [{"summary": "x", "body": BUILT}]}
    example = read(tmp_path, row)
    assert example.passages[0].text == BUILT


@pytest.mark.parametrize("column", ["document", "Article", "evidence", "text", "story"])
@pytest.mark.parametrize("value", [BUILT, [BUILT, "It burned in 1910."], "ha " * 70])
def test_the_only_column_of_sentences_holds_the_passages(
    tmp_path: Path, column: str, value: Any
) -> None:
    row = {"id": "q1", "question": WHEN, "answer": "1874", column: value, "evidence_id": "d1."}
    texts = [passage.text for passage in read(tmp_path, row).passages]
    assert texts == (value if isinstance(value, list) else [value])


@pytest.mark.parametrize("name", ["gt", "gold", "target", "answer_text", "human_answer"])
def test_a_reference_beside_an_answer_is_asked_for(tmp_path: Path, name: str) -> None:
    row = {"id": "q1", "question": WHEN, "context": BUILT, "answer": "In 1900.", name: "1874"}
    with pytest.raises(DataError, match=f'"answer" and "{name}" hold different answers; name'):
        read(tmp_path, row)
    assert read(tmp_path, {**row, name: "in 1900"}).answers == ("In 1900.",)
    assert read(tmp_path, {**row, "reference": "1874"}).answers == ("1874",)
    assert read(tmp_path, {**row, name: True}).answers == ("In 1900.",)  # a verdict


@pytest.mark.parametrize(
    "options",
    [
        {"A": "1874", "B": "1875", "C": "x"},
        {"opa": "1874", "opb": "1875"},
        {"보기1": "1874", "보기2": "1875"},
        {"choices": "['1874', '1875']"},
        {"options": ["1874", "1875"]},
    ],
)
@pytest.mark.parametrize("answer", ["A", 1, "0"])
def test_a_choice_is_no_answer(tmp_path: Path, options: dict[str, Any], answer: Any) -> None:
    row = {"id": "q1", "question": WHEN, "context": BUILT, "answer": answer, **options}
    with pytest.raises(DataError, match="a multiple-choice question"):
        read(tmp_path, row)
    assert read(tmp_path, {**row, "answer": "1874"}).answers == ("1874",)


def test_an_empty_list_of_passages_hides_no_others(tmp_path: Path) -> None:
    row = {"id": "q1", "question": WHEN, "documents": [], "context": BUILT, "answer": "1874"}
    assert [passage.text for passage in read(tmp_path, row).passages] == [BUILT]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (
            {"document": BUILT, "text": BUILT},
            "line 1: document and text may both hold passages; .*",
        ),
        ({"document": "The old mill"}, "no passages among"),  # a title
        ({"evidence": "https://en.wikipedia.org/wiki/Mill"}, "no passages among"),
        ({"evidence": []}, "no passages among"),
        ({"text": BUILT, "answer": None}, "no passages among"),
    ],
)
def test_what_may_not_be_the_passages_is_asked_for(
    tmp_path: Path, columns: dict[str, Any], told: str
) -> None:
    with pytest.raises(DataError, match=f"{told}--field passages=" if "*" in told else told):
        read(tmp_path, {"id": "q1", "question": WHEN, "answer": "1874", **columns})


def test_where_passages_are_not_needed_none_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    row = {"id": "q1", "question": WHEN, "answer": "1874", "document": BUILT}
    for more, texts in (({}, [BUILT]), ({"text": BUILT}, [])):
        path.write_text(json.dumps({**row, **more}))
        (example,) = read_examples(Source(str(path), needs_passages=False))
        assert [passage.text for passage in example.passages] == texts


def test_a_named_column_holds_the_passages(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    row = {"id": "q1", "question": WHEN, "answer": "1874", "document": BUILT, "text": "x."}
    path.write_text(json.dumps(row))
    (example,) = read_examples(Source(str(path), fields={"passages": "document"}))
    assert [passage.text for passage in example.passages] == [BUILT]


def test_a_retrievers_candidates_are_no_options(tmp_path: Path) -> None:
    """The answer 4 could be an option's place, but passages are objects."""
    candidates = [{"text": BUILT}, {"text": "The bell of the old mill was stolen twice."}]
    example = read(tmp_path, {"question": WHEN, "answer": "4", "candidates": candidates})
    assert example.answers == ("4",)
    assert [passage.text for passage in example.passages] == [each["text"] for each in candidates]
