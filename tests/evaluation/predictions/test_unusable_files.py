"""Files given by mistake are recognised, with advice what to do."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import re
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest
from files import write

from aqa.errors import DataError
from aqa.evaluation.predictions import NamedPredictions, read_predictions


def archive(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        for name in names:
            opened.writestr(name, "x")
    return file.getvalue()


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as opened:
        opened.addfile(tarfile.TarInfo("predictions.json"))
    return file.getvalue()


def numpy_file() -> bytes:
    file = io.BytesIO()
    numpy.save(file, numpy.zeros((2, 2)))
    return file.getvalue()


UNUSABLE: dict[str, tuple[str, Any, str]] = {
    "null odds": ("null_odds.json", {"q1": -3.5, "q2": 1.0},
        "numbers by id, such as null_odds.json"),
    "scores of Hugging Face": ("all_results.json",
        {"epoch": 2.0, "eval_exact_match": 81.2, "eval_f1": 88.0, "eval_samples": 10},
        "scores of another tool"),
    "scores of SQuAD": ("scores.json",
        {"exact": 81.2, "f1": 88.0, "total": 10, "HasAns_exact": 1.0}, "scores of another tool"),
    "two lists of answers": ("p.json",
        {"predictions": [{"id": "q1", "prediction": "a"}],
         "more": [{"id": "q2", "prediction": "b"}]},
        'has answers under "predictions" and under "more"; write those to be scored into'),
    "two dictionaries of answers": ("p.json",
        {"model": "m", "predictions": {"q1": "a", "q2": "b"}, "outputs": {"q1": "c", "q2": "d"}},
        'has answers under "predictions" and under "outputs"; write those to be scored into'),
    "a question with candidates": ("p.json",
        {"question": "Who?", "candidates": [{"id": "c1", "text": "Ann"}]},
        "no answer among the columns question, candidates"),
    "Korean data": ("d.json", [{"번호": 1, "질문": "Who?", "지문": "Ann wrote it.", "답변": "Ann"}],
        "no answer but what may be the reference, among the columns"),
    "scores of our own": ("m.json", {"version": 1, "profile": "squad", "n": 1, "systems": []},
        "scores of `aqa evaluate`, where predictions are needed; give the files that were scored"),
    "lm-eval's scores": ("results.json",
        {"results": {"squad": {"f1,none": 0.5}}, "configs": {}, "n-shot": {"squad": 0}},
        "lm-eval's scores, .*--log_samples"),
    "a trainer's state": ("trainer_state.json", {"log_history": [{"loss": 1.0}], "global_step": 3},
        "the log of a training"),
    "a trainer's log": ("trainer_log.jsonl",
        '{"current_steps": 1, "loss": 0.5}\n{"current_steps": 2, "loss": 0.4}\n',
        "line 1: this is a step of a training's log"),
    "SQuAD's questions": ("dev.json",
        {"version": "1.1", "data": [{"title": "x", "paragraphs": []}]},
        "questions in SQuAD's shape, .*give it as --data"),
    "a batch's requests": ("requests.jsonl",
        '{"custom_id": "q1", "method": "POST", "url": "/v1/chat/completions", "body": {}}\n',
        "a request of the Batch API, .*output_file_id"),
    "spans of Natural Questions": ("nq.json",
        {"predictions": [{"example_id": 1, "short_answers": [{"start_token": 1, "end_token": 2}]}]},
        "an answer of Natural Questions as positions of tokens"),
    "places in a text": ("p.json", {"q1": {"start": 1, "end": 3}, "q2": {"start": 0, "end": 2}},
        'id "q1": no answer among the columns start, end'),
    "simple-evals": ("s.json",
        {"score": 0.8, "metrics": {}, "htmls": ["<p>"],
            "convos": [[{"role": "assistant", "content": "Paris"}]], "metadata": None},
        "conversations of simple-evals, .*write the last turn of each with its id"),
    "replies as Python prints them": ("p.json",
        {"q1": "content='Paris' additional_kwargs={} id='x'",
            "q2": "ChatCompletion(id='x', choices=[Choice(index=0)])"},
        'id "q1": the answer "content=.*as Python prints it; write its text, such as reply'),
    "a table without names": ("p.csv", "q1,Who wrote it?,Ann\nq2,Who else?,Bo\n",
        "line 2: no answer among the columns; put a line with the columns' names before"),
    "a numbered list": ("p.txt", "1. Paris\n2. Rome\n", "its lines are numbered, 1, 2 and so on"),
    "a numbered list from 0": ("p.txt", "[0] Paris\n[1]\n", "lines are numbered, 0, 1 and so on"),
    "likelihoods of lm-eval": ("samples.jsonl",
        '{"doc": {"id": "q1"}, "filtered_resps": [[-1.5, false], [-2.5, true]]}',
        "likelihoods of choices, .*generate_until"),
    "HELM's scores": ("per_instance_stats.json",
        [{"instance_id": "id1", "train_trial_index": 0, "stats": [{"count": 1}]}],
        "item 1: this is scores of HELM, .*give display_predictions.json or scenario_state.json"),
    "HELM's requests": ("display_requests.json",
        [{"instance_id": "id1", "request": {"prompt": "?"}}], "a request of HELM"),
    "half a state of HELM": ("scenario_state.json",
        {"request_states": [{"instance": {"references": [{}]}, "request": {}, "result": {}}]},
        "item 1: this is like a row of a known data set or tool, but not .*KeyError"),
    "HELM's questions": ("instances.json",
        [{"input": {"text": "?"}, "references": [], "split": "test", "id": "id1"}],
        "a question of HELM"),
    "two turns of MT-bench": ("m.jsonl",
        '{"question_id": 81, "choices": [{"index": 0, "turns": ["a", "b"]}]}\n',
        "an answer of several turns .*--prediction-field answer=choices.0.turns.0"),
    "evals without samples": ("e.jsonl",
        '{"spec": {"eval_name": "x"}}\n{"final_report": {"accuracy": 1.0}}\n',
        "holds no predictions"),
    "an Inspect log without samples": ("log.json",
        {"version": 2, "status": "success", "eval": {}, "plan": {}, "samples": None},
        "a log of Inspect without samples"),
    "an Inspect archive without samples": ("log.eval", archive("header.json"),
        "a log of Inspect without samples"),
    "a corpus": ("corpus.jsonl", '{"title": "x", "body": "y"}\n', "no answer among the columns"),
    "Excel": ("p.xlsx", archive("[Content_Types].xml", "xl/workbook.xml"),
        "an Excel workbook; save"),
    "old Excel": ("p.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 50,
        "an Excel, Word or Hangul file"),
    "LibreOffice": ("p.ods", archive("mimetype", "content.xml"), "an OpenDocument file"),
    "PyTorch": ("p.pt", archive("archive/data.pkl"), "a PyTorch file"),
    "arrays": ("p.npz", archive("predictions.npy"), "NumPy arrays"),
    "a submission": ("submission.zip", archive("predictions.json"),
        r"zip archive \(predictions.json\)"),
    "a pickle": ("p.pkl", pickle.dumps({"q1": "x"}), "a Python pickle; load it"),
    "a NumPy array": ("p.npy", numpy_file(), "a NumPy array"),
    "weights": ("m.safetensors", (10).to_bytes(8, "little") + b'{"a": 1}  ', "weights of a model"),
    "a database": ("p.db", b"SQLite format 3\0" + b"\0" * 100, "an SQLite database"),
    "bzip2": ("p.json.bz2", bz2.compress(b'{"q1": "x"}'), "packed with bzip2; unpack it"),
    "xz": ("p.json.xz", lzma.compress(b'{"q1": "x"}'), "packed with xz"),
    "tar": ("p.tar", tar(), "a tar archive"),
    "tar, packed": ("p.tar.gz", gzip.compress(tar()), "a tar archive"),
    "PDF": ("p.pdf", b"%PDF-1.7\n", "a PDF"),
    "a table, packed": ("p.parquet.gz", gzip.compress(b"PAR1xxxx"), "packed twice"),
    "another binary": ("p.bin", bytes(range(256)), "not text, and not a table"),
    "a Markdown table": ("p.md", "| id | answer |\n|----|:--|\n| q1 | x |\n",
        "a Markdown table; write it as CSV"),
    "a chat": ("p.jsonl", '{"messages": [{"role": "user", "content": "q"}]}\n', "this is a chat"),
    "YAML": ("p.yaml", "q1: Paris\nq2: 'Rome'\n", "is YAML; write it as JSON"),
    "pairs after spaces": ("p.txt", "q1 Paris\nq2 Rome\n", "lines begin with ids of the data"),
    "a stream of Ollama": ("p.jsonl",
        '{"response": "Pa", "done": false}\n{"response": "ris", "done": true}\n',
        "line 1: this is a piece of a streamed reply"),
    "a stream of a chat": ("p.jsonl",
        '{"object": "chat.completion.chunk", "choices": [{"delta": {"content": "Pa"}}]}\n',
        "line 1: this is a piece of a streamed reply"),
    "a stream of events": ("p.txt", 'data: {"choices": []}\n\ndata: [DONE]\n', "stream of events"),
    "packed by gzip twice": ("p.json.gz", gzip.compress(gzip.compress(b'{"q1": "x"}')),
        "packed twice"),
    "errors of Excel": ("p.csv", "id,prediction\nq1,x\nq2,#NAME?\n",
        "line 3: Excel has replaced a text with #NAME\\?"),
    "several answers without scores": ("p.jsonl",
        '{"id": "q1", "response": {"choices": [{"text": "a"}, {"text": "b"}]}}\n',
        "the answer is an object with choices"),
    "a web page": ("p.json", "<!DOCTYPE html><html>404</html>", "a web page; download"),
    "a pointer": ("p.json", "version https://git-lfs.github.com/spec/v1\noid x\n", "git lfs pull"),
    "a broken archive": ("p.eval", archive("header.json", "samples/1.json")[:60], "is it complete"),
    "a broken table": ("p.parquet", b"PAR1" + b"x" * 50, "not a Parquet file that can be read"),
    "an encrypted sample": (
        "p.eval",
        re.sub(
            rb"(PK\x03\x04..|PK\x01\x02....)\0", b"\\1\x01", archive("header.json", "samples/1")
        ),
        "samples/1 can't be read: .*encrypted",
    ),
    "a broken sample": ("p.eval", archive("header.json", "samples/1.json"), "can't be read"),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(UNUSABLE))
def test_unusable_files_are_named(kind: str, tmp_path: Path) -> None:
    name, content, told = UNUSABLE[kind]
    path = write(tmp_path, name, content)
    with pytest.raises(DataError, match=told) as error:
        read_predictions(path, ["q1", "q2"])
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    assert "UTF-8" not in message or "CSV (UTF-8)" in message


@pytest.mark.parametrize(
    "answer", ["ORCA whales", "BZh91AY", "GGUF", "FEA1", "Rar!", "%PDF", "Lens(f=2)"]
)
def test_answers_may_begin_as_other_files_do(answer: str, tmp_path: Path) -> None:
    path = write(tmp_path, "p.txt", f"{answer}\nRome\n")
    found = read_predictions(path, ["q1", "q2"])
    assert [row.prediction for row in found.values()] == [answer, "Rome"]


def test_nan_alone_is_no_second_answer() -> None:
    for missing in (float("nan"), pandas.NA):
        rows = [{"id": "q1", "prediction": missing}]
        with pytest.raises(DataError, match="the answer is NaN, which pandas makes of an empty"):
            read_predictions(NamedPredictions("mine", rows))


@pytest.mark.parametrize("given", [{"q1": "Rome\ud83d"}, [{"id": "q1", "answer": "Rome\ud83d"}]])
def test_half_a_surrogate_pair_is_no_character_at_hand_either(given: Any) -> None:
    with pytest.raises(DataError, match=r"in 'Rome\\ud83d': half of a surrogate pair"):
        read_predictions(NamedPredictions("mine", given))


def test_values_of_numpy_are_those_of_python() -> None:
    rows = [{"id": numpy.int64(1), "prediction": numpy.float64(2.0)}]
    assert read_predictions(NamedPredictions("mine", rows))["1"].prediction == "2"
    found = read_predictions(NamedPredictions("mine", {"q1": numpy.int64(3)}))
    assert found["q1"].prediction == "3"


def test_numbers_are_answers_unless_they_are_scores(tmp_path: Path) -> None:
    assert read_predictions(write(tmp_path, "p.json", {"q1": 12, "q2": 7}))["q1"].prediction == "12"
    some = {"q1": 1947, "q2": "Paris", "q3": 5.5}
    found = read_predictions(write(tmp_path, "p.json", some))
    assert [row.prediction for row in found.values()] == ["1947", "Paris", "5.5"]


def test_a_known_key_among_ids_is_an_id(tmp_path: Path) -> None:
    by_id = {"f1": "a car race", "em": "a unit", "loss": "a defeat"}
    found = read_predictions(write(tmp_path, "p.json", json.dumps(by_id)))
    assert {key: row.prediction for key, row in found.items()} == by_id
