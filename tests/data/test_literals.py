"""Lists and objects written as text are parsed if possible, and refused otherwise."""

import json
from pathlib import Path
from typing import Any

import pytest

from aqa.data import Source, read_examples
from aqa.data.literals import read_literal
from aqa.errors import DataError
from aqa.evaluation.predictions import read_predictions

READ: list[tuple[str, object]] = [
    ('["a", "b"]', ["a", "b"]),
    ("['a', \"Ann O'Hara\"]", ["a", "Ann O'Hara"]),
    ("['1874', nan]", ["1874", None]),
    ("['a' 'b']", ["a", "b"]),  # str() of a NumPy array
    ("[{'a': 1}\n {'a': 2}]", [{"a": 1}, {"a": 2}]),
    ("[[1, 2]\n [3, 4]]", [[1, 2], [3, 4]]),
    ("[1 -2  3]", [1, -2, 3]),
    ("[True False]", [True, False]),
    ("{'text': array([], dtype=object)}", {"text": []}),
    (
        "{'text': array(['1874', 'in 1874'], dtype=object), 'answer_start': array([26, 23],"
        " dtype=int32)}",
        {"text": ["1874", "in 1874"], "answer_start": [26, 23]},
    ),
    ("[array(['a'], dtype=object), array(['b', 'c'], dtype=object)]", [["a"], ["b", "c"]]),
    ("array(['x'], dtype='<U1')", ["x"]),
    ("[np.str_('a'), np.str_('b')]", ["a", "b"]),  # repr() of a list of NumPy's texts
    ("[]", []),
    ("('a', 'b')", ["a", "b"]),
    ("('a',)", ["a"]),
]
REFUSED = [
    "['Ann O'Hara', 'Ann']",
    "['a', 'b' 'c']",
    "['a' ... 'b']",
    "['a']]",
    "{'a', 'b'}",
    "{'text': array(['a'], dtype=object}",
    "[np.str_]",
    "[Document(page_content='x', metadata={})]",
]
TEXTS = [
    "[a, b]",
    "[1] foo [2]",
    "{x}",
    "(1, 2)",
    "('a')",
    "array of things)",
    "['",
    "[sic]",
    "",
    "x",
]


@pytest.mark.parametrize(("text", "value"), READ)
def test_what_can_be_read(text: str, value: object) -> None:
    assert read_literal(text, "answers", "f.csv, line 2") == value


@pytest.mark.parametrize("text", REFUSED)
def test_what_can_not(text: str) -> None:
    with pytest.raises(DataError, match=r"f\.csv, line 2: answers is .* can't be read as a list"):
        read_literal(text, "answers", "f.csv, line 2")


@pytest.mark.parametrize("text", TEXTS)
def test_texts_stay_texts(text: str) -> None:
    assert read_literal(text, "answers", "f.csv, line 2") == text


def first(path: Path, content: str) -> Any:
    path.write_text(content, encoding="utf-8")
    return next(read_examples(Source(str(path))))


def test_what_pandas_writes(tmp_path: Path) -> None:
    import numpy
    import pandas

    answers = {"text": numpy.array(["1874", "in 1874"], dtype=object), "answer_start": [26, 23]}
    contexts = numpy.array(["Built in 1874.", 'It\'s "old".'], dtype=object)
    table = pandas.DataFrame([{"question": "When?", "contexts": contexts, "answers": answers}])
    example = first(tmp_path / "f.csv", table.to_csv())
    assert example.answers == ("1874", "in 1874")
    assert [passage.text for passage in example.passages] == list(contexts)


def test_an_index_column_names_no_gold_passages(tmp_path: Path) -> None:
    passages = "[{'id': '0', 'text': 'It burned.'}, {'id': '1', 'text': 'Built in 1874.'}]"
    example = first(tmp_path / "f.csv", f',question,answers,ctxs\n0,When?,1874,"{passages}"\n')
    assert example.gold_ids == ()


def test_json_may_hold_lists_as_texts(tmp_path: Path) -> None:
    row = {
        "question": "q",
        "answers": '["politician", "pol"]',
        "ctxs": '[{"text": "c", "id": 1}]',
        "positive_ctxs": '[{"text": "c", "id": 1}]',
    }
    example = first(tmp_path / "f.jsonl", json.dumps(row))
    assert example.answers == ("politician", "pol")
    assert (example.passages[0].text, example.gold_ids) == ("c", ("1",))
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"id": "a", "prediction": "['x']", "answers": "['x', 'y']"}))
    found = read_predictions(path)["a"]
    assert (found.prediction, found.answers) == ("['x']", ("x", "y"))


def test_a_passage_may_be_an_object_of_its_own(tmp_path: Path) -> None:
    for text in ('{"name": "Old mill"}', '[{"name": "Old mill"}]', "{'name': 'Ann O'Hara'}"):
        example = first(tmp_path / "f.jsonl", json.dumps({"question": "q", "context": text}))
        assert [passage.text for passage in example.passages] == [text]


def test_missing_values_among_references(tmp_path: Path) -> None:
    example = first(tmp_path / "f.csv", "question,context,answers\nq,c,\"['1874', nan]\"\n")
    assert example.answers == ("1874",)
