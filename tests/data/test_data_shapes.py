"""Data in the formats of other data sets and tools are read as intended, or explained."""

import gzip
import hashlib
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from data_shapes import ASKED, BUILT, BURNED, QUESTIONS_ALONE, ROW, SHAPES, WHEN, lines
from files import write

from aqa.config.in_memory_data import InMemoryData
from aqa.data import Source, read_examples, survey
from aqa.errors import DataError
from aqa.evaluation.predictions import read_predictions


def stored(folder: Path, name: str, content: Any) -> str:
    return str(write(folder, name, content))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape(tmp_path: Path, shape: str) -> None:
    name, content, expected = SHAPES[shape]
    source = Source(stored(tmp_path, name, content))
    examples = list(read_examples(source, survey(source)))
    assert len(examples) == len(expected)
    for example, (key, question, answers, passages, gold) in zip(examples, expected, strict=True):
        assert example.id == key or key is None
        assert (example.question, example.answers) == (question, answers)
        assert [(passage.title, passage.text) for passage in example.passages] == passages
        assert [passage.rank for passage in example.passages] == [*range(1, len(passages) + 1)]
        assert [passage.text for passage in example.own_passages] == gold


def test_the_target_is_the_answer_to_train_on(tmp_path: Path) -> None:
    (example,) = read_examples(Source(stored(tmp_path, *SHAPES["FiD"][:2])))
    assert example.target == "1874"


@pytest.mark.parametrize("shape", QUESTIONS_ALONE)
def test_questions_without_passages(tmp_path: Path, shape: str) -> None:
    """A reader can't use them, but their references can be scored against."""
    name, content, answers = QUESTIONS_ALONE[shape]
    path = stored(tmp_path, name, content)
    with pytest.raises(DataError, match=r"no passages among .*(--passages|--corpus)"):
        survey(Source(path))
    (example,) = read_examples(Source(path, needs_passages=False))
    assert (example.question, example.answers) == (WHEN, answers)


def test_stories_and_their_questions(tmp_path: Path) -> None:
    summaries = stored(tmp_path, "s.csv", f"document_id,set,summary\nd1,test,{BUILT}\n")
    path = stored(tmp_path, *QUESTIONS_ALONE["NarrativeQA"][:2])
    (example,) = read_examples(Source(path, corpus=summaries))
    assert (example.passages[0].text, example.answers) == (BUILT, ("1874", "in 1874"))


def test_a_table_needs_the_names_of_its_columns(tmp_path: Path) -> None:
    path = stored(tmp_path, "queries.tsv", f"1\t{WHEN}\n2\tWho?\n")
    with pytest.raises(DataError, match="put a line with the columns' names before the first"):
        survey(Source(path))


@pytest.mark.parametrize("cells", [["p", "q"], [["p"], ["q"]], [["p", "q"], ["r", "s"]]])
def test_columns_may_have_the_names_of_a_split_table(cells: list[Any], tmp_path: Path) -> None:
    own = {"columns": ["x", "y"], "data": cells}
    passages = {"text": [BUILT, BURNED], **own}
    table = {"question": [WHEN, "Who?"], "ctxs": [passages, passages], **own}
    path = stored(tmp_path, "table.json", table)
    for source in (Source(path), Source(InMemoryData(table))):
        examples = list(read_examples(source))
        assert [example.question for example in examples] == [WHEN, "Who?"]
        for example in examples:
            assert [passage.text for passage in example.passages] == [BUILT, BURNED]


@pytest.mark.slow
def test_a_split_table_is_read_row_by_row(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        rows = [[f"q{number}", "x" * 2000] for number in range(count)]
        table = {"columns": ["question", "context"], "index": [*range(count)], "data": rows}
        source = Source(stored(tmp_path, f"{count}.json", table))
        del rows, table
        tracemalloc.start()
        try:
            assert sum(1 for _ in read_examples(source)) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(4000) < peak(800) + 3_000_000  # the 3200 additional texts are 6.4 MB


def test_a_question_about_a_table_is_no_table(tmp_path: Path) -> None:
    row = {"question": WHEN, "context": BUILT, "columns": ["year"], "data": [["1874"]]}
    path = stored(tmp_path, "one.json", row)
    for source in (Source(path), Source(InMemoryData(row))):
        (example,) = read_examples(source)
        assert (example.question, example.passages[0].text) == (WHEN, BUILT)


def test_options_within_the_question_are_fine(tmp_path: Path) -> None:
    row = {"id": "1", "question": f"{WHEN} A: 1874 B: 1900", "context": BUILT, "answer": "A"}
    path = stored(tmp_path, "f.json", [{**row, "options": ["1874", "1900"]}])
    assert next(read_examples(Source(path))).answers == ("A",)
    path = stored(tmp_path, "g.json", [{"query": row.pop("question"), **row, "options": ["1874"]}])
    assert next(read_examples(Source(path))).answers == ("A",)


@pytest.mark.parametrize(
    "beside",
    [
        {"candidates": ["It opened in 1874.", "It burned."]},
        {"options": {"lang": "ko", "level": 3}},
        {"options": ["1874", "1900"], "answer": "1874"},
        {"answers": ["1874", "in 1874", "year 1874"], "label": 5},
    ],
)
def test_other_columns_are_no_options(tmp_path: Path, beside: dict[str, Any]) -> None:
    path = stored(tmp_path, "f.json", [{**ASKED, **beside}])
    assert next(read_examples(Source(path))).question == WHEN


def test_named_columns_stay(tmp_path: Path) -> None:
    forms = {**ASKED, "answers": ["1874", "in 1874", "year 1874"], "label": 1}
    path = stored(tmp_path, "f.json", [forms])
    (example,) = read_examples(Source(path, fields={"answers": "answers"}))
    assert example.answers == ("1874", "in 1874", "year 1874")
    path = stored(tmp_path, *SHAPES["BioASQ"][:2])
    source = Source(path, fields={"answers": "ideal_answer"}, on_duplicate_id="number")
    assert next(read_examples(source)).answers == ("x",)
    path = stored(tmp_path, "a.json", [{**ROW, "annotations": [], "nq_answer": ["1874"]}])
    source = Source(path, fields={"answers": "nq_answer"}, needs_passages=False)
    assert next(read_examples(source)).answers == ("1874",)


HELPED: list[tuple[str, Any, str]] = [
    ("chat", lines({"messages": [{"role": "user", "content": "q"}]}),
        "these are chats, whose pass"),
    ("Alpaca", lines({"instruction": "Answer.", "input": "x", "output": "y"}),
        "these are instruct"),
    ("KILT", lines({"id": "1", "input": "q", "output": [{"provenance": [{"title": "t"}]}]}),
        "this is KILT, which names pages"),
    ("FlashRAG", lines({"id": "1", "question": "q", "golden_answers": ["a"]}), "this is FlashRAG"),
    ("TriviaQA",
        {"Data": [{"Question": "q", "QuestionId": "1", "QuestionSource": "s",
            "Answer": {"Value": "a"}, "EntityPages": [], "SearchResults": []}]},
        "this is TriviaQA, whose evidence is in separate files"),
    ("BEIR's queries", lines({"_id": "1", "text": "q", "metadata": {}}), "--field question=text"),
    ("two kinds", lines({**ROW, "context": "c", "answers": ["a"], "answer": "b"}),
        '"answers" and "answer" hold different answers; name the column'),
    ("no answer and one", lines({**ROW, "context": "c", "answers": [], "answer": "b"}),
        '"answers" and "answer" hold different answers; name the column'),
    ("a paragraph without a context",
        {"data": [{"title": "t", "paragraphs": [{"text": "c", "qas": [ROW]}]}]},
        'paragraph 1: no "context" among its members text, qas'),
    ("CRAG", lines({"query": "q", "answer": "a", "search_results": [{"page_result": "x"}]}),
        "no passages among the columns query, answer, search_results; name the right one"),
    ("one question in each row", lines({"questions": "q", "contexts": ["x"], "answers": "a"}),
        "name the right one with --field question=NAME"),
    ("CoQA",
        {"data": [{"story": "x", "questions": [{"input_text": "q"}], "answers": [{"a": "b"}]}]},
        "whose questions build on earlier ones"),
    ("CoQA of the hub",
        lines({"story": BUILT, "questions": ["q"], "answers": {"input_text": ["a"]}}),
        "this is a conversation (CoQA, QuAC)"),
    ("DROP of the hub, two spans",
        lines({**ROW, "passage": BUILT, "answers_spans": {"spans": ["a", "b"], "types": []}}),
        "this is the hub's version of DROP, which mixes up the parts of one answer"),
    ("RACE",
        lines({"article": BUILT, "question": WHEN, "options": ["1874", "1900"], "answer": "A"}),
        "this is a multiple-choice question"),
    ("RACE as published",
        {"article": BUILT, "questions": [WHEN], "options": [["1874", "1900"]], "answers": ["A"]},
        "this is a multiple-choice question"),
    ("ReClor", [{**ROW, "context": BUILT, "answers": ["a", "b", "c", "d"], "label": 1}],
        "this is like a multiple-choice question (ReClor, QuAIL), with options for answers"),
    ("ReClor without labels", lines({**ASKED, "answers": ["a", "b", "c"], "id_string": "test_0"}),
        "this is like a multiple-choice question (ReClor, QuAIL), with options for answers"),
    ("ReClor in a table", f"context\tquestion\tanswers\tlabel\n{BUILT}\tq\t['a', 'b', 'c']\t1\n",
        "this is like a multiple-choice question (ReClor, QuAIL), with options for answers"),
    ("RACE without answers", lines({**ASKED, "options": ["1874", "1900"]}),
        "this is like a multiple-choice question without its answer: write the options into"),
    ("CommonsenseQA without answers",
        lines({**ASKED, "choices": {"text": ["1874", "1900"]}, "answerKey": ""}),
        "or, if they are something else, say so with --field question=NAME"),
    ("KMMLU without answers",
        lines({**ASKED, "A": "1874", "B": "1900", "C": "1910", "D": "1920"}),
        "this is like a multiple-choice question without its answer"),
    ("AI Hub", {"sourceDataInfo": {"newsTitle": "t"}, "labeledDataInfo": {"qas": [ROW]}},
        "f.json, line 1: this is a file about one document (AI Hub): write the questions of all"),
    ("AI Hub, questions beside", {"source_data_info": {"id": 1}, "qas": [ROW]},
        "f.json, line 1: this is a file about one document (AI Hub): write the questions of all"),
    ("parts of one row", {"info": {"title": "t"}, "label": {"question": "q", "answer": "a"}},
        "f.json, line 1: no question among the columns info, label; name the right one with --field"
        " question=label.question"),
    ("QuAIL", lines({**ASKED, "answers": ["a", "b", "c"], "correct_answer_id": 2}),
        "say so with --field answers=answers"),
    ("candidates", lines({**ASKED, "candidates": ["1874", "1900"], "label": 0}),
        "this is a multiple-choice question"),
    ("the letter in a list", lines({**ASKED, "options": ["1874", "1900"], "answer": ["A"]}),
        "this is a multiple-choice question"),
    ("ARES", "Query\tDocument\tAnswer\tAnswer_Relevance_Label\nq\tIt is.\ta\t0\n",
        "keep those whose Answer_Relevance_Label is 1"),
    ("TopiOCQA",
        [{"Conversation_no": 1, "Turn_no": 2, "Question": "q", "Context": ["Who?", "Ann."]}],
        "this is a conversation (CoQA, QuAC)"),
    ("QAMPARI of ALCE", [{**ASKED, "answers": [["1874", "in 1874"], ["1910"]]}],
        'if all of them are needed (QAMPARI), write each complete answer as one text, ["Ann, Bo"]'),
    ("ConditionalQA", [{**ASKED, "answers": [["yes", ["<p>if</p>"]]]}],
        "a list within the list of gold answers"),
    ("CosmosQA", lines({**ROW, "context": BUILT, "answer0": "1874", "answer1": "1900", "label": 0}),
        "this is a multiple-choice question"),
    ("Social IQA",
        lines({**ROW, "context": BUILT, "answerA": "1874", "answerB": "1900", "label": "1"}),
        "this is a multiple-choice question"),
    ("LongBench 2",
        lines({**ROW, "context": BUILT, "choice_A": "1874", "choice_B": "1900", "answer": "A"}),
        "this is a multiple-choice question"),
    ("HAE-RAE", lines({**ROW, "context": BUILT, "options": ["1874", "1900"], "answer": "(A)"}),
        "this is a multiple-choice question"),
    ("numbers of options in Korean",
        lines({**ROW, "context": BUILT, "보기1": "1874", "보기2": "1900", "정답": "②"}),
        "this is a multiple-choice question"),
    ("options in a list in Korean",
        lines({**ROW, "context": BUILT, "선택지": ["1874", "1900"], "정답": 1}),
        "this is a multiple-choice question"),
    ("the letter under another name",
        lines({**ROW, "context": BUILT, "options": ["1874", "1900"], "correct_answer": "B"}),
        "this is a multiple-choice question"),
    ("Prodigy", lines({**ROW, "text": BUILT, "_task_hash": 1, "spans": [], "answer": "accept"}),
        'this is Prodigy\'s annotations, whose "answer" says whether they are right; write'),
    ("AmbigQA of the hub",
        lines({**ROW, "annotations": {"type": ["x"], "answer": [["1874"]], "qaPairs": [[]]}}),
        "this is AmbigQA, with answers"),
    ("a corpus", lines({"docid": "1", "text": BUILT}), "this looks like a corpus, or what a ret"),
    ("Self-RAG's instructions", lines({"id": 1, "instruction": WHEN, "ctxs": [BUILT]}),
        "such as --field question=instruction"),
    ("QuALITY",
        lines({"article": BUILT,
            "questions": [{**ROW, "options": ["1874", "1900"], "gold_label": 1}]}),
        "this is a multiple-choice question"),
    ("WikiQA", lines({"question": "q", "answer": "a", "label": 0}),
        "this is a candidate answer that a label calls right or wrong"),
    ("COPA of KoBEST",
        lines({"premise": "p", "question": "q", "alternative_1": "a", "alternative_2": "b",
               "label": 0}),
        "this is a multiple-choice question"),
    ("MultiRC",
        lines({"idx": 0, "passage": {"text": BUILT, "questions": [{**ROW, "answers": []}]}}),
        "this is MultiRC"),
    ("TyDi QA",
        lines({"passage_answer_candidates": {}, "question_text": "q", "document_plaintext": "x"}),
        "this is TyDi QA's primary task, with answers by bytes: give its gold passage task"),
    ("QASPER", {"1909": {"title": "t", "full_text": [], "qas": [ROW]}}, "this is QASPER, whose"),
    ("ReCoRD",
        {"data": [{"passage": {"text": BUILT}, "qas": [{"query": "@placeholder", "id": "1"}]}]},
        "this is ReCoRD, whose queries"),
    ("AmbigQA", [{**ROW, "annotations": [], "nq_answer": ["a"]}], "this is AmbigQA, with answers"),
    ("ASQA", lines({"ambiguous_question": WHEN, "qa_pairs": []}), "this is ASQA, with answers"),
    ("ASQA's splits", {"dev": {"-1": {"ambiguous_question": WHEN}}}, "these are splits: write"),
    ("MKQA", lines({"query": "q", "queries": {}, "answers": {"en": []}}), "this is MKQA, with all"),
    ("predictions", {"predictions": [ROW]}, "these are answers: score them with `aqa eval"),
    ("half of Natural Questions",
        lines({"document_text": 3, "long_answer_candidates": [], "question_text": "q"}),
        "); rename its columns if it is not one, or give the file as published"),
    ("no question", lines({**ROW, "question": None, "context": "c"}), '"question" is empty'),
    ("splits", {"train": [ROW], "dev": [ROW]}, "these are splits: write each into its own file"),
    ("nan as a text", '[{"question": "nan", "context": "c"}]',
        '"question" is empty; each example needs a question'),
    ("nan as a passage", lines({**ROW, "context": "nan"}),
        '"context" is empty; each example needs a question'),
    ("a list of documents, as they print",
        [{**ROW, "contexts": ["Document(page_content='x')", "Document(page_content='y')"]}],
        "is an object as Python prints it; write its text, such as document.page_content"),
    ("two columns of passages",
        [{**ROW, "answer": "a", "quotes": [{"text": BUILT}], "found": [{"text": BURNED}]}],
        "quotes and found may both hold passages; name the right one"),
    ("documents of LangChain, as they print",
        lines({**ROW, "contexts": "[Document(page_content='x')]"}),
        "can't be read as a list or an object; write it as JSON"),
    ("a flag", lines({**ROW, "context": "c", "is_impossible": "maybe"}),
        '"is_impossible" is "maybe", where true or false is needed'),
    ("ranks", lines({**ROW, "ctxs": [{"text": "a", "rank": 1}, {"text": "b", "rank": 3}]}),
        "its passages have the ranks 1, 3; number them"),
    ("ranks", lines({**ROW, "ctxs": [{"text": "a", "rank": 1}, {"text": "b"}]}),
        "its passages have the ranks 1, none; number them"),
    ("names of documents", lines({**ROW, "documents": ["d1", "https://x.org/y"]}),
        'line 1: "d1" names a document, where its text is needed; give the texts, or the ret'),
    ("names of files", lines({**ROW, "context": "docs/a.txt"}),
        'line 1: "docs/a.txt" names a document, where its text is needed; give the texts, or'),
    ("gold passages of two kinds",
        lines({**ROW, "ctxs": [{"id": 1, "text": "a", "is_gold": 1}, "b"], "gold_ids": [2]}),
        "its passages marked as gold have the ids 1, but it lists 2 as gold; leave the wrong ones"),
    ("keys", '{"question": "q", "context": "c", "question": "r"}',
        'the key "question" appears twice'),
    ("half", '[{"question": "\\ud83d", "context": "c"}]', "half of a surrogate pair"),
    ("digits", '{"question": "q", "id": 1' + "0" * 5000 + "}", "more than 4,300 digits"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), HELPED)
def test_what_is_refused(tmp_path: Path, name: str, content: Any, message: str) -> None:
    suffix = "tsv" if isinstance(content, str) and "\t" in content else "json"
    with pytest.raises(DataError) as caught:
        survey(Source(stored(tmp_path, f"f.{suffix}", content)))
    assert message in str(caught.value)


def test_large_numbers_are_ids(tmp_path: Path) -> None:
    row = {**ROW, "id": 2**70, "context": "c"}
    for name, content in (("f.json", [row]), ("f.jsonl", lines(row, {**row, "id": 1}))):
        first, *_ = read_examples(Source(stored(tmp_path, name, content)))
        assert first.id == str(2**70)


def test_documents_are_read_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The result is the same wherever a chunk ends: inside numbers, escapes or words."""
    rows = [
        {
            "id": -1234567890,
            "question": 'q\ud83d\ude00\\"',
            "context": "c" * 50,
            "score": -1.5e-7,
            "answers": [],
            "flag": None,
            "other": [True, False, {}, [], 0.25],
        },
        {
            "id": "한",
            "question": "한글",
            "context": "\n",
            "answers": ["a"],
            "more": {"a": {"b": 1e22}},
        },
    ]
    rows[1]["context"] = "line\nline"
    whole = json.dumps({"version": 1.0, "data": rows})
    path = stored(tmp_path, "f.json", whole)
    expected = list(read_examples(Source(path)))
    assert expected[0].metadata["score"] == -1.5e-7
    for size in (1, 2, 3, 7, 20):
        monkeypatch.setattr("aqa.data.json_scanner.CHUNK", size)
        assert list(read_examples(Source(path))) == expected


def test_fields_may_be_called_as_columns_are(tmp_path: Path) -> None:
    path = stored(tmp_path, "f.json", [{"Q": WHEN, "Tweet": BUILT, "A": "1874"}])
    fields = {"Query": "Q", "context": "Tweet", "answer": "A"}
    (example,) = read_examples(Source(path, fields=fields))
    assert (example.question, example.answers) == (WHEN, ("1874",))
    with pytest.raises(DataError, match="two columns are named for the field passages"):
        survey(Source(path, fields={"context": "Tweet", "passages": "Q"}))


def test_names_and_ids_are_compared_as_they_look(tmp_path: Path) -> None:
    import unicodedata

    def decomposed(text: str) -> str:
        return unicodedata.normalize("NFD", text)

    path = stored(tmp_path, "f.csv", decomposed("번호,물음,글\n질문1,언제?,1874년에 지었다.\n"))
    fields = {"id": "번호", "question": "물음", "passages": "글"}
    (example,) = read_examples(Source(path, fields=fields))
    assert (example.id, example.question) == ("질문1", decomposed("언제?"))
    found = stored(tmp_path, "p.jsonl", decomposed(lines({"id": "질문1", "ctxs": [BUILT]})))
    joined = Source(path, fields=fields, passages=found)
    assert next(read_examples(joined)).passages[0].text == BUILT


def test_a_title_can_be_named_in_articles(tmp_path: Path) -> None:
    paragraph = {"context": BUILT, "qas": [{"id": "q1", "question": WHEN, "answers": []}]}
    path = stored(tmp_path, "f.json", {"data": [{"name": "Mill", "paragraphs": [paragraph]}]})
    (example,) = read_examples(Source(path, fields={"title": "name"}))
    assert example.passages[0].title == "Mill"


def test_a_title_named_for_several_passages_is_told(tmp_path: Path) -> None:
    rows = [
        {**ASKED, "context": None, "passages": count * [BUILT], "name": "A mill"}
        for count in (1, 2)
    ]
    path = stored(tmp_path, "f.json", rows)
    source = Source(path, fields={"title": "name"}, on_duplicate_id="number")
    (note,) = [note for note in survey(source).notes if "title=NAME" in note]
    assert note.startswith("Examples with several passages: 1; the title named with --field")


def test_what_is_no_answer_is_told(tmp_path: Path) -> None:
    rows = [
        {**ROW, "context": BUILT, "answers": ["No Answer Present."]},
        {**ROW, "id": "q2", "context": BURNED, "answers": "nan"},
    ]
    phrases, missing, unlabelled = survey(Source(stored(tmp_path, "f.json", rows))).notes
    assert phrases.startswith("Examples whose references say that there is no answer: 1; they")
    assert missing.startswith('Examples whose only reference is "nan", "null" or another mark')
    assert unlabelled == "Examples without a reference: 1 of 2."


def test_predictions_are_joined_by_ids_as_they_look(tmp_path: Path) -> None:
    import unicodedata

    path = stored(tmp_path, "p.json", {unicodedata.normalize("NFD", "질문1"): "1874"})
    assert list(read_predictions(Path(path), ["질문1"])) == ["질문1"]
    rows = lines({"id": unicodedata.normalize("NFD", "질문1"), "prediction": "1874"})
    path = stored(tmp_path, "p.jsonl", rows)
    assert list(read_predictions(Path(path), ["질문1"])) == ["질문1"]


def run_with_input(content: bytes) -> subprocess.CompletedProcess[bytes]:
    code = "import sys; from aqa.data import *; s = Source('-'); f = survey(s);"
    code += "print(f.sha256, [(e.question, e.place) for e in read_examples(s, f)])"
    return subprocess.run([sys.executable, "-c", code], input=content, capture_output=True)


def test_standard_input_is_read_more_than_once() -> None:
    content = lines(ROW | {"context": BUILT}).encode()
    for given in (content, gzip.compress(content)):
        done = run_with_input(given)
        assert done.returncode == 0, done.stderr
        assert f"[('{WHEN}', 'standard input, line 1')]".encode() in done.stdout
        assert hashlib.sha256(given).hexdigest().encode() in done.stdout
    assert b"DataError: standard input is empty" in run_with_input(b"").stderr
