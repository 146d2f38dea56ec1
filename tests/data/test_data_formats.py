"""A small file in each format is read as the same examples."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import pytest
from files import lines

from aqa.data import Source, read_examples, survey
from aqa.records import Example, Passage

ROWS: list[dict[str, object]] = [
    {
        "id": "a1",
        "question": "수도는?",
        "context": "서울은 수도이다.",
        "answers": ["서울", "서울시"],
    },
    {"id": "a2", "question": "Why?", "context": 'Nobody\nknows, "they" say.', "answers": []},
    {"id": "a3", "question": "Who?", "context": "Somebody.", "answers": None},
]
EXPECTED = [
    ("a1", "수도는?", "서울은 수도이다.", ("서울", "서울시")),
    ("a2", "Why?", 'Nobody\nknows, "they" say.', ()),
    ("a3", "Who?", "Somebody.", None),
]


def essence(examples: Sequence[Example]) -> list[tuple[str, str, str, tuple[str, ...] | None]]:
    return [(e.id, e.question, e.passages[0].text, e.answers) for e in examples]


def table(delimiter: str, literal: Callable[[object], str]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerow(ROWS[0])
    for row in ROWS:
        cells = [row["id"], row["question"], row["context"]]
        writer.writerow([*cells, "" if row["answers"] is None else literal(row["answers"])])
    return file.getvalue()


def squad() -> str:
    paragraphs = []
    for example_id, question, context, answers in EXPECTED:
        asked: dict[str, object] = {"guid": example_id, "question": question}
        if answers is not None:
            asked["answers"] = [{"text": answer, "answer_start": 0} for answer in answers]
        paragraphs.append({"context": context, "qas": [asked]})
    return json.dumps({"version": "v1", "data": [{"paragraphs": paragraphs, "title": "T"}]})


FILES = {
    "lines.jsonl": lines(ROWS),
    "blank_lines.jsonl": "\n" + lines(ROWS).replace("\n", "\n\n"),
    "list.json": json.dumps(ROWS),
    "pretty.json": json.dumps(ROWS, indent=2),
    "data.json": json.dumps({"version": "1", "data": ROWS}, indent=1),
    "squad.json": squad(),
    "lines_named.csv": lines(ROWS),
    "comma.csv": table(",", json.dumps),
    "python.csv": table(",", repr),
    "tab.tsv": table("\t", json.dumps),
    "semicolon.csv": table(";", json.dumps),
    "no_suffix": json.dumps(ROWS),
}


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "bom"])
@pytest.mark.parametrize("name", FILES)
def test_text_formats(tmp_path: Path, name: str, mark: bytes, ending: str) -> None:
    text = FILES[name] if "\r\n" in FILES[name] else FILES[name].replace("\n", ending)
    (tmp_path / name).write_bytes(mark + text.encode())
    assert essence(list(read_examples(Source(str(tmp_path / name))))) == EXPECTED


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["gzip", "zstd", "zstd frames"])
def test_compressed(tmp_path: Path, name: str, kind: str) -> None:
    data = FILES[name].encode()
    if kind == "gzip":
        data = gzip.compress(data)
    else:
        import pyarrow

        parts = [data] if kind == "zstd" else [data[:50], data[50:]]
        data = b"".join(pyarrow.compress(part, "zstd", asbytes=True) for part in parts)
    (tmp_path / name).write_bytes(data)  # the suffix is only a hint
    assert essence(list(read_examples(Source(str(tmp_path / name))))) == EXPECTED


def test_parquet(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "rows.bin"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    assert essence(list(read_examples(Source(str(path))))) == EXPECTED


@pytest.mark.slow
def test_parquet_is_read_by_pages_whatever_a_group_of_rows_holds(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "rows.parquet"
    chance = Random(1)
    contexts = [chance.randbytes(5000).hex() for _ in range(8000)]
    table = pyarrow.table({"question": ["who?"] * len(contexts), "context": contexts})
    pyarrow.parquet.write_table(table, path)
    assert pyarrow.parquet.ParquetFile(path).num_row_groups == 1
    size = table.nbytes
    del table, contexts
    before, most = pyarrow.total_allocated_bytes(), 0
    for _ in read_examples(Source(str(path))):
        most = max(most, pyarrow.total_allocated_bytes() - before)
    assert most < size / 2


@pytest.mark.parametrize("kind", ["stream", "file"])
def test_arrow(tmp_path: Path, kind: str) -> None:
    import pyarrow
    import pyarrow.ipc

    rows = pyarrow.Table.from_pylist(ROWS)
    path = tmp_path / "rows.arrow"
    new = pyarrow.ipc.new_stream if kind == "stream" else pyarrow.ipc.new_file
    with path.open("wb") as file, new(file, rows.schema) as writer:
        writer.write_table(rows, max_chunksize=2)
    examples = list(read_examples(Source(str(path))))
    assert essence(examples) == EXPECTED
    assert examples[2].place == "rows.arrow, row 3"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    import datasets

    train = datasets.Dataset.from_list(ROWS)
    dev = datasets.Dataset.from_list(ROWS[:1])
    datasets.disable_progress_bars()
    datasets.DatasetDict(train=train, dev=dev).save_to_disk(str(tmp_path / "several"))
    datasets.DatasetDict(train=train).save_to_disk(str(tmp_path / "single"))
    train.select([2, 1, 0]).select([2, 1, 0]).save_to_disk(str(tmp_path / "one"), num_shards=2)
    return tmp_path


def test_saved_dataset(saved: Path) -> None:
    assert essence(list(read_examples(Source(str(saved / "one"))))) == EXPECTED
    assert essence(list(read_examples(Source(str(saved / "single"))))) == EXPECTED
    assert essence(list(read_examples(Source(str(saved / "several"), "train")))) == EXPECTED
    dev = list(read_examples(Source(str(saved / "several"), "dev")))
    assert essence(dev) == EXPECTED[:1]
    assert dev[0].place == "several/dev, row 1"


def test_hub_layout(tmp_path: Path) -> None:
    folder = tmp_path / "team"
    folder.mkdir()
    (folder / "train.jsonl").write_text(lines(ROWS), encoding="utf-8")
    (folder / "validation.jsonl").write_text(lines(ROWS[:1]), encoding="utf-8")
    assert essence(list(read_examples(Source(str(folder), "train")))) == EXPECTED
    found = survey(Source(str(folder), "validation"))
    assert (found.count, len(found.sha256)) == (1, 64)


@pytest.mark.parametrize(
    "names", [["part-0.jsonl", "part-1.jsonl"], ["sub/all.jsonl"], ["x.json", "data/test-0.jsonl"]]
)
def test_layouts_of_folders(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / "team" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "team" / name).write_text(lines(ROWS), encoding="utf-8")
    found = list(read_examples(Source(str(tmp_path / "team"), on_duplicate_id="keep-first")))
    assert essence(found) == EXPECTED


def test_hub_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    (tmp_path / "team").mkdir()
    (tmp_path / "team" / "README.md").write_text(
        "---\nconfigs:\n"
        "- config_name: mrc\n  data_files: [{split: validation, path: m.jsonl}]\n"
        "- config_name: other\n  data_files: [{split: validation, path: o.jsonl}]\n---\n"
    )
    (tmp_path / "team" / "m.jsonl").write_text(lines(ROWS), encoding="utf-8")
    (tmp_path / "team" / "o.jsonl").write_text(lines(ROWS[:1]), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    source = Source("team/mrc")
    found = survey(source)
    assert found.count == 3
    assert found.sha256.startswith("hub:team/mrc:mrc:")
    assert next(read_examples(source, found)).place == "team/mrc/validation, row 1"


def test_squad_fields(tmp_path: Path) -> None:
    question = {
        "guid": "klue-1", "question": "q", "question_type": 2, "is_impossible": True,
        "answers": [{"text": "plausible", "answer_start": 0}],
        "plausible_answers": [{"text": "plausible", "answer_start": 0}],
    }  # fmt: skip
    other = {"id": 7, "question": "r", "answers": [{"text": "a"}, {"text": "b"}, {"text": "a"}]}
    article = {
        "paragraphs": [{"context": "c", "qas": [question, other], "id": "p"}],
        "title": "제목",
        "source": "news",
        "id": "article",
    }
    path = tmp_path / "klue.json"
    path.write_text(json.dumps({"data": [article]}), encoding="utf-8")
    first, second = read_examples(Source(str(path)))
    assert (first.id, first.answers, second.id, second.answers) == ("klue-1", (), "7", ("a", "b"))
    assert first.metadata == {"source": "news", "question_type": 2, "is_impossible": True}
    assert first.place == "klue.json, article 1, paragraph 1, question 1"
    assert first.passages == second.passages
    assert (first.passages[0].title, len(first.passages[0].id or "")) == ("제목", 16)


PASSAGES: list[tuple[object, tuple[Passage, ...]]] = [
    ({"context": "c", "title": "t"}, (Passage("c", "t"),)),
    ({"context": ["c", "d"], "title": "t"}, (Passage("c"), Passage("d", rank=2))),
    ({"ctxs": [{"title": "t", "text": "c", "score": "1.5", "id": 3, "hasanswer": True}]},
     (Passage("c", "t", "3", 1.5),)),
    ({"ctxs": [{"text": "c", "score": 2}, {"text": "d", "score": None}]},
     (Passage("c", score=2.0), Passage("d", rank=2))),
    ({"documents": [{"contents": "c", "docid": "x"}]}, (Passage("c", id="x"),)),
    ({"passages": {"text": ["c", "d"], "title": ["t", "u"]}},
     (Passage("c", "t"), Passage("d", "u", rank=2))),
    ({"contexts": {"text": "c", "id": "x"}}, (Passage("c", id="x"),)),
    ({"contexts": {"d1": "c c", "d2": "d d"}},
     (Passage("c c", id="d1"), Passage("d d", id="d2", rank=2))),
    ({"contexts": {"7": {"abstract": ["c.", "d."], "title": "t"}}}, (Passage("c. d.", "t", "7"),)),
    ({"ctxs": [{"snippet": "c", "link": "l", "title": "t"}]}, (Passage("c", "t"),)),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "passages"), PASSAGES)
def test_passages(
    tmp_path: Path, columns: dict[str, object], passages: tuple[Passage, ...]
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(lines([{"query": "q", **columns}]))
    assert next(read_examples(Source(str(path)))).passages == passages


ANSWERS: list[tuple[dict[str, object], tuple[str, ...] | None]] = [
    ({}, None),
    ({"answers": None}, None),
    ({"answers": []}, ()),
    ({"answers": ""}, ()),
    ({"answer": "a"}, ("a",)),
    ({"answers": ["a", "b", "a"]}, ("a", "b")),
    ({"answers": {"text": ["a", "b"], "answer_start": [1, 2]}}, ("a", "b")),
    ({"answers": {"text": [], "answer_start": []}}, ()),
    ({"answers": {"text": "a"}}, ("a",)),
    ({"output": [{"answer": "a", "meta": {}}, {"answer": "b"}]}, ("a", "b")),
    ({"output": [{"answer": "", "selected_sentences": []}]}, ()),
    ({"target": "t", "answers": ["a"]}, ("a",)),
    ({"target": "t"}, ("t",)),
    ({"output": "what a system said", "target": "t"}, ("t",)),
    ({"output": "what a system said", "expected": ["t"]}, ("t",)),
    ({"output": "o"}, ("o",)),
    ({"answers": [18.5, 3.0]}, ("18.5", "3")),
    ({"answers": ["plausible"], "is_impossible": True}, ()),
    ({"answers": ["a"], "is_impossible": False}, ("a",)),
]


@pytest.mark.parametrize(("columns", "answers"), ANSWERS)
def test_answers(
    tmp_path: Path, columns: dict[str, object], answers: tuple[str, ...] | None
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(lines([{"_id": 5, "input": "q", "context": "c", **columns}]))
    example = next(read_examples(Source(str(path))))
    assert (example.id, example.answers) == ("5", answers)


def test_other_columns_are_metadata(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    row = {"question": "q", "ctxs": ["c", "d"], "answers": ["a"], "target": "t", "title": "T"}
    path.write_text(lines([row]))
    assert next(read_examples(Source(str(path)))).metadata == {"title": "T"}


def test_field_names(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,Q,P,A,key,H\nx,[1],p,a,k,h\n")
    fields = {"question": "Q", "passages": "P", "answers": "A", "id": "key", "title": "H"}
    example = next(read_examples(Source(str(path), fields=fields)))
    assert (example.id, example.question, example.answers) == ("k", "[1]", ("a",))
    assert example.passages == (Passage("p", "h"),)
    assert example.metadata == {"id": "x"}


def test_corpus(tmp_path: Path) -> None:
    corpus = tmp_path / "wikipedia_documents.json"
    corpus.write_text(
        json.dumps(
            {
                str(number): {
                    "text": f"text {number}",
                    "title": f"title {number}",
                    "document_id": number,
                }
                for number in range(5)
            }
        )
    )
    path = tmp_path / "retrieved.csv"
    path.write_text('question,id,document_id,context\nq,x,"[4, 1]",joined text\nr,y,2,joined\n')
    first, second = read_examples(Source(str(path), corpus=str(corpus)))
    assert first.passages == (
        Passage("text 4", "title 4", "4"),
        Passage("text 1", "title 1", "1", rank=2),
    )
    assert second.passages == (Passage("text 2", "title 2", "2"),)
    joined = next(read_examples(Source(str(path))))
    assert joined.passages == (Passage("joined text"),)
    assert survey(Source(str(path), corpus=str(corpus))).sha256 != survey(Source(str(path))).sha256


def test_package_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    package = tmp_path / "some_reader_data"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "dev.jsonl").write_text(lines(ROWS), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    examples = list(read_examples(Source("package:some_reader_data/dev.jsonl")))
    assert essence(examples) == EXPECTED
    assert "some_reader_data" not in sys.modules


def test_large_cells_and_documents(tmp_path: Path) -> None:
    long_text = "긴 글 " * 100_000
    path = tmp_path / "rows.csv"
    path.write_text(f"question,context\nq,{long_text}\n", encoding="utf-8")
    assert next(read_examples(Source(str(path)))).passages[0].text == long_text
    path = tmp_path / "rows.json"
    path.write_text(lines([{"question": "q", "context": long_text * 3}]), encoding="utf-8")
    assert path.stat().st_size > 1 << 20
    assert next(read_examples(Source(str(path)))).passages[0].text == long_text * 3


def test_quotes_between_tabs_are_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text(
        'id\tquestion\tanswers\tcontext\n1\t"When?\t"[""a"", ""b""]"\tThe "Mill" Road\n'
    )
    (example,) = read_examples(Source(str(path)))
    assert (example.question, example.answers) == ('"When?', ("a", "b"))
    assert example.passages[0].text == 'The "Mill" Road'


@pytest.mark.parametrize("mark", ["|", ";"])
def test_a_line_may_name_the_delimiter(mark: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    table = "id,question,context\n1,When?,Built in 1874.\n".replace(",", mark)
    for text, line in ((f"sep={mark}\r\n{table}", 3), (table, 2)):
        path.write_text(text)
        (example,) = read_examples(Source(str(path)))
        assert (example.id, example.place) == ("1", f"rows.csv, line {line}")


def test_texts_that_excel_keeps_by_formulas(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('id,question,context,answers\n="001",When?,"=""In """"1874"""".""",="1874"\n')
    (example,) = read_examples(Source(str(path)))
    assert (example.id, example.answers) == ("001", ("1874",))
    assert example.passages[0].text == 'In "1874".'
