import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from calls import Call
from files import write

from aqa.errors import DataError
from aqa.evaluation.predictions import AnsweredRow, read_predictions
from aqa.evaluation.predictions.answered_row import question_of

HEADER = '{"kind": "aqa-journal", "version": 1, "fingerprint": {}}\n'
TWO = [("q1", "서울", None), ("q2", "", None)]
SHAPES = {
    "text by id": ("a.json", '{"q1": "서울", "q2": ""}', TWO),
    "byte order mark": ("a.json", b"\xef\xbb\xbf" + '{"q1": "서울", "q2": ""}'.encode(), TWO),
    "rows": ("a.json",
        '[{"id": "q1", "prediction_text": "서울"}, {"id": "q2", "prediction_text": ""}]', TWO),
    "row by id": ("a.json",
        '{"q1": {"answer": "서울", "answers": ["서울", "Seoul"], "predicted_answer": "x"},'
         ' "q2": {"answer": null, "answers": [], "predicted_answer": ""}}',
        [("q1", "x", ("서울", "Seoul")), ("q2", "", ())]),
    "one gold answer": ("a.json",
        '{"q1": {"answer": "서울", "predicted_answer": "x"},'
         ' "q2": {"answer": "부산", "answers": null, "predicted_answer": "y"}}',
        [("q1", "x", ("서울",)), ("q2", "y", ("부산",))]),
    "lines of rows": ("a.jsonl",
        '{"id": "q1", "prediction_text": "서울"}\n\n{"id": "q2", "prediction_text": ""}\r\n', TWO),
    "rows over several lines": ("a.jsonl",
        '{\n"id": "q1",\n"prediction": "서울"\n}\n{\n"id": "q2",\n"prediction": ""\n}', TWO),
    "a list, named as lines": ("a.jsonl",
        '[{"id": "q1", "prediction": "서울"},\n{"id": "q2", "prediction": ""}]', TWO),
    "lines of old Macs": ("a.jsonl",
        '{"id": "q1", "prediction": "서울"}\r{"id": "q2", "prediction": ""}\r', TWO),
    "lines of rows, named json": ("a.json",
        '{"guid": "q1", "prediction": "서울"}\n{"guid": "q2", "prediction": ""}\n', TWO),
    "lines of rows, not named": ("a.out",
        '{"qid": "q1", "prediction": "서울"}\n{"qid": "q2", "prediction": ""}\n', TWO),
    "a single line, named json": ("a.json", '{"id": "q1", "prediction": "서울"}\n', TWO[:1]),
    "SQuAD's answers": ("a.json",
        '[{"id": 7, "prediction_text": "x", "answers": {"text": ["y"], "answer_start": [0]}}]',
        [("7", "x", ("y",))]),
    "no answer given": ("a.json", '{"q1": null}', [("q1", None, None)]),
    "rows beside the names of as many columns": ("a.json",
        '{"columns": ["id", "prediction"], "data":'
         ' [{"id": "q1", "prediction": "서울"}, {"id": "q2", "prediction": ""}]}', TWO),
    "packed": ("a.json.gz", gzip.compress('{"q1": "서울", "q2": ""}'.encode()), TWO),
    "packed lines of rows": ("a.jsonl.gz",
        gzip.compress(b'\xef\xbb\xbf{"id": "q1", "prediction": "x"}\n'), [("q1", "x", None)]),
    "a column of errors without one": ("a.json",
        '[{"id": "q1", "prediction": "서울", "error": ""},'
         ' {"id": "q2", "prediction": "", "error": false}]', TWO),
    "numbers": ("a.json", '{"q1": 1947, "q2": 5.5, "q3": "x"}',
        [("q1", "1947", None), ("q2", "5.5", None), ("q3", "x", None)]),
    "numbers in rows": ("a.json", '[{"id": "q1", "prediction_text": 5.5, "answers": [5, "five"]}]',
        [("q1", "5.5", ("5", "five"))]),
    "candidates of one question": ("a.json",
        '{"q1": [{"text": "서울", "score": 0.9, "index": 0}, {"text": "x", "score": 0, "index": 1}'
         '], "q2": ""}', TWO),
    "a question with candidates": ("a.json",
        '{"id": "q1", "question": "?", "prediction": "서울",'
        ' "candidates": [{"id": "c1", "text": "부산"}]}', TWO[:1]),
    "a question about all rows": ("a.json",
        '{"query": "How well?", "results": [{"id": "q1", "answer": "서울"},'
        ' {"id": "q2", "answer": ""}]}', TWO),
    "a question above responses": ("a.json",
        '{"question": "How well?", "predictions": [{"qid": "q1", "response": "서울"},'
        ' {"qid": "q2", "response": ""}]}', TWO),
    "Korean names": ("a.csv", "질문번호,질문,답변,예측값\nq1,?,x,서울\nq2,?,y,\n",
        [("q1", "서울", ("x",)), ("q2", "", ("y",))]),
    "a note below its name": ("a.json",
        '{"q1": "서울", "q2": "", "q3": [{"name": "x", "value": "y"}]}',
        [*TWO, ("q3", "y", None)]),
    "a list of one row by id": ("a.json",
        '{"q1": {"qid": "q1", "pred": "서울"}, "q2": [{"qid": "q2", "prediction": ""}]}', TWO),
    "lists of one text": ("a.json", '{"q1": ["서울"], "q2": []}', TWO),
    "texts in order": ("a.json", '["서울", ""]', TWO),
    "texts in order, a line each": ("a.jsonl", '"서울"\n""\n', TWO),
    "rows in order": ("a.json", '[{"prediction": "서울"}, {"prediction": ""}]', TWO),
    "plain lines": ("a.txt", "서울\n\n", TWO),
    "plain lines without a last end": ("a.txt", "서울\r\n[x]", [TWO[0], ("q2", "[x]", None)]),
    "plain lines that look like JSON": ("a.txt", "[서울\n\n", [("q1", "[서울", None), TWO[1]]),
    "a line separator within a text": ("a.jsonl", '{"id": "q1", "prediction_text": "서\u2028울"}',
        [("q1", "서\u2028울", None)]),
    "journal": ("predictions.jsonl",
        HEADER
         + '{"index": 0, "id": "q1", "predicted_answer": "x", "answers": ["서울"]}\n'
         + '{"index": 1, "id": "q2", "predicted_answer": "y", "answers": null}\n',
        [("q1", "x", ("서울",)), ("q2", "y", None)]),
    "journal cut off": ("predictions.jsonl",
        HEADER + '{"index": 0, "id": "q1", "predicted_answer": "서울"}\n{"index": 1, "id": "q',
        TWO[:1]),
    "journal with a second try": ("predictions.jsonl",
        HEADER
         + '{"index": 0, "id": "q1", "predicted_answer": null, "error": "time-out"}\n'
         + '{"index": 0, "id": "q1", "predicted_answer": "서울"}\n', TWO[:1]),
}  # fmt: skip


@pytest.mark.parametrize("shape", list(SHAPES))
def test_shapes(shape: str, tmp_path: Path) -> None:
    name, content, expected = SHAPES[shape]
    rows = read_predictions(write(tmp_path, name, content), ids=["q1", "q2"])
    assert [(row.id, row.prediction, row.answers) for row in rows.values()] == expected
    assert list(rows) == [row.id for row in rows.values()]
    assert not any(row.failed for row in rows.values())


def test_failures_and_other_columns(tmp_path: Path) -> None:
    content = (
        '{"q1": {"predicted_answer": null, "error": "time-out", "tokens": 3}, "q2": {"error": "x"}}'
    )
    rows = read_predictions(write(tmp_path, "a.json", content))
    assert rows["q1"] == AnsweredRow("q1", None, None, True, {"error": "time-out", "tokens": 3})
    assert rows["q2"].failed


def test_the_first_question_of_several_rows() -> None:
    columns: list[dict[str, Any]] = [{}, {"question": ""}, {"question": ["Who?"]}]
    rows = [None, *(AnsweredRow("q1", "a", metadata=row) for row in columns)]
    assert question_of(rows) == ""
    named = [AnsweredRow("q1", "a", metadata={"question": text}) for text in (1984, "Who?")]
    assert (question_of([*rows, *named]), question_of(named[1:])) == ("1984", "Who?")


def test_run_folder_gives_its_predictions_or_its_journal(tmp_path: Path) -> None:
    write(tmp_path, "predictions.jsonl", HEADER + '{"id": "q1", "predicted_answer": "journal"}\n')
    assert read_predictions(tmp_path)["q1"].prediction == "journal"
    write(tmp_path, "predictions.json", '{"q1": "whole"}')
    assert read_predictions(tmp_path)["q1"].prediction == "whole"


def test_folder_without_predictions(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is not a run folder: it holds no predictions\.json"):
        read_predictions(tmp_path)
    write(tmp_path, "samples_nq.jsonl", "{}")
    with pytest.raises(DataError, match=r"; name one of its files: samples_nq\.jsonl$"):
        read_predictions(tmp_path)


BROKEN = {
    "not JSON": ("a.json", '{"q1": "x",\n "q2": y}', r"a\.json, line 2, column 8: not valid JSON"),
    "cut off": ("a.json", '{"q1": "x",\n "q2": ', r"a\.json, line 2, .*it ends too early"),
    "cut off in a text": ("a.json", '{"q1": "x', r"a\.json, line 1, .*it ends too early"),
    "plain text named json": ("a.json", "Paris", r"a\.json, line 1, column 1: not valid JSON"),
    "a broken line": ("a.jsonl", '{"id": "q1", "prediction": "x"}\n{"id"', "line 2, column 6"),
    "a broken line of a journal": ("predictions.jsonl",
        HEADER + '{"id\n{"id": "q1", "predicted_answer": "x"}\n', "line 2, column 5"),
    "a broken last line of a journal, whole by its end": ("predictions.jsonl",
        HEADER + '{"id": "q1", "predicted_answer": "x"}\n{"id\n', "it ends too early"),
    "true": ("a.json", '{"q1": true}', "the answer is true or false"),
    "a list": ("a.json", '{"q1": ["x", "y"]}', 'id "q1": 2 answers without scores'),
    "an object": ("a.json", '{"q1": {"prediction": {"a": 1}}}', "the answer is an object with a"),
    "the same id in two rows": ("a.jsonl",
        '{"id": "q1", "prediction": "x"}\n{"id": "q1", "prediction": "y"}',
        'line 2: the id "q1" appears a second time'),
    "the same key twice": ("a.json", '{"q1": "x", "q1": "y"}', 'the key "q1" appears twice'),
    "the same column twice": ("a.jsonl", '{"id": "q1", "prediction": "x", "prediction": "y"}',
        'line 1, column 1: .*the key "prediction" appears twice'),
    "empty": ("a.json", "", "is empty"),
    "blank": ("a.txt", " \n\n", "is empty"),
    "no rows": ("a.json", "[]", "holds no predictions"),
    "no members": ("a.json", "{}", "holds no predictions"),
    "only a header": ("predictions.jsonl", HEADER, "holds no predictions"),
    "only a header, written again": ("a.jsonl", f'{{"id": 1, {HEADER[1:]}', "holds no predictions"),
    "only separators": ("a.jsonl", "\x1e\n", "holds no predictions"),
    "NaN": ("a.json", '{"q1": NaN, "q2": "x"}',
        'id "q1": the answer is NaN, which pandas makes of an empty cell'),
    "infinite": ("a.jsonl", '{"id": "q1", "prediction": -Infinity}', "the value -inf"),
    "a long number": ("a.json", '{"q1": 1' + "0" * 4300 + "}",
        "a number has more than 4,300 digits"),
    "not UTF-8": ("a.json", '{"q1":\n "서울"}'.encode("cp949"),
        "line 2: not UTF-8 at byte 9; save"),
    "UTF-16": ("a.txt", "서울".encode("utf-16"), "a.txt is UTF-16 text; save it"),
    "too deep": ("a.json", "[" * 100_000, "not valid JSON"),
    "a bare text": ("a.json", '"x"', "holds a text, where predictions by id are needed"),
    "too few texts": ("a.json", '["x"]', "holds 1 answer without ids, but the data 2 examples"),
    "no id": ("a.json", '[{"prediction": "x"}]', "holds 1 answer without ids, but the data 2"),
    "an id once": ("a.json", '[{"id": "q1", "prediction": "x"}, {"id": null, "prediction": "y"}]',
        "item 2: no id, where other rows have one"),
    "a list for an id": ("a.json", '[{"id": [], "prediction": "x"}]', "the id in id is a list"),
    "no prediction": ("a.json", '{"q1": {"answer": "x"}}',
        'id "q1": no answer but what may be the reference, among the columns answer; name it'),
    "references that are not texts": ("a.json",
        '{"q1": {"answers": [true], "predicted_answer": "x"}}',
        "true or false among the gold answers"),
    "too few lines": ("a.txt", "x\n", "holds 1 answer without ids, but the data 2 examples"),
    "packed and cut": ("a.json.gz", gzip.compress(b'{"q1": "x"}')[:-9], "be read: .*complete"),
    "packed and empty": ("a.json.gz", gzip.compress(b""), "is empty"),
    "a table without a name for its answers": ("a.csv", "id,said\nq1,x\n",
        r"a\.csv, line 2: no answer among the columns id, said; name the right one"),
    "a table with a row too long": ("a.csv", "id,pred\nq1,x,y\n", r"a\.csv, line 2: 3 cells where"),
    "half a surrogate pair": ("a.json", '{"q1": "\\ud800"}',
        "line 1, column 9: half of a surrogate pair"),
    "half a pair in a reference": ("a.json",
        '[{"id": "q1", "prediction": "\\ud83d\\ude00", "answers": ["\\uDE00"]}]',
        "line 1, column 58: half of a surrogate pair"),
    "half a pair in a column": ("a.jsonl",
        '{"id": "q1", "prediction": "x", "kind": {"a": "\\ud83d"}}',
        "line 1, column 48: half of a surrogate pair"),
}  # fmt: skip


@pytest.mark.parametrize("fault", list(BROKEN))
def test_broken_files_are_one_sentence(fault: str, tmp_path: Path) -> None:
    name, content, message = BROKEN[fault]
    with pytest.raises(DataError, match=message) as raised:
        read_predictions(write(tmp_path, name, content), ids=["q1", "q2"])
    assert str(tmp_path / name) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("fault", list(BROKEN))
def test_nothing_is_written_for_a_broken_file(fault: str, tmp_path: Path, call_aqa: Call) -> None:
    name, content, _ = BROKEN[fault]
    write(tmp_path, name, content)
    done = call_aqa("evaluate", name, "--per-example", "scores.jsonl", "--report", "report.html")
    assert (done.returncode, done.stdout) == (1, "")
    assert name in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.json can't be read: No such file"):
        read_predictions(tmp_path / "no.json")


def test_plain_lines_without_data(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="answers without ids; give the data with --data, in the same order"
    ):
        read_predictions(write(tmp_path, "a.txt", "x\ny\n"))


def test_many_rows_are_read_whole(tmp_path: Path) -> None:
    content = json.dumps({str(number): f"text {number}" for number in range(20_000)})
    rows = read_predictions(write(tmp_path, "a.json", content))
    assert len(rows) == 20_000
    assert rows["19999"].prediction == "text 19999"


@pytest.mark.slow
def test_many_rows_without_ids_take_no_longer(tmp_path: Path) -> None:
    ids, asked = zip(
        *((f"q{number}", f"Who is {number}?") for number in range(20_000)), strict=True
    )
    rows = [json.dumps({"question": question, "pred": "x"}) for question in reversed(asked)]
    found = read_predictions(write(tmp_path, "a.jsonl", "\n".join(rows)), ids, asked)
    assert list(found) == list(reversed(ids))


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"answers": ["No Answer Present."]}, ()),
        ({"answers": ["a plausible one"], "is_impossible": "True"}, ()),
        ({"answers": float("nan")}, None),
        ({"answer": {"value": "x", "aliases": ["y"]}}, ("x", "y")),
        ({"answers": ["x"], "answer_aliases": ["y"]}, ("x", "y")),
        ({"answers": "('x', 'y')"}, ("x", "y")),
        ({"answers": ["x"], "answerable": False}, ("x",)),  # a system's output may say so
    ],
)
def test_references_are_read_as_those_of_data(
    columns: dict[str, Any], expected: tuple[str, ...] | None, tmp_path: Path
) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps([{"id": "1", "prediction": "x", **columns}]))
    assert read_predictions(path)["1"].answers == expected


@pytest.mark.parametrize("nothing", [None, "", "None", "nan", "False", 0, [], float("nan")])
def test_an_error_column_may_say_that_there_is_none(nothing: Any, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps([{"id": "1", "prediction": "x", "error": nothing}]))
    assert read_predictions(path)["1"].prediction == "x"
    path.write_text(json.dumps([{"id": "1", "prediction": "x", "error": "timeout"}]))
    assert read_predictions(path)["1"].failed
