"""Joining answers to questions of the data, and notes where this is uncertain."""

import json
from pathlib import Path
from typing import Any

import pytest
from calls import Call
from files import lines, write

from aqa.errors import DataError, UsageError
from aqa.evaluation.predictions import Fields, read_predictions
from aqa.runs.names import PREDICTIONS

IDS = ["a", "b", "c"]
ASKED = ["Who is the first?", "누가  둘째인가?", "Who is third?"]
RIGHT = {"a": "1", "b": "2", "c": "3"}


def read(path: Path, *words: str, questions: list[str] = ASKED) -> tuple[dict[str, Any], list[str]]:
    notes: list[str] = []
    found = read_predictions(path, IDS, questions, Fields.parse(words), notes.append)
    assert all(str(path) in note for note in notes)
    return {key: row.prediction for key, row in found.items()}, notes


JOINED: dict[str, tuple[list[Any], str]] = {
    "the column with the data's ids, not the first": (
        [{"id": f"row-{key}", "question_id": key, "pred": text} for key, text in RIGHT.items()],
        ""),
    "an id of a number, and one of its text": (
        [{"id": 7, "key": key, "pred": text} for key, text in RIGHT.items()], ""),
    "places from 0, in another order": (
        [{"doc_id": 2, "pred": "3"}, {"doc_id": 0, "pred": "1"}, {"doc_id": 1, "pred": "2"}],
        "its ids count from 0 to 2, so they are taken as positions"),
    "places from 1": ([{"index": f"{number}", "pred": str(number)} for number in (1, 2, 3)],
        "its ids count from 1 to 3"),
    "the order": ([{"pred": text} for text in "123"], "taken in the order of the data"),
    "questions in another order": (
        [{"question": ASKED[place], "pred": str(place + 1)} for place in (2, 0, 1)],
        "joined by their questions"),
    "questions of another spacing, case and Unicode form": (
        [{"id": 101, "question": "who is  the first?", "pred": "1"},
            {"id": 102, "question": "\u1102\u116e\u1100\u1161 둘째인가?", "pred": "2"},
            {"id": 103, "question": "Who is third?\n", "pred": "3"}], "joined by their questions"),
    "some questions of the data": ([{"query": ASKED[1], "pred": "2"}], "joined by their questions"),
    "prompts around the questions": (
        [{"prompt": f"Read. {question} Answer:", "pred": str(n)}
         for n, question in enumerate(ASKED, 1)], "taken in the order of the data"),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(JOINED))
def test_answers_come_to_their_questions(kind: str, tmp_path: Path) -> None:
    content, told = JOINED[kind]
    found, notes = read(write(tmp_path, "p.jsonl", lines(content)))
    assert found == {key: text for key, text in RIGHT.items() if key in found}
    assert len(found) == len(content)
    assert [told in note for note in notes] == [True] * bool(told)


TOLD_BY_IDS: dict[str, Any] = {
    "one system": {"m": RIGHT},
    "numbers of one system": {"m": {key: int(text) for key, text in RIGHT.items()}},
    "one system below each id": {key: {"gpt-6": text} for key, text in RIGHT.items()},
    "pairs with ids": [[key, text] for key, text in RIGHT.items()],
    "pairs with questions": [[q, text] for q, text in zip(ASKED, RIGHT.values(), strict=True)],
}


@pytest.mark.parametrize("kind", TOLD_BY_IDS)
def test_ids_of_the_data_tell_what_is_what(kind: str, tmp_path: Path) -> None:
    content = TOLD_BY_IDS[kind]
    assert read(write(tmp_path, "p.json", content))[0] == RIGHT
    if isinstance(content, list):
        assert read(write(tmp_path, "p.jsonl", lines(content)))[0] == RIGHT


def test_of_two_systems_in_a_document_one_is_named(tmp_path: Path) -> None:
    others = {key: f"not {text}" for key, text in RIGHT.items()}
    by_id = {key: {"m": RIGHT[key], "n": others[key]} for key in RIGHT}
    for content in ({"m": RIGHT, "n": others}, by_id):
        path = write(tmp_path, "p.json", content)
        with pytest.raises(DataError, match=r"several system \(m, n\).*-field system=m"):
            read(path)
        assert read(path, "system=n")[0] == others
    parts = {"m": {"a": "1"}, "n": {"b": "2", "c": "3"}}  # of one system, or of two?
    with pytest.raises(DataError, match="no answer among the columns a"):
        read(write(tmp_path, "p.json", parts))
    with pytest.raises(DataError, match="2 answers without scores"):
        read(write(tmp_path, "p.json", [["Paris", "Lyon"], ["Hamlet", "Lear"], ["x", "y"]]))


REFUSED: dict[str, tuple[list[Any], str]] = {
    "too few without ids": ([{"pred": "1"}], "1 answer without ids, but the data 3 examples"),
    "an order that is not the data's": (
        [{"question": ASKED[place], "id": 9, "pred": "x"} for place in (0, 0, 1)],
        'the id "9" appears a second time',
    ),
    "questions of the data in another order, and others": (
        [{"question": q, "pred": "x"} for q in (ASKED[1], ASKED[0], "Another?")],
        r'line 1: this answers another question than example 1 of the data \("Who is the first',
    ),
    "prompts in another order": (
        [{"prompt": f"Read: {ASKED[place]}", "pred": "x"} for place in (1, 2, 0)],
        "line 1: this answers another question than example 1",
    ),
    "places whose questions are others": (
        [
            {"doc_id": 0, "question": ASKED[1], "pred": "2"},
            {"doc_id": 1, "question": ASKED[0], "pred": "1"},
            {"doc_id": 2, "question": "Who?", "pred": "3"},
        ],
        "line 1: this answers another question than example 1",
    ),
}


@pytest.mark.parametrize("kind", list(REFUSED))
def test_what_can_not_be_joined_is_refused(kind: str, tmp_path: Path) -> None:
    content, told = REFUSED[kind]
    with pytest.raises(DataError, match=told):
        read(write(tmp_path, "p.jsonl", lines(content)))


def test_numbers_that_are_no_places_stay_ids(tmp_path: Path) -> None:
    for numbers in ((0, 1, 3), (5, 6, 7), (0, 1)):
        content = lines({"id": number, "pred": "x"} for number in numbers)
        assert list(read(write(tmp_path, "p.jsonl", content))[0]) == [str(n) for n in numbers]


def test_ids_that_are_not_those_of_the_data(call_aqa: Call, tmp_path: Path) -> None:
    data = [{"id": key, "question": "?", "answers": ["x"], "context": "x"} for key in IDS]
    write(tmp_path, "d.jsonl", lines(data))
    write(tmp_path, "p.json", {"x1": "x", "x2": "y"})
    told = call_aqa("evaluate", "p.json", "--data", "d.jsonl").stderr
    assert "no id of p.json is in the data: it has x1, x2; there are a, b, c" in told
    assert "name the column of its ids with --prediction-field id=COLUMN" in told


def test_answers_without_ids_are_scored_by_references_of_their_own(tmp_path: Path) -> None:
    notes: list[str] = []
    content = lines([{"predict": "x", "label": "y"}, {"predict": "z", "label": "z"}])
    path = write(tmp_path, "generated_predictions.jsonl", content)
    found = read_predictions(path, note=notes.append)
    assert [(row.id, row.prediction, row.answers) for row in found.values()] == [
        ("1", "x", ("y",)),
        ("2", "z", ("z",)),
    ]
    assert "numbered and scored by its own references" in notes[0]


REFERENCES: dict[str, tuple[dict[str, Any], tuple[str, ...] | None]] = {
    "ours": ({"answer": "a", "answers": ["b", "c"]}, ("b", "c")),
    "one of ours": ({"answer": "a", "answers": None}, ("a",)),
    "RAGAS": ({"ground_truth": "a"}, ("a",)),
    "of two names": ({"golden_answers": ["a"], "answer": "b"}, ("a",)),
    "a label that is a text": ({"label": "a"}, ("a",)),
    "a label that is a class": ({"label": 1}, None),
    "a label that is a verdict": ({"label": "PASS"}, None),
    "documents": ({"references": [{"id": 1}]}, None),
    "a verdict": ({"expected": True}, None),
    "unanswerable": ({"answers": {"text": [], "answer_start": []}}, ()),
    "none": ({"question": "?"}, None),
}


@pytest.mark.parametrize("kind", list(REFERENCES))
def test_references_beside_the_answer(kind: str, tmp_path: Path) -> None:
    columns, answers = REFERENCES[kind]
    path = write(tmp_path, "p.jsonl", lines([{"id": "q", "prediction": "x", **columns}]))
    row = read_predictions(path)["q"]
    assert (row.prediction, row.answers) == ("x", answers)


APART: dict[str, tuple[dict[str, Any], str]] = {
    "output and answer": ({"output": "x", "answer": "gold"}, "x"),
    "output and answers": ({"output": "x", "answers": ["gold", "too"]}, "x"),
    "answer and reference": ({"answer": "x", "reference": "gold"}, "x"),
    "answer and golden_answers": ({"answer": "x", "golden_answers": ["gold"]}, "x"),
    "prediction and response": ({"response": "so x", "prediction": "x"}, "x"),
    "a whole number of a table with gaps": ({"prediction": 12.0}, "12"),
    "a reply and the same taken out": ({"response": "x", "extracted_answer": "x"}, "x"),
    "two names, one text": ({"response": "x", "output": "x"}, "x"),
}


@pytest.mark.parametrize("kind", list(APART))
def test_an_answer_is_told_from_a_reference_by_name(kind: str, tmp_path: Path) -> None:
    columns, text = APART[kind]
    path = write(tmp_path, "p.jsonl", lines([{"id": "q", "question": "?", **columns}]))
    assert read_predictions(path)["q"].prediction == text


NOT_APART: dict[str, tuple[dict[str, Any], str]] = {
    "two names, two texts": (
        {"response": "x", "output": "y"},
        "response and output may both be the answer",
    ),
    "data": (
        {"question": "?", "context": "x", "answer": "y"},
        "no answer but what may be the reference",
    ),
    "data of SQuAD": (
        {"question": "?", "context": "x", "answers": {"text": ["y"], "answer_start": [1]}},
        "no answer but what may be the reference",
    ),
    "data with many answers": ({"answers": ["x", "y"]}, "no answer but what may be the reference"),
    "a text with a label": ({"text": "x", "label": "y"}, "no answer among the columns"),
    "a passage": ({"title": "x", "text": "y"}, "no answer among the columns"),
    "data of FiD": ({"question": "?", "target": "x", "ctxs": []}, "no answer among the columns"),
    "data of KILT": (
        {"input": "?", "output": [{"answer": "x"}, {"answer": "y"}]},
        "a question of KILT with its references",
    ),
}


@pytest.mark.parametrize("kind", list(NOT_APART))
def test_what_may_be_a_reference_is_not_taken_for_an_answer(kind: str, tmp_path: Path) -> None:
    columns, told = NOT_APART[kind]
    path = write(tmp_path, "p.jsonl", lines([{"id": "q", **columns}]))
    with pytest.raises(DataError, match=f"line 1: .*{told}"):
        read_predictions(path)


NAMED: dict[str, tuple[Any, list[str], dict[str, str]]] = {
    "a column": ([{"id": "a", "said": "x"}], ["answer=said"], {"a": "x"}),
    "against its usual meaning": ([{"id": "a", "prediction": "y", "raw": "x"}], ["answer=raw"],
        {"a": "x"}),
    "both": ([{"n": "a", "said": "x", "id": 5}], ["answer=said", "id=n"], {"a": "x"}),
    "a path": ([{"doc": {"key": "a"}, "out": [{"text": "x"}]}], ["id=doc.key", "answer=out.0.text"],
        {"a": "x"}),
    "a place from the end": ([{"id": "a", "messages": [{"content": "?"}, {"content": "x"}]}],
        ["answer=messages.-1.content"], {"a": "x"}),
    "the first that a file has": ([{"id": "a", "second": "x"}], ["answer=first", "answer=second"],
        {"a": "x"}),
    "what looks like data": ([{"id": "a", "context": "c", "answer": "x"}], ["answer=answer"],
        {"a": "x"}),
    "rows by a value": ([{"id": "a", "pred": "y", "seed": 1}, {"id": "a", "pred": "x", "seed": 2}],
        ["seed=2"], {"a": "x"}),
    "what a run of ours never needs": ({"a": {"predicted_answer": "x"}}, ["answer=said"],
        {"a": "x"}),
    "what a file by ids never needs": ({"a": "x"}, ["answer=said"], {"a": "x"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(NAMED))
def test_columns_that_are_named(kind: str, tmp_path: Path) -> None:
    content, words, expected = NAMED[kind]
    assert read(write(tmp_path, "p.json", content), *words)[0] == expected


@pytest.mark.parametrize("words", [["answer=nix"], ["id=nix"], ["nix=1"]])
def test_columns_that_are_not_there(words: list[str], tmp_path: Path) -> None:
    path = write(tmp_path, "p.csv", "id,pred\na,x\n")
    with pytest.raises(DataError, match=r"no column nix; .* id, pred|nix is no column"):
        read(path, *words)


@pytest.mark.parametrize("word", ["answer", "answer=", "=x", ""])
def test_words_that_name_no_column(word: str) -> None:
    with pytest.raises(UsageError, match="write answer=COLUMN, id=COLUMN, or COLUMN=VALUE"):
        Fields.parse([word])


def test_columns_are_named_on_the_command_line(call_aqa: Call, tmp_path: Path) -> None:
    data = [{"id": key, "question": "?", "answers": [RIGHT[key]], "context": "x"} for key in IDS]
    write(tmp_path, "d.jsonl", lines(data))
    write(tmp_path, "p.csv", "no,said\na,1\nb,2\nc,3\n")
    words = ["evaluate", "p.csv", "--data", "d.jsonl"]
    call_aqa(*words, code=1)
    words += ["--prediction-field", "id=no", "--prediction-field", "answer=said"]
    assert "100.00" in call_aqa(*words).stdout
    call_aqa(*words[:-1], "said", code=2)


LINES: dict[str, tuple[str, dict[str, str]]] = {
    "ids and answers": ("a\t1\nb\t2\nc\t3\n", RIGHT),
    "a tab in an answer": ("a\t1\nb\t2\t2\nc\t3\n", {**RIGHT, "b": "2\t2"}),
    "other ids": ("x\t1\ny\t2\nz\t3\n", {"x": "1", "y": "2", "z": "3"}),
    "answers with tabs": (
        "on e\tx\nt wo\ty\nth ree\tz\n",
        dict(zip(IDS, ["on e\tx", "t wo\ty", "th ree\tz"], strict=True)),
    ),
    "bare answers, one with a tab": ("1\n2\t2\n3\n", {**RIGHT, "b": "2\t2"}),
    "bare answers": ("1\n2\n3", RIGHT),
}


@pytest.mark.parametrize("kind", list(LINES))
def test_lines_of_plain_text(kind: str, tmp_path: Path) -> None:
    content, expected = LINES[kind]
    assert read(write(tmp_path, "p.txt", content))[0] == expected


def test_an_answer_that_was_broken_into_lines(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 3: no tab, where the other lines hold an id"):
        read(write(tmp_path, "p.txt", "a\t1\nb\t2\nand more\nc\t3\n"))


@pytest.mark.parametrize(
    "content",
    [
        lines({"id": key, "answers": [text]} for key, text in RIGHT.items()),
        lines({"id": key, "answers": {"text": [text]}} for key, text in RIGHT.items()),
        "id,answer\na,1\nb,2\nc,3\n",
    ],
)
def test_references_need_no_question(content: str, call_aqa: Call, tmp_path: Path) -> None:
    refs = "refs.csv" if content.startswith("id") else "refs.jsonl"
    write(tmp_path, refs, content)
    write(tmp_path, "p.json", RIGHT)
    done = call_aqa("evaluate", "p.json", "--data", refs, "--metrics", "em", "--json")
    assert json.loads(done.stdout)["systems"][0]["scores"]["em"]["value"] == 100.0
    # Both readers and judges need one.
    words = ["evaluate", "p.json", "--data", refs, "--metrics", "judge", "--dry-run"]
    assert 'the data has no question for "a"' in call_aqa(*words).stderr
    told = call_aqa("prompt-preview", "gpt4", "--data", refs).stderr
    assert "no question among the columns id, answer" in told


def test_references_need_an_id_or_a_question(call_aqa: Call, tmp_path: Path) -> None:
    write(tmp_path, "refs.jsonl", lines([{"answers": ["1"]}]))
    write(tmp_path, "p.json", ["1"])
    told = call_aqa("evaluate", "p.json", "--data", "refs.jsonl").stderr
    assert "refs.jsonl, line 1: no question among the columns answers; name the right one" in told


@pytest.mark.parametrize("ids", [["1", "2"], ["0001", "0002"], ["1.0", "2.0"]])
def test_numbers_in_other_digits_are_the_same_ids(ids: list[str], tmp_path: Path) -> None:
    for written in ("id,prediction\n2.0,b\n1.0,a\n", "id,prediction\n02,b\n01,a\n"):
        path = tmp_path / "p.csv"
        path.write_text(written)
        notes: list[str] = []
        found = read_predictions(path, ids, note=notes.append)
        assert {key: row.prediction for key, row in found.items()} == dict(
            zip(ids, "ab", strict=True)
        )
        assert ids == ["1.0", "2.0"] or "other digits" in notes[0]


def test_ids_that_the_data_lacks_stay_beside_those_in_other_digits(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("id,prediction\n01,a\n03,c\n02,b\n")
    found = read_predictions(path, ["1", "2"], ["Where?", "Who?"])
    assert {key: row.prediction for key, row in found.items()} == {"1": "a", "03": "c", "2": "b"}


def test_answers_to_other_questions_are_not_joined_by_their_order(tmp_path: Path) -> None:
    rows = [
        {
            "request": {"contents": [{"role": "user", "parts": [{"text": f"Answer: {question}"}]}]},
            "response": {"candidates": [{"content": {"parts": [{"text": "x"}]}}]},
        }
        for question in ("who?", "when?")
    ]
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match="this answers another question than example 1"):
        read_predictions(path, ["1", "2"], ["when?", "who?"])


def test_variants_are_not_chosen_by_their_scores(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("id,answer,exact_match,rank\nq1,a,1,1\nq1,b,0,2\n")
    with pytest.raises(DataError, match=r"several rank .*--prediction-field rank=1"):
        read_predictions(path, ["q1"])


def test_keys_may_be_questions(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text('{"Who  wrote it?": "Ann", "when?": "1874"}')
    found = read_predictions(path, ["1", "2"], ["When?", "Who wrote it?"])
    assert {key: row.prediction for key, row in found.items()} == {"2": "Ann", "1": "1874"}


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("id,question,answer,gpt4_answer", "answer and gpt4_answer may both be the answer"),
        ("id,질문,답변,GPT 답변", "답변 and GPT 답변 may both be"),
        ("id,question,answer,text", "answer and text may both be"),
        ("id,question,answer,raw_output", ""),
        ("id,question,answer,ground truth answer", ""),
        ("id,question,answer,sources", ""),
    ],
)
def test_the_reference_is_not_taken_for_the_answer(header: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(f"{header}\nq1,who?,Ann,Bo\n", encoding="utf-8")
    if told:
        with pytest.raises(DataError, match=f"line 2: {told}.*--prediction-field answer=COLUMN"):
            read_predictions(path, ["q1"])
    else:
        assert read_predictions(path, ["q1"])["q1"].prediction == "Ann"


def test_an_answer_of_two_texts_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text('{"q1": {"prediction": {"text": "It is Ann.", "answer": "Ann"}}}')
    with pytest.raises(DataError, match=r"an object with text, answer; name what to take"):
        read_predictions(path, ["q1"])
    path.write_text('{"q1": {"prediction": {"text": "Ann", "answer": "Ann", "score": 1.0}}}')
    assert read_predictions(path, ["q1"])["q1"].prediction == "Ann"


def test_a_folder_of_save_to_disk(tmp_path: Path) -> None:
    import pyarrow

    table = pyarrow.table({"id": ["q1"], "prediction": ["Ann"]})
    with pyarrow.ipc.new_stream(tmp_path / "data.arrow", table.schema) as file:
        file.write_table(table)
    state = {"_data_files": [{"filename": "data.arrow"}], "_split": None}
    (tmp_path / "state.json").write_text(json.dumps(state))
    assert read_predictions(tmp_path, ["q1"])["q1"].prediction == "Ann"


def test_the_column_with_most_ids_of_the_data_joins(tmp_path: Path) -> None:
    rows = [{"id": n, "question_id": str(n + 1), "prediction": f"p{n + 1}"} for n in range(4)]
    path = tmp_path / "p.json"
    path.write_text(json.dumps(rows))
    found = read_predictions(path, ["1", "2", "3", "4"])
    assert {key: row.prediction for key, row in found.items()} == {
        str(n): f"p{n}" for n in range(1, 5)
    }


@pytest.mark.parametrize("first", [0, 1])
def test_ids_that_count_from_another_number_are_refused(first: int, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps({str(n + first): "x" for n in range(4)}))
    ids = [str(n + 1 - first) for n in range(4)]
    with pytest.raises(DataError, match=f"its ids count from {first} to {first + 3}, and the data"):
        read_predictions(path, ids)
    assert len(read_predictions(path, [*ids, "9"])) == 4  # some may simply be missing


def test_an_id_of_another_question_is_refused(tmp_path: Path) -> None:
    rows = [{"id": n, "question": q, "prediction": "x"} for n, q in enumerate(["When?", "Who?"])]
    path = tmp_path / "p.json"
    path.write_text(json.dumps(rows))
    assert len(read_predictions(path, ["0", "1"], ["when?", "Who wrote it?"])) == 2
    with pytest.raises(DataError, match='its id "0" is that of another question in the data'):
        read_predictions(path, ["0", "1"], ["Who?", "When?"])


@pytest.mark.parametrize("name", ["p.json", PREDICTIONS])
def test_rows_without_a_question_ask_no_other_one(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(json.dumps({"0": {"predicted_answer": "x"}, "1": {"predicted_answer": "y"}}))
    found = read_predictions(path, ["0", "1"], ["Who?", ""])  # of the second only answers are known
    assert [row.prediction for row in found.values()] == ["x", "y"]


@pytest.mark.parametrize("last", [True, False])
def test_a_failed_try_beside_an_answer_does_not_count(last: bool, tmp_path: Path) -> None:
    tries = [{"id": "q1", "error": "timeout"}, {"id": "q1", "error": None, "prediction": "x"}]
    others = [{"id": "q2", "error": "timeout"}, {"id": "q2", "error": "quota"}]
    content = [*(tries if last else tries[::-1]), *others]
    path, notes = write(tmp_path, "p.jsonl", lines(content)), []
    found = read_predictions(path, note=notes.append)
    assert {key: (row.prediction, row.failed) for key, row in found.items()} == {
        "q1": ("x", False),
        "q2": (None, True),
    }
    assert "holds failed attempts, too" in notes[0]
    with pytest.raises(DataError, match=r'the id "q1" appears a second time'):
        read_predictions(write(tmp_path, "p.jsonl", lines([*content, tries[1]])))


def test_of_two_systems_that_fail_by_turns_none_is_taken(tmp_path: Path) -> None:
    said = {"a": {"prediction": "x"}, "b": {"error": "timeout"}}
    rows = [
        {"id": key, "model": model, **said["ab"[(key == "q2") != (model == "b")]]}
        for key in ("q1", "q2")
        for model in ("a", "b")
    ]
    with pytest.raises(DataError, match=r"several model \(a, b\)"):
        read_predictions(write(tmp_path, "p.jsonl", lines(rows)))
