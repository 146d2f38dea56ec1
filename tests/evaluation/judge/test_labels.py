"""Files of people's verdicts in every format, and errors in broken ones."""

import json
from pathlib import Path

import pytest

from aqa.errors import DataError
from aqa.evaluation.judge.labels import read_labels

TWO = {(None, "q1"): "correct", (None, "q2"): "partially_correct"}
WITH_SYSTEM = {("a", "q1"): "correct", ("b", "q1"): "unsupported"}


ROWS = [{"id": "q1", "label": "correct"}, {"id": "q2", "verdict": "partially-correct"}]


@pytest.mark.parametrize(
    ("name", "text", "labels"),
    [
        ("l.json", '{"q1": "correct", "q2": "Partially correct"}', TWO),
        ("l.json", json.dumps(ROWS), TWO),
        ("l.jsonl", "\n\n".join(map(json.dumps, ROWS)), TWO),
        (
            "l.jsonl",
            '{"id": "q1", "label": "correct", "note": "a\u2028b"}',
            {(None, "q1"): "correct"},
        ),
        ("l.csv", "\ufeffid,label\nq1,correct\nq2,PARTIALLY_CORRECT\n", TWO),
        ("l.tsv", "system\tid\tlabel\na\tq1\tcorrect\nb\tq1\tunsupported\n", WITH_SYSTEM),
        ("l.txt", "id\tlabel\nq1\tcorrect\nq2\tPartially correct\n", TWO),
        ("l.json", '[{"id": 1, "label": "correct", "system": ""}]', {(None, "1"): "correct"}),
        ("l.json", '[{"id": 1.0, "label": "correct", "system": null}]', {(None, "1"): "correct"}),
        ("l.csv", "sep=;\nSystem;ID;Label\na;q1;Correct\nb;q1;unsupported\n", WITH_SYSTEM),
    ],
)
def test_shapes(tmp_path: Path, name: str, text: str, labels: object) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_labels(tmp_path / name) == labels


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("l.json", b"", "is empty"),
        ("l.json", b"{}", "holds no labels"),
        ("l.json", b'{"q1": "good"}', r"'good' is not a label; fill in one of correct, partia"),
        ("l.json", b'{"q1": ""}', 'id "q1": the label is empty; fill in one of correct, '),
        ("l.csv", b"id,label\nq1,\n", "line 2: the label is empty; fill in one of correct, "),
        ("l.csv", b"id,grade\nq1,good\n", "line 2: there is no column label; fill in one of"),
        ("l.json", b"[3]", "row 1: the value 3 where an object"),
        ("l.jsonl", b'{"id": "q1", "label": "correct"}\n{', "line 2, column 2: not valid JSON"),
        ("l.csv", b"name,label\nq1,correct\n", "line 2: there is no id; fill in an id and one of"),
        ("l.csv", b"id,label\nq1,correct\nq1,incorrect\n", 'line 3: the id "q1" is labelled twice'),
        ("l.csv", b"id,label\nq1,\xff\n", "not UTF-8 at byte 12"),
    ],
)
def test_broken_files(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=told):
        read_labels(tmp_path / name)
    with pytest.raises(DataError, match="can't read these labels"):
        read_labels(tmp_path / "nowhere.json")
