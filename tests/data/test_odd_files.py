"""Unusual but common ways to write files are read as intended."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aqa.config.in_memory_data import InMemoryData
from aqa.data import Source, read_examples, survey
from aqa.data.files import open_text
from aqa.errors import DataError

ROW = {"id": "1", "question": "q", "context": "c", "answers": ["a"]}
OTHER = {**ROW, "id": "2"}
HEADER, TABLE = "id,question,context,answers\n", "1,q,c,a\n2,q,c,a\n"
FIRST, SECOND = json.dumps(ROW), json.dumps(OTHER)

# Each contains the two rows.
READ = {
    "the header twice": ("f.csv", f"{HEADER}1,q,c,a\n{HEADER}2,q,c,a\n"),
    "rows of nothing": ("f.csv", f"{HEADER}{TABLE},,,\n,,,\n"),
    "lines of nothing before": ("f.csv", f"\n,,,\n{HEADER}{TABLE}"),
    "a blank after each comma": ("f.csv", (HEADER + TABLE).replace(",", ", ")),
    "objects in one line": ("f.json", FIRST + SECOND),
    "a sequence of JSON texts": ("f.json", f"\x1e{FIRST}\n\x1e{SECOND}\n"),
    "objects over several lines": ("f.json", f"{json.dumps(ROW, indent=1)}\n{SECOND}"),
    "lines that end with commas": ("f.jsonl", f"{FIRST},\n{SECOND},\n"),
    "a list below any name": ("f.json", json.dumps({"n": 2, "목록": [ROW, OTHER], "tags": ["x"]})),
    "the only split": ("f.json", json.dumps({"validation": [ROW, OTHER]})),
    "questions of a text": ("f.json", json.dumps([{"context": "c", "qa_pairs": [ROW, OTHER]}])),
    "questions of a chunk": ("f.jsonl", json.dumps({"chunk": "c", "qa_pairs": [ROW, OTHER]})),
    "questions of a document, alone": (
        "f.json",
        json.dumps({"document": "c", "title": "", "qa_pairs": [ROW, OTHER]}, indent=1),
    ),
    "questions of a text, by themselves": (
        "f.jsonl",
        "".join(json.dumps({"context": "c", "Questions": [q]}) + "\n" for q in (ROW, OTHER)),
    ),
}


PART = [{"id": 1, "question": "Which part?", "answer": "a"}]
ONE_ROW = [
    {"id": "1", "질문": "q", "관련": PART, "context": ["c"], "answers": ["a"]},
    {"id": "1", "parts": PART, "input": {"question": "q", "context": "c"}, "expected": "a"},
    {"context_text": "c", "qas": [{"query_id": "1", "query_text": "q", "answers": ["a"]}]},
    {"title": "t", "paragraphs": [{"context": "c", "qas": [ROW]}], "parts": PART},
]


@pytest.mark.parametrize("store", ["a file", "memory"])
@pytest.mark.parametrize("row", ONE_ROW)
def test_a_list_in_a_row_is_not_the_rows(row: dict[str, Any], store: str, tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    (example,) = read_examples(Source(str(path) if store == "a file" else InMemoryData(row)))
    found = (example.id, example.question, example.passages[0].text, example.answers)
    assert found == ("1", "q", "c", ("a",))


@pytest.mark.parametrize("kind", READ)
def test_odd_files(tmp_path: Path, kind: str) -> None:
    name, text = READ[kind]
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = [
        (
            example.id,
            example.question,
            [passage.text for passage in example.passages],
            example.answers,
        )
        for example in read_examples(Source(str(tmp_path / name)))
    ]
    assert found == [("1", "q", ["c"], ("a",)), ("2", "q", ["c"], ("a",))]


def test_a_column_within_an_object_is_named_by_its_path(tmp_path: Path) -> None:
    row = {"id": "1", "input": {"question": "q"}, "context": "c", "output": {"answer": "a"}}
    (tmp_path / "f.json").write_text(json.dumps([row]), encoding="utf-8")
    source = Source(str(tmp_path / "f.json"))
    with pytest.raises(DataError, match=r"with --field question=input\.question"):
        survey(source)
    fields = {"question": "input.question", "answers": "output.answer"}
    (example,) = read_examples(replace(source, fields=fields))
    assert (example.question, example.answers) == ("q", ("a",))


# Columns of readable rows, and the notes about them.
TOLD = {
    "a text for no answer": ({"answers": "N/A"}, 'a reference such as "None" or "True": 1; it is'),
    "a text for yes": ({"answers": ["FALSE"]}, "and yes or no where these are meant"),
    "several answers in a text": ({"answers": "a /// b"}, '"|" or the like in a reference: 1;'),
    "several answers after semicolons": ({"answers": "a; b"}, '"|" or the like in a reference: 1'),
    "a list without quotes": ({"answers": "[Paris, Rome]"}, '"|" or the like in a reference: 1'),
    "lost characters": (
        {"question": "\ufffd\ufffd?"},
        "which stands for a lost character: 1; a program read the text in the wrong encoding",
    ),
    "a text cut by Excel": (
        {"context": "c" * 32_767},
        "Examples with a text of 32,767 characters: 1; Excel cuts longer texts there: take",
    ),
    "passages in one text": ({"context": "c ||| d"}, "looks like several in one text: 1; it is"),
    "numbered passages": ({"context": ["문서 1: c\n문서 2: d"]}, "looks like several in one text"),
    "a column of any name": (
        {"context": None, "quotes": [{"text": "It is c."}]},
        'Examples whose passages are taken from "quotes": 1.',
    ),
    "two columns": (
        {"context": "It is c.", "passages": ["It is d."]},
        'in two columns: 1; "passages" is read, not "context": name the right one with --field',
    ),
    "scores that rise": (
        {"ctxs": [{"text": "c", "score": 1}, {"text": "d", "score": 2}]},
        "Questions whose passages' scores do not fall with their ranks: 1; the order",
    ),
    "an answer, and a mark of none": ({"has_answer": False}, "the references count"),
    "none, and a mark of one": ({"answers": [], "is_impossible": False}, "references: 1; the ref"),
}


@pytest.mark.parametrize("kind", TOLD)
def test_what_may_not_be_meant_is_told(tmp_path: Path, kind: str) -> None:
    columns, told = TOLD[kind]
    (tmp_path / "f.json").write_text(json.dumps([{**ROW, **columns}]), encoding="utf-8")
    assert told in " ".join(survey(Source(str(tmp_path / "f.json"))).notes)


def test_of_usual_rows_nothing_is_told(tmp_path: Path) -> None:
    rows = [
        {**ROW, "has_answer": True},
        {**OTHER, "answers": [], "is_impossible": True},
        {**ROW, "id": "3", "answers": "Q&amp;A; R&amp;D", "context": "c" * 32_768},
    ]
    (tmp_path / "f.json").write_text(json.dumps(rows), encoding="utf-8")
    assert survey(Source(str(tmp_path / "f.json"))).notes == ()


def test_the_garbage_collector_may_close_a_file_before_its_reader(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text(HEADER + TABLE, encoding="utf-8")
    with open_text(path) as text:
        text.close()
