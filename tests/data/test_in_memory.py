"""Data in memory of any type are read like files."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest

from aqa.config.in_memory_data import InMemoryData
from aqa.data import Source, read_examples, survey
from aqa.errors import DataError
from aqa.records import Example, Passage

ROW = {"id": "1", "question": "Who?", "ctxs": [{"text": "Ada wrote it."}], "answers": ["Ada"]}
EXAMPLE = Example("1", "Who?", (Passage("Ada wrote it."),), ("Ada",))
ARTICLE = {
    "title": "T",
    "paragraphs": [
        {
            "context": "Ada wrote it.",
            "qas": [{"id": "1", "question": "Who?", "answers": [{"text": "Ada"}]}],
        }
    ],
}


def read(items: Any, **options: Any) -> list[Example]:
    return list(read_examples(Source(InMemoryData(items), **options)))


@pytest.mark.parametrize(
    "items",
    [
        [EXAMPLE],
        [ROW],
        {"data": [ROW]},
        ROW,
        [{**ROW, "ctxs": [Passage("Ada wrote it.")], "answers": ("Ada",)}],
        [{"qid": 1, "query": "Who?", "context": "Ada wrote it.", "answer": "Ada"}],
        [{**ROW, "ctxs": "Ada wrote it.", "answers": numpy.array(["Ada"])}],
        {name: [value] for name, value in ROW.items()},
        {"columns": [*ROW], "index": [0], "data": [[*ROW.values()]]},
        [ARTICLE],
        {"version": "1", "data": [ARTICLE]},
        {"licences": ["MIT"], "data": [ARTICLE]},
        {"columns": ["all"], "data": [ROW]},
        {"meta": {"n": 1}, "questions": [ROW]},
        {"name": "mine", "질문들": [ROW]},
        {"articles": [ARTICLE]},
        {"data": (ROW,)},
        [{**ROW, "title": pandas.NA, "date": pandas.NaT}],
        {"1": {name: value for name, value in ROW.items() if name != "id"}},
        ARTICLE["paragraphs"][0],  # type: ignore[index]
    ],
)
def test_each_shape_gives_the_same_example(items: Any) -> None:
    (example,) = read(items)
    assert (example.id, example.question, example.answers) == ("1", "Who?", ("Ada",))
    assert [passage.text for passage in example.passages] == ["Ada wrote it."]
    assert survey(Source(InMemoryData(items))).count == 1


@pytest.mark.parametrize("store", ["a file", "memory"])
def test_a_document_has_one_list_of_questions(tmp_path: Path, store: str) -> None:
    def source(document: Any) -> Source:
        (tmp_path / "f.json").write_text(json.dumps(document), encoding="utf-8")
        return Source(str(tmp_path / "f.json") if store == "a file" else InMemoryData(document))

    told = 'questions under "data" and under "examples"; write those to be read into their own'
    with pytest.raises(DataError, match=told):
        survey(source({"data": [ROW], "examples": [{**ROW, "id": "2"}]}))
    for other in ([{**ROW, "id": "2"}], [ARTICLE]):
        with pytest.raises(DataError, match='under "data" and under "more"; write those'):
            survey(source({"data": [ROW], "more": other}))
    assert survey(source({"data": [ROW], "examples": [{"text": "x"}]})).count == 1
    assert survey(source({"data": [ROW], "predictions": [ROW]})).count == 1
    about = {"questions": [{"id": "1", "question": "Who?"}], "context": "Ada wrote it."}
    (example,) = read_examples(source(about))
    assert example.passages[0].text == "Ada wrote it."


def test_rows_keyed_by_id_are_rows_in_memory_too() -> None:
    keyed = {str(number): {"question": "Who?", "context": "Ada."} for number in range(101)}
    assert [example.id for example in read(keyed)] == [*keyed]
    with pytest.raises(DataError, match="item 102: null where an Example or an object"):
        read({**keyed, "x": None})
    for document in ({"data": None}, {"idx": 0, "passage": {"text": "x"}}):
        with pytest.raises(DataError, match="item 1: no question among the columns"):
            read(document)
    asked = {"question": "Who?", "context": "Ada."}
    (example,) = read({"input": asked, "expectedOutput": {"answer": "Ada"}, "metadata": {}})
    assert (example.question, example.answers) == ("Who?", ("Ada",))


def test_the_columns_of_a_table_may_have_any_names() -> None:
    table = {"Frage": ["Who?", "When?"], "Text": ["Ada wrote it.", "In 1843."]}
    first, second = read(table, fields={"question": "Frage", "passages": "Text"})
    assert [first.question, second.passages[0].text] == ["Who?", "In 1843."]
    assert read({"version": "1", "data": [EXAMPLE]})[0].question == "Who?"


def test_a_data_set_and_its_splits() -> None:
    import datasets

    made = datasets.Dataset.from_list([ROW, {**ROW, "id": "2"}])
    assert [example.id for example in read(made)] == ["1", "2"]
    assert [example.id for example in read(made.with_format("numpy"))] == ["1", "2"]
    assert [example.id for example in read(made.to_iterable_dataset())] == ["1", "2"]
    splits = datasets.DatasetDict({"train": made, "dev": made.select([1])})
    assert [example.id for example in read(splits, split="dev")] == ["2"]
    with pytest.raises(DataError, match=r"the given data has several splits; choose .* train, dev"):
        read(splits)
    with pytest.raises(DataError, match="there are no splits"):
        read(made, split="dev")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("Who?", "the given data, item 2: a text where an Example or an object"),
        (7, "the given data, item 2: int where an Example"),
        ({"id": "2", "frage": "Who?"}, "item 2: no question among the columns id, frage"),
        (replace(EXAMPLE, id="2", question=" "), 'item 2: "question" is empty'),
        (replace(EXAMPLE, id="2", answers=({},)), "item 2: an object among the gold answers"),  # type: ignore[arg-type]
        (EXAMPLE, 'the id "1" .* the given data, item 1 and again at the given data, item 2'),
    ],
)
def test_what_is_wrong_is_said_as_of_files(item: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        survey(Source(InMemoryData([EXAMPLE, item])))  # type: ignore[list-item]


def test_nothing_at_all() -> None:
    with pytest.raises(DataError, match="the given data holds no examples"):
        survey(Source(InMemoryData([])))


def test_what_people_write_by_hand() -> None:
    """A text instead of a tuple, no ranks, and metadata that only look like a reference."""
    passages = (Passage("a"), Passage("b"))
    written = Example("1", "Who?", passages, "Ada", {"target": "t", "n": 3})  # type: ignore[arg-type]
    (example,) = read([written])
    assert example.answers == ("Ada",)
    assert [passage.rank for passage in example.passages] == [1, 2]
    (example,) = read([replace(written, answers=None)])
    assert (example.answers, example.metadata) == (None, {"n": 3})
    (example,) = read([replace(written, answers=())])
    assert example.answers == ()


def test_fields_corpus_and_passages_work_as_for_files(tmp_path: Path) -> None:
    (example,) = read([EXAMPLE], fields={"question": "Frage", "answers": "Antwort"})
    assert (example.question, example.answers) == ("Who?", ("Ada",))
    retrieved = {"id": "1", "question": "Who?", "ctxs": [{"id": "d", "text": "Found."}]}
    (tmp_path / "found.json").write_text(json.dumps([retrieved]), encoding="utf-8")
    gold = replace(EXAMPLE, passages=(Passage("Ada wrote it.", id="g"),), gold_ids=("g",))
    (example,) = read([gold], passages=str(tmp_path / "found.json"))
    assert [passage.text for passage in example.passages] == ["Found."]
    assert [passage.text for passage in example.own_passages] == ["Ada wrote it."]


def test_the_hash_is_that_of_the_content() -> None:
    def sha256(items: Any) -> str:
        return survey(Source(InMemoryData(items))).sha256

    assert sha256([EXAMPLE]) == sha256([EXAMPLE]) == sha256([dict(reversed(sha_row().items()))])
    assert sha256([EXAMPLE]) != sha256([replace(EXAMPLE, question="Which?")])
    assert sha256([EXAMPLE]) != sha256([replace(EXAMPLE, answers=("ada",))])


def sha_row() -> dict[str, Any]:
    return {**ROW, "ctxs": [{"text": "Ada wrote it.", "title": ""}]}


@pytest.mark.parametrize(
    "name",
    [
        "korquad1/KorQuAD_v1.0_dev.json",
        "squad2-cs224n/dev-v2.0.json",
        "clapnq/clapnq_dev_answerable.jsonl",
        "nq-oracle/nq-open-oracle.jsonl.gz",
    ],
)
def test_examples_of_files_are_read_again_as_they_were(shared_data: Path, name: str) -> None:
    examples = list(read_examples(Source(str(shared_data / name))))[:500]
    again = read(examples)
    assert [replace(example, place="") for example in again] == [
        replace(example, place="") for example in examples
    ]
