"""Retrievers' output of any format is joined to questions, or refused."""

import csv
import io
import json
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pytest
from files import lines

from aqa.data import Source, read_examples, survey
from aqa.errors import DataError
from aqa.records import Example, Passage

Join = Callable[..., Source]
QUESTIONS = [
    {"id": "a", "question": "수도는?", "context": "서울이다.", "answers": ["서울"]},
    {"id": "b", "question": "Why?", "context": "Because.", "answers": []},
]
CORPUS = {
    "d1": {"text": "서울은 수도이다.", "title": "서울"},
    "d2": {"text": "부산은 항구이다.", "title": ""},
    "d3": {"text": "Nobody knows.", "title": "Nobody"},
}
# (id, score) of the passages of each question.
FOUND = {"a": [("d1", 2.5), ("d2", 1.0)], "b": [("d3", 7.0), ("d1", -1.0)]}
EXPECTED = {
    question: tuple(
        Passage(CORPUS[document]["text"], CORPUS[document]["title"], document, score, rank)
        for rank, (document, score) in enumerate(found, 1)
    )
    for question, found in FOUND.items()
}


def hits(question: str, *left_out: str) -> list[dict[str, object]]:
    """The passages of a question as objects."""
    whole = [{"id": d, "score": s, **CORPUS[d]} for d, s in FOUND[question]]
    return [{key: value for key, value in hit.items() if key not in left_out} for hit in whole]


def rows(column: str, *left_out: str) -> list[dict[str, Any]]:
    return [{"id": question, column: hits(question, *left_out)} for question in FOUND]


def trec(score: bool = True, rank: Callable[[int], object] = lambda number: number) -> str:
    return "".join(
        f"{question} Q0 {document} {rank(number)} {value} bm25\n"
        for question, found in FOUND.items()
        for number, (document, value) in enumerate(found, 1)
    )


def table(header: str, cells: Sequence[Sequence[object]], delimiter: str = ",") -> str:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerow(header.split(","))
    writer.writerows(cells)
    return file.getvalue()


def long_form(delimiter: str = ",", reverse: bool = False) -> str:
    cells = [
        [question, rank, hit["text"], hit["title"], hit["score"], hit["id"]]
        for question in FOUND
        for rank, hit in enumerate(hits(question), 1)
    ]
    cells = cells[::-1] if reverse else cells
    return table("qid,rank,text,title,score,docid", cells, delimiter)


def joined_csv(**columns: Sequence[object]) -> str:
    cells = [
        ["?", question, repr([document for document, _ in found]), "joined", *more]
        for (question, found), *more in zip(FOUND.items(), *columns.values(), strict=True)
    ]
    return table(",".join(["question,id,document_id,context", *columns]), cells)


@pytest.fixture
def join(tmp_path: Path) -> Join:
    """Write a question file, a passages file and a corpus; return the source that joins them."""

    def write(
        passages: str,
        questions: Sequence[Mapping[str, object]] = QUESTIONS,
        corpus: str | None = None,
        **options: Any,
    ) -> Source:
        (tmp_path / "questions.jsonl").write_text(lines(questions), encoding="utf-8")
        (tmp_path / "found").write_text(passages, encoding="utf-8")
        if corpus is not None:
            (tmp_path / "corpus").write_text(corpus, encoding="utf-8")
            options["corpus"] = str(tmp_path / "corpus")
        return Source(
            str(tmp_path / "questions.jsonl"), passages=str(tmp_path / "found"), **options
        )

    return write


def read(source: Source) -> list[Example]:
    return list(read_examples(source, survey(source)))


def by_id(examples: Sequence[Example]) -> dict[str, tuple[Passage, ...]]:
    return {example.id: example.passages for example in examples}


SCORES = [[score for _, score in found] for found in FOUND.values()]
COLUMN_OF_LISTS = [
    {"qid": question, "ctxs": {key: [hit[key] for hit in hits(question)] for key in hits("a")[0]}}
    for question in FOUND
]


def within(column: str, **others: str) -> Callable[[list[Any]], list[dict[str, Any]]]:
    """Hits with text and title nested in a column, and other names for the rest."""

    def put(found: list[Any]) -> list[dict[str, Any]]:
        return [
            {
                column: {name: hit[name] for name in ("text", "title")},
                **{others.get(name, name): hit[name] for name in ("id", "score")},
            }
            for hit in found
        ]

    return put


REPLIES: dict[str, Callable[[list[Any]], dict[str, Any]]] = {
    "Elasticsearch": lambda found: {
        "took": 3,
        "_shards": {"total": 1},
        "hits": {"max_score": 9, "hits": within("_source", id="_id", score="_score")(found)},
    },
    "Qdrant": lambda found: {"result": {"points": within("payload")(found)}, "status": "ok"},
    "Qdrant before": lambda found: {"result": within("payload")(found), "time": 0.1},
    "Weaviate": lambda found: {"objects": within("properties", id="uuid")(found)},
    "Pinecone": lambda found: {"matches": within("metadata")(found), "usage": {"read_units": 1}},
    "Pinecone's search": lambda found: {
        "result": {"hits": within("fields", id="_id", score="_score")(found)},
        "usage": {"read_units": 1},
    },
    "Milvus": lambda found: {"results": [within("entity")(found)]},
    "Solr": lambda found: {"responseHeader": {"status": 0}, "response": {"n": 3, "docs": found}},
    "Vespa": lambda found: {"root": {"id": "top", "relevance": 1.0, "children": found}},
    "RAGFlow": lambda found: {"code": 0, "data": {"chunks": found, "total": 3}},
    "Azure AI Search": lambda found: {"@odata.context": "u", "value": found},
    "Dify": lambda found: {"records": within("segment")(found)},
    "Haystack": lambda found: {"retriever": {"documents": found}},
}


def in_korean(hits: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = ("문서번호", "점수", "본문", "제목")
    return [dict(zip(names, hit.values(), strict=True)) for hit in hits]


WITH_TEXTS = {
    "lines": lines(rows("passages")),
    "list": json.dumps(rows("contexts"), indent=1),
    "data": json.dumps({"data": rows("documents")}),
    "retrieved": lines(row | {"passages": ["gold"]} for row in rows("retrieved_passages")),
    "lists of columns": lines(COLUMN_OF_LISTS),
    "other names": lines({"query_id": row["id"], "ctxs": row["ctxs"]} for row in rows("ctxs")),
    "a number as score": lines(rows("passages")).replace("2.5", '"2.5"'),
    "object of lists": json.dumps({row["id"]: row["p"] for row in rows("p")}),
    "indented object of lists": json.dumps({row["id"]: row["p"] for row in rows("p")}, indent=2),
    "object of rows": json.dumps({row["id"]: row for row in rows("ctxs")}),
    "LangChain": lines(rows("docs")),
    "LlamaIndex": lines(
        {
            "id": row["id"],
            "source_nodes": [{"score": each.pop("score"), "node": each} for each in row["nodes"]],
        }
        for row in rows("nodes")
    ),
    "Elasticsearch": lines(
        {
            "id": row["id"],
            "hits": [{"_score": each.pop("score"), "_source": each} for each in row["hits"]],
        }
        for row in rows("hits")
    ),
    **{
        f"a reply of {store}, {where}": shape
        for store, reply in REPLIES.items()
        for where, shape in {
            "beside the id": lines({"id": q, **reply(hits(q))} for q in FOUND),
            "below a column": lines({"id": q, "response": reply(hits(q))} for q in FOUND),
            "as passages": lines({"id": q, "passages": reply(hits(q))} for q in FOUND),
            "by ids": json.dumps({q: reply(hits(q)) for q in FOUND}),
        }.items()
    },
    "RankLLM": lines(
        {
            "query": {"text": "?", "qid": row["id"]},
            "candidates": [
                {
                    "docid": each["id"],
                    "score": each["score"],
                    "doc": {"segment": each["text"], "title": each["title"]},
                }
                for each in row["c"]
            ],
        }
        for row in rows("c")
    ),
    "FiD": lines(
        {"question": q["question"], "answers": ["x"], "ctxs": hits(str(q["id"]))} for q in QUESTIONS
    ),
    "long CSV": long_form(),
    "long CSV, last ranks first": long_form(reverse=True),
    "long TSV": long_form("\t"),
    "long CSV, scores for ranks": long_form(reverse=True).replace("rank,", "no,"),
    "rows by number, as of Pyserini": json.dumps(
        {
            str(number): {"question": q["question"], "contexts": hits(str(q["id"]))}
            for number, q in enumerate(QUESTIONS)
        }
    ),
    "FlashRAG": lines(
        {"id": q, "output": {"retrieval_result": hits(q)}, "golden_answers": []} for q in FOUND
    ),
    "LangChain's pairs with scores": lines(
        {"id": q, "docs": [[{**hit, "score": None}, hit["score"]] for hit in hits(q)]}
        for q in FOUND
    ),
    "below any name": json.dumps({"retriever": "bm25", "retrievals": rows("passages")}),
    "long CSV, id beside qid": long_form().replace("docid", "id"),
    "long CSV in Korean": long_form(reverse=True).replace(
        "qid,rank,text,title,score,docid", "질문번호,순위,본문,제목,점수,번호"
    ),
    "lists in Korean": lines(
        {"번호": row["id"], "검색결과": in_korean(row["ctxs"])} for row in rows("ctxs")
    ),
}
WITH_CORPUS = {
    "TREC": trec(),
    "TREC from 0": trec(rank=lambda number: number - 1),
    "TREC, tabs": trec().replace(" ", "\t"),
    "TREC without ranks": "".join(trec(rank=lambda number: "-").splitlines(True)[::-1]),
    "TREC, iteration as 0": trec().replace("Q0", "0"),
    "Tevatron": "".join(f"{q}\t{d}\t{score}\n" for q, found in FOUND.items() for d, score in found),
    "PyTerrier": table(
        "qid,docid,docno,rank,score",
        [[q, 7 - n, *hit, n, s] for q, found in FOUND.items() for n, (*hit, s) in enumerate(found)],
    ),
    "object of ids with scores": json.dumps(FOUND),
    "objects without texts": lines(rows("passages", "text", "title")),
    "object of scores": json.dumps({q: dict(found[::-1]) for q, found in FOUND.items()}),
    "CSV": joined_csv(score=SCORES),
    "JSON with the CSV's columns": lines(
        {"id": q, "document_id": [d for d, _ in found], "score": [s for _, s in found]}
        for q, found in FOUND.items()
    ),
    "CSV with ranks": joined_csv(score=[row[::1] for row in SCORES], rank=[[1, 2], [1, 2]]),
    "long CSV without texts": "\n".join(
        ["id,docid,score", *(f"{q},{d},{s}" for q, found in FOUND.items() for d, s in found)]
    ),
}
CORPORA = {
    "object": json.dumps(CORPUS),
    "lines": lines({"_id": key, **document} for key, document in CORPUS.items()),
    "docno": lines({"docno": key, "docid": 1, **document} for key, document in CORPUS.items()),
    "contents": lines(
        {"id": key, "title": d["title"], "contents": d["text"]} for key, d in CORPUS.items()
    ),
    "in Korean": table(
        "문서번호,내용,문서제목", [[k, d["text"], d["title"]] for k, d in CORPUS.items()]
    ),
    "TSV": table("id,text,title", [[k, d["text"], d["title"]] for k, d in CORPUS.items()], "\t"),
}


@pytest.mark.parametrize("shape", WITH_TEXTS)
def test_shapes_with_texts(join: Join, shape: str) -> None:
    source = join(WITH_TEXTS[shape])
    assert by_id(read(source)) == EXPECTED
    assert survey(source).notes == ()


@pytest.mark.parametrize("shape", WITH_CORPUS)
def test_shapes_with_a_corpus(join: Join, shape: str) -> None:
    source = join(WITH_CORPUS[shape], corpus=CORPORA["object"])
    assert by_id(read(source)) == EXPECTED
    assert survey(source).notes == ()


@pytest.mark.parametrize("corpus", CORPORA)
def test_corpora(join: Join, corpus: str) -> None:
    assert by_id(read(join(trec(), corpus=CORPORA[corpus]))) == EXPECTED


def test_bare_texts_and_bare_ids(join: Join) -> None:
    texts = by_id(read(join(json.dumps({"a": ["x y", "z"], "b": []}))))
    assert texts == {"a": (Passage("x y"), Passage("z", rank=2)), "b": ()}
    bare = json.dumps({"a": ["d2", "d1"], "b": []})
    documents = by_id(read(join(bare, corpus=CORPORA["lines"])))
    assert [passage.title for passage in documents["a"]] == ["", "서울"]
    assert documents["a"][0].text == "부산은 항구이다."


def test_joined_documents_are_one_passage_and_told_of(join: Join) -> None:
    source = join(joined_csv())
    assert by_id(read(source)) == {"a": (Passage("joined"),), "b": (Passage("joined"),)}
    (note,) = survey(source).notes
    assert note.startswith("Rows whose documents are joined in one text: 2; ")


def test_a_row_of_documents_with_one_score_is_whole(join: Join) -> None:
    source = join(joined_csv(score=[1.0, 2.0]), corpus=CORPORA["object"])
    assert [p.id for p in read(source)[0].passages] == ["d1", "d2"]
    again = joined_csv(score=[1.0, 2.0]).partition("\n")[2]
    with pytest.raises(DataError, match='the id "a" has passages at found, line 2 and again at'):
        survey(join(joined_csv(score=[1.0, 2.0]) + again))


def test_ranks_win_over_scores_and_it_is_told(join: Join) -> None:
    source = join(trec().replace("2.5", "0.5"), corpus=CORPORA["object"])
    assert [p.id for p in read(source)[0].passages] == ["d1", "d2"]
    (note,) = survey(source).notes
    assert note.startswith("Questions whose passages' scores do not fall with their ranks: 1; ")


def test_a_score_may_be_missing(join: Join) -> None:
    """Such a row is a passage like the others, after those with a score."""
    found = "id,text,score\na,none,\na,low,1.5\na,high,3\nb,b,\n"
    first, _ = read_examples(join(found))
    assert [(p.text, p.score) for p in first.passages] == [
        ("high", 3),
        ("low", 1.5),
        ("none", None),
    ]


def test_ranks_order_a_list(join: Join) -> None:
    source = join(lines({"id": q, "ctxs": [{"text": "2nd", "rank": 2}, {"text": "1st", "rank": 1}]}
                         for q in "ab"))  # fmt: skip
    assert read(source)[0].passages == (Passage("1st"), Passage("2nd", rank=2))


def test_questions_without_passages_of_their_own(join: Join) -> None:
    questions = [{"id": q["id"], "question": q["question"]} for q in QUESTIONS]
    examples = read(join(WITH_TEXTS["lines"], questions))
    assert by_id(examples) == EXPECTED
    assert {(e.gold_ids, e.own_passages, e.answers) for e in examples} == {((), (), None)}


GOLD: list[tuple[dict[str, object], tuple[str, ...], tuple[str, ...]]] = [
    ({}, (), ()),
    ({"context": "c"}, (), ("c",)),
    ({"context": "c", "document_id": 7}, ("7",), ("c",)),
    ({"passages": [{"id": "d1", "text": "c"}, {"text": "e"}]}, ("d1",), ("c", "e")),
    ({"ctxs": [{"id": "d1", "text": "c"}, {"id": "d2", "text": "e", "isgold": True}]},
     ("d2",), ("e",)),
    ({"ctxs": [{"id": "d1", "text": "c"}, {"text": "e", "is_gold": True}]}, (), ("e",)),
    ({"ctxs": [{"id": "d1", "text": "c", "has_answer": True, "score": 2}]}, (), ()),
    ({"ctxs": [{"id": "d1", "text": "c"}, {"id": "d2", "text": "e"}], "gold_ids": ["d2"]},
     ("d2",), ("e",)),
    ({"positive_ids": "d9", "context": "c"}, ("d9",), ("c",)),
    ({"positive_ctxs": [{"passage_id": 4, "title": "t", "text": "c"}], "ctxs": ["e"]},
     ("4",), ("c",)),
    ({"positive_passages": [{"docid": "d1"}, {"docid": "d2", "text": "c"}], "ctxs": []},
     ("d1", "d2"), ("c",)),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "gold_ids", "texts"), GOLD)
def test_own_passages_are_the_gold_ones(
    join: Join,
    columns: dict[str, object],
    gold_ids: tuple[str, ...],
    texts: tuple[str, ...],
) -> None:
    questions = [{"id": "a", "question": "q", **columns}]
    (example,) = read(join(WITH_TEXTS["lines"], questions))
    assert example.passages == EXPECTED["a"]
    assert example.gold_ids == gold_ids
    assert tuple(passage.text for passage in example.own_passages) == texts


@pytest.mark.parametrize("mark", ["isgold", "is_positive", "Is Relevant", "gold"])
def test_what_is_marked_is_gold_and_so_is_the_only_passage(tmp_path: Path, mark: str) -> None:
    path = tmp_path / "f.jsonl"
    ctxs = [{"id": 1, "text": "c"}, {"id": 2, "text": "d", mark: True}]
    path.write_text(lines([{"question": "q", "ctxs": ctxs}, {"question": "r", "ctxs": ctxs[:1]}]))
    first, second = read_examples(Source(str(path)))
    assert (first.gold_ids, len(first.passages)) == (("2",), 2)
    assert [passage.text for passage in first.own_passages] == ["d"]
    assert [passage.text for passage in second.own_passages] == ["c"]


def test_gold_ids_of_another_corpus_are_told_of(join: Join) -> None:
    def notes(gold_id: str) -> tuple[str, ...]:
        questions = [q | {"gold_ids": [gold_id]} for q in QUESTIONS]
        return survey(join(WITH_TEXTS["lines"], questions)).notes

    assert notes("d2") == ()  # a passage of at least one question
    (note,) = notes("d9")
    assert note.startswith("Examples that name gold passages by id: 2; none of these ids is among")


def test_gold_marks_of_the_passages_file(join: Join) -> None:
    marked = [{"id": "a", "ctxs": [{"id": "x", "text": "t", "isgold": True}, "u"]}]
    questions = [{"id": "a", "question": "q"}]
    assert read(join(lines(marked), questions))[0].gold_ids == ("x",)
    questions = [{"id": "a", "question": "q", "gold_ids": ["y"]}]
    assert read(join(lines(marked), questions))[0].gold_ids == ("y",)


def test_by_question_where_ids_are_missing(join: Join) -> None:
    found = [{"id": "0", "question": "수도는?", "ctxs": hits("a")}]
    question: dict[str, object] = {"question": "수도는?"}
    (example,) = read(join(lines(found), [question]))
    assert example.passages == EXPECTED["a"]
    with pytest.raises(
        DataError, match='"7" has no passages in found'
    ):  # both have ids: they must agree
        survey(join(lines(found), [question | {"id": 7}]))
    twice = [*found, found[0] | {"id": "1"}]
    assert read(join(lines(twice), [question]))[0].passages == EXPECTED["a"]
    twice[1]["ctxs"] = hits("b")
    with pytest.raises(DataError) as caught:
        survey(join(lines(twice), [question]))
    assert str(caught.value) == (
        "questions.jsonl, line 1: its question has passages at found, line 1 and others at found, "
        "line 2; give the rows ids"
    )


def test_id_columns(join: Join) -> None:
    questions = [{"key": q["id"], "question": q["question"]} for q in QUESTIONS]
    source = join(WITH_TEXTS["lines"], questions, fields={"id": "key"})
    assert by_id(read(source)) == EXPECTED
    found = [{"key": row["id"], "id": "other", "ctxs": row["ctxs"]} for row in rows("ctxs")]
    assert by_id(read(join(lines(found), questions, fields={"id": "key"}))) == EXPECTED


def test_generated_ids_do_not_depend_on_passages(join: Join) -> None:
    questions = [{"question": "수도는?", "context": "c"}]
    source = join(WITH_TEXTS["FiD"], questions)
    assert read(source)[0].id == next(read_examples(Source(source.path))).id


def test_repeated_ids_all_get_passages(join: Join) -> None:
    source = join(WITH_TEXTS["lines"], [QUESTIONS[0], QUESTIONS[0]], on_duplicate_id="number")
    assert by_id(read(source)) == {"a": EXPECTED["a"], "a#2": EXPECTED["a"]}


def test_missing_passages(join: Join) -> None:
    questions = [*QUESTIONS, *({"id": f"c{n}", "question": "q", "context": "c"} for n in range(3))]
    with pytest.raises(DataError) as caught:
        survey(join(WITH_TEXTS["lines"], questions))
    with pytest.raises(DataError, match='"c0" has no passages in found'):
        survey(join(WITH_TEXTS["lines"], questions[:3]))
    assert str(caught.value) == (
        'questions.jsonl, line 3: the question "c0" is the first of 3 that have no passages in '
        'found (its ids are like "a"); retrieve for all, or choose --missing-passages empty'
    )
    with pytest.raises(DataError, match="the two share no id: write ids alike, or leave them out"):
        survey(join(WITH_TEXTS["lines"], questions[2:]))
    source = join(WITH_TEXTS["lines"], questions, missing_passages="empty")
    assert survey(source).notes[0] == "Examples without passages: 3 of 5."
    last = read(source)[-1]
    assert (last.passages, [p.text for p in last.own_passages]) == ((), ["c"])


def test_nfc(join: Join) -> None:
    decomposed = "\u1112\u1161\u11ab"
    found = lines([{"question": decomposed, "ctxs": [{"text": decomposed, "title": decomposed}]}])
    questions = [{"question": "한", "context": decomposed}]
    with pytest.raises(DataError, match="it has no ids, but questions"):
        survey(join(found, questions))
    (example,) = read(join(found, questions, normalize="nfc"))
    assert example.passages == (Passage("한", "한"),)
    assert example.own_passages == (Passage("한"),)


@pytest.mark.parametrize(("ours", "theirs"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_a_question_in_another_form_is_told(join: Join, ours: str, theirs: str) -> None:
    """Files from macOS are decomposed: such texts look the same but do not match."""
    question = "수도는?"
    found = join(
        lines([{"question": normalize(theirs, question), "ctxs": ["c"]}]),
        questions=[{"id": "a", "question": normalize(ours, question)}],
    )
    with pytest.raises(DataError, match="another Unicode form: add --normalize nfc"):
        survey(found)
    assert survey(replace(found, normalize="nfc")).count == 1


def test_hashes(join: Join) -> None:
    import hashlib

    plain = join(WITH_TEXTS["lines"])
    alone = survey(Source(plain.path))
    found = survey(plain)
    assert alone.passages_sha256 is None
    assert found.passages_sha256 == hashlib.sha256(WITH_TEXTS["lines"].encode()).hexdigest()
    with_corpus = survey(join(trec(), corpus=CORPORA["object"]))
    other_corpus = survey(join(trec(), corpus=CORPORA["lines"]))
    hashes = [found, with_corpus, other_corpus]
    assert len({each.sha256 for each in [alone, *hashes]}) == 4
    assert len({each.passages_sha256 for each in hashes}) == 3


def chroma(*questions: str) -> dict[str, Any]:
    """A reply with lists for each question; smaller distances are better."""
    found = [hits(question) for question in questions]
    lists = {"ids": "id", "documents": "text"}
    columns = {name: [[hit[key] for hit in one] for one in found] for name, key in lists.items()}
    distances = [[-hit["score"] for hit in one] for one in found]
    return {**columns, "metadatas": None, "distances": distances}


def test_lists_of_chroma(join: Join) -> None:
    for shape in (
        lines({"id": q, **chroma(q)} for q in FOUND),
        lines({"id": q, "response": chroma(q)} for q in FOUND),
        json.dumps({q: chroma(q) for q in FOUND}),
    ):
        found = by_id(read(join(shape)))
        assert {q: [(p.id, p.text) for p in passages] for q, passages in found.items()} == {
            q: [(p.id, p.text) for p in passages] for q, passages in EXPECTED.items()
        }


def test_a_column_for_each_passage(join: Join) -> None:
    examples = read(join("id,passage_2,passage_1\na,It is y.,It is x.\nb,,It is z.\n"))
    texts = [[passage.text for passage in example.passages] for example in examples]
    assert texts == [["It is x.", "It is y."], ["It is z."]]


def test_printed_objects_are_no_passages(join: Join) -> None:
    printed = "Document(metadata={'source': 'a'}, page_content='It is x.')"
    for text in (printed, "page_content='It is x.' metadata={'source': 'a'}"):
        with pytest.raises(DataError, match="as Python prints it; write its text, such as doc"):
            survey(join(lines([{"id": "a", "documents": [text]}])))


def test_a_reranking_by_places_gives_the_order(join: Join) -> None:
    row = {"id": "a", "documents": ["x", "y"]}
    row |= {"results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]}
    examples = read(join(lines([row, {"id": "b", "documents": ["z"]}])))
    assert [passage.text for passage in examples[0].passages] == ["y", "x"]


@pytest.mark.parametrize("missing", ["passages", "corpus"])
def test_a_file_that_is_not_there_is_told_before_others_are_read(join: Join, missing: str) -> None:
    source = join("nothing that could be read", corpus="nor this")
    source = replace(source, **{missing: "nowhere.json"})
    with pytest.raises(DataError, match=r"^nowhere\.json: no such file"):
        survey(source)
    with pytest.raises(DataError, match=r"^elsewhere\.json: no such file"):
        survey(replace(join("nothing that could be read"), path="elsewhere.json"))


GOOD = lines(rows("ctxs"))
BAD: list[tuple[str, str | None, str]] = [
    ("", None, "found is empty"),
    ("[]", None, "found holds no passages; a passages file is JSON rows"),
    ("id,rank,text\n", None, "found holds no passages"),
    (trec(), None, "found is a TREC run, which names documents without their texts; give the corp"),
    (lines([{"id": "a", "answer": 1}]), None, "line 1: no passages among the columns id, answer;"),
    ("just some\ntext\n", None, "found, line 2: neither an id nor a question"),
    (lines([{"ctxs": ["c"]}]), None, "found, line 1: neither an id nor a question to join"),
    (GOOD + GOOD, None, 'the id "a" has passages at found, line 1 and again at found, line 3;'),
    ('{"a": ["c"], "a": ["d"]}', None, 'the id "a" has passages at found, "a" and again at'),
    ("id,context\na,c\na,d\n", None, "passages at found, line 2 and again at found, line 3"),
    ("id,rank,text\na,1,c\na,2,\n", None, 'found, line 3: its "text" is empty; a passage needs'),
    (GOOD.replace("7.0", "NaN"), None, "line 2, \"ctxs\": the score of passage 1 is nan, which is"),
    (GOOD.replace("7.0", "Infinity"), None, "the score of passage 1 is inf, which is not a number"),
    (GOOD.replace("7.0", '"x"'), None, "the score of passage 1 is 'x', which is not a number"),
    (long_form().replace("2.5", "high"), None, "found, line 2: the score is 'high', which is no"),
    (long_form().replace("2.5", "nan"), None, "found, line 2: the score is 'nan', which is not"),
    (long_form().replace("a,1", "a,1.5"), None, "line 2: the rank is '1.5', which is not a whole"),
    (long_form().replace("a,1", "a,1e99"), None, "line 2: the rank is '1e99', which is not a"),
    (trec().replace("7.0", "nan"), "object", "found, line 3: the score is 'nan', which is not a"),
    (trec().replace("2.5", "x"), "object", "found, line 1: the score is 'x', which is not a num"),
    (trec().replace("d3 1", "d3 x"), "object", "found, line 3: the rank is 'x', which is not a"),
    (trec() + "b Q0 d2 3\n", "object", "found, line 5: 4 fields where a TREC run has 6, question"),
    ("a 0 d1 1\n", "object", "found holds relevance judgements (qrels), not what a retriever"),
    ("query-id\tcorpus-id\tscore\na\td1\t1\n", "object", "found holds relevance judgements"),
    (trec().replace("d2", "d1"), "object", 'line 2: document d1 appears twice for "a"; keep it'),
    (trec().replace("d2 2", "d2 3"), "object", 'line 1: the passages of "a" have the ranks 1, 3;'),
    (trec().replace("d2 2", "d2 1") + "a Q0 d3 2 0 bm25", "object", "ranks 1, 1, 2; number"),
    (trec().replace("d2 2", "d2 -"), "object", 'the passages of "a" have the ranks none, 1; numb'),
    (long_form().replace("b,1", "b,4"), None, 'line 4: the passages of "b" have the ranks 2, 4;'),
    (lines([{"id": "a", "ctxs": [{"text": "t", "rank": n + 1} for n in range(12) if n != 6]}]),
     None, 'the passages of "a" have the ranks 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, ...; number'),
    (trec().replace("d2", "x2").replace("d3", "x3"), "object",
     "found, line 2: document x2 is not in corpus, the first of 2 such documents; give the"),
    (joined_csv().replace("d2", "x2"), "object", "line 2: document x2 is not in corpus; give the"),
    (joined_csv(score=[[1.0], [2.0]]), "object", "differ in length, 2 of docid, 1 of score"),
    (lines(rows("passages", "text")), None, "passage 1 has no text under text, contents, "),
    ('{"a": {"d1": 1.5}}', None, 'found, "a": documents without their texts; give --corpus FILE'),
    ('{"a": ["d1", "d2"]}', None, 'found, "a": "d1" names a document, where its text is needed;'),
    ("id,retriever,rank,text\na,bm25,1,c\na,dpr,1,d\n", None,
     'line 3: its "retriever" is dpr, where others have bm25; give each its own'),
    (trec().replace("bm25", "dpr", 1), "object", "line 2: the run bm25 after dpr; give each in"),
    ("id,docid,score\na,d1,1\n", None, "line 2: a document without its text; give --corpus FILE"),
    (lines([{"id": "a", "ctxs": {"text": ["c"], "title": []}}]), None,
     "lists of passages that differ in length, 1 of text, 0 of title"),
    (lines([{"id": "a", "ctxs": [["c"]]}]), None, "passage 1 is a list, where text, or an"),
    (json.dumps(REPLIES["Qdrant"](hits("a"))), None, 'for each question, {"id": ID, "pass'),
    (json.dumps({"took": 1, "responses": [{"hits": {}}]}), None, "does not say what was asked"),
    (json.dumps(chroma("a", "b")), None, "does not say what was asked: write a line for each"),
    (lines([{"id": "a", **chroma("a", "b")}]), None, "passage 1 is a list, where text, or an"),
    ('{"a": {"d1": 1, "d2": 0}}', "object", '"a" holds relevance judgements (qrels), not what'),
    (lines([{"id": 1.5, "ctxs": ["c"]}]), None, "the value 1.5 where an id (text or a number) is"),
    (GOOD + '{"id": 2 "q"}\n', None, "found, line 3, column 10: not valid JSON"),
]  # fmt: skip


@pytest.mark.parametrize(("passages", "corpus", "message"), BAD)
def test_bad_passages(join: Join, passages: str, corpus: str | None, message: str) -> None:
    with pytest.raises(DataError) as caught:
        survey(join(passages, corpus=corpus and CORPORA[corpus]))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_files(tmp_path: Path, join: Join) -> None:
    import gzip

    source = join(GOOD)
    (tmp_path / "found").write_bytes(trec().replace("bm25", "검색").encode("cp949"))
    with pytest.raises(DataError, match="found, line 1: not UTF-8 at byte 14"):
        survey(join_corpus(source, tmp_path))
    (tmp_path / "found").write_bytes(gzip.compress(GOOD.encode())[:-9])
    with pytest.raises(DataError, match=r"found can't be read: .*is it complete\?"):
        survey(source)
    (tmp_path / "found").unlink()
    with pytest.raises(DataError, match="found: no such file"):
        survey(source)
    (tmp_path / "found").mkdir()
    with pytest.raises(
        DataError, match="found: no single file to read the passages from; name one"
    ):
        survey(source)


def join_corpus(source: Source, folder: Path) -> Source:
    (folder / "corpus").write_text(CORPORA["object"])
    return Source(source.path, passages=source.passages, corpus=str(folder / "corpus"))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_passages(join: Join) -> None:
    def peak(count: int) -> int:
        text = "x" * 2000
        found = "".join(f'{{"id": "{n}", "ctxs": ["{text}{n}"]}}\n' for n in range(count))
        source = join(found, [{"id": n, "question": "q"} for n in range(count)])
        del found
        tracemalloc.start()
        try:
            assert sum(len(example.passages) for example in read_examples(source)) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    assert peak(2000) < peak(200) + 600_000  # the 1800 additional texts are 3.6 MB


@pytest.mark.slow
def test_korquad(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "korquad1/KorQuAD_v1.0_dev.json"
    own = list(read_examples(Source(str(path))))
    texts = list(dict.fromkeys(example.passages[0].text for example in own))
    numbers = {text: number for number, text in enumerate(texts)}
    (tmp_path / "corpus.jsonl").write_text(
        lines({"_id": number, "text": text} for text, number in numbers.items()), encoding="utf-8"
    )
    with (tmp_path / "run.trec").open("w") as run:
        for example in own:
            gold = numbers[example.passages[0].text]
            ranked = [(gold + step) % len(texts) for step in (1, 0, 2)]  # the gold one is second
            for rank, document in enumerate(ranked, 1):
                run.write(f"{example.id} Q0 {document} {rank} {-rank / 10} made-up\n")
    source = Source(
        str(path), passages=str(tmp_path / "run.trec"), corpus=str(tmp_path / "corpus.jsonl")
    )
    found = survey(source)
    assert (found.count, found.notes) == (5774, ())
    for before, after in zip(own, read_examples(source, found), strict=True):
        assert (after.id, after.answers, len(after.passages)) == (before.id, before.answers, 3)
        assert after.passages[1].text == before.passages[0].text
        assert (after.passages[1].rank, after.passages[1].score) == (2, -0.2)
        assert after.own_passages == before.passages
        assert after.gold_ids == ()  # we generated the passages' ids


@pytest.mark.slow
def test_nq_oracle(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "nq-oracle/nq-open-oracle.jsonl.gz"
    own = list(read_examples(Source(str(path))))
    assert {example.gold_ids for example in own} == {()}  # they are marked, but have no ids
    questions = [{"question": example.question} for example in own]
    (tmp_path / "questions.jsonl").write_text(lines(questions))
    source = Source(str(tmp_path / "questions.jsonl"), passages=str(path))
    found = survey(source)
    assert (found.count, found.generated_ids) == (2655, 2655)
    joined = list(read_examples(source, found))
    assert [e.passages for e in joined] == [e.passages for e in own]
    both = list(read_examples(Source(str(path), passages=str(path))))
    assert [e.own_passages for e in both] == [e.passages for e in own]
    assert {e.gold_ids for e in both} == {()}


def test_ids_of_other_questions(join: Join) -> None:
    """Ids that only look alike join nothing; rewordings of questions are counted."""
    texts = {"a": "Which town was it in 1874?", "b": "When was the town built?"}
    asked = [{"id": key, "question": text} for key, text in texts.items()]

    def found(first: str, second: str) -> str:
        rows = zip("ab", (first, second), strict=True)
        return lines({"id": key, "question": text, "ctxs": ["c"]} for key, text in rows)

    with pytest.raises(DataError, match='its id "a" is that of another question at found, line 1'):
        survey(join(found(texts["b"], texts["a"]), asked))
    with pytest.raises(DataError, match="give both files the same ids"):
        survey(join(found("Who painted it?", "How large?"), asked))
    reworded = found("town 1874, which was it", "when had they built the town")
    (note,) = survey(join(reworded, asked)).notes
    assert note == (
        "Questions that are worded differently in found: 2; they are joined by their ids."
    )
    assert survey(join(found("which TOWN was it in 1874", texts["b"]), asked)).notes == ()


RUNS = {
    "TREC, the same rank everywhere": "a Q0 d1 0 2.5 x\na Q0 d2 0 9.0 x\nb Q0 d3 0 7.0 x\n",
    "MS MARCO": "a\td2\t1\na\td1\t2\nb\td3\t1\n",
    "ColBERT": "a\td2\t1\t25.5\na\td1\t2\t24.0\nb\td3\t1\t20.0\n",
}
COLLECTIONS = {
    "pid, text": 'd1\tOne "quoted.\nd2\tTwo.\nd3\tThree.\n',
    "pid, text, title": 'd1\tOne "quoted.\tt\nd2\tTwo.\tt\nd3\tThree.\tt\n',
    "BEIR": lines(
        {"_id": f"d{n}", "title": "", "text": text}
         for n, text in ((1, 'One "quoted.'), (2, "Two."), (3, "Three."))
    ),
    "chunks of documents": lines(
        {"id": f"d{n}", "document_id": "D", "contents": text}
         for n, text in ((1, 'One "quoted.'), (2, "Two."), (3, "Three."))
    ),
}  # fmt: skip


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("collection", COLLECTIONS)
def test_runs_and_collections(join: Join, run: str, collection: str) -> None:
    first, second = read(join(RUNS[run], corpus=COLLECTIONS[collection]))
    assert [passage.text for passage in first.passages] == ["Two.", 'One "quoted.']
    assert [passage.text for passage in second.passages] == ["Three."]


def test_documents_of_one_id(join: Join) -> None:
    documents = [{"id": "d1", "text": "One."}, {"id": "d1", "text": "Two."}]
    documents += [{"id": f"d{n}", "text": "x"} for n in (2, 3)]
    message = r'line 1: the document "d1" appears again, with another text, at .*line 2; give each'
    with pytest.raises(DataError, match=message):
        survey(join(RUNS["MS MARCO"], corpus=lines(documents)))
    documents[1]["text"] = "One."  # a repeated document counts once
    assert read(join(RUNS["MS MARCO"], corpus=lines(documents)))[0].passages[1].text == "One."


def test_lists_of_ids_and_texts(join: Join) -> None:
    found = [{"id": q, "retrieved_ids": ["d1", "d2"], "retrieved_contents": ["One.", "Two."],
              "retrieved_scores": [2.5, 1.5]} for q in "ab"]  # fmt: skip
    (first, _) = read(join(lines(found)))
    assert [(p.id, p.text) for p in first.passages] == [("d1", "One."), ("d2", "Two.")]
    found[1]["retrieved_ids"] = ["d1"]
    with pytest.raises(DataError, match='1 ids in "retrieved_ids" for 2 passages'):
        survey(join(lines(found)))


def test_keys_may_be_questions_or_ids_with_spaces(join: Join) -> None:
    asked = [{"id": "a", "question": "Where is it?"}, {"id": "the b", "question": "When?"}]
    found = {"Where is it?": ["Here."], "the b": ["Now."]}
    first, second = read(join(json.dumps(found), asked))
    assert (first.passages[0].text, second.passages[0].text) == ("Here.", "Now.")


def test_a_corpus_of_texts_by_id(join: Join) -> None:
    texts = {f"d{number}": f"{number}." for number in (1, 2, 3)}
    first, _ = read(join(RUNS["MS MARCO"], corpus=json.dumps(texts)))
    assert [passage.text for passage in first.passages] == ["2.", "1."]
