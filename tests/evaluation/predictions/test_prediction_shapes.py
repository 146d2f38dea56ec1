"""Files in other tools' formats, as these tools write them, and the exact match they must get."""

import zipfile
from pathlib import Path

import pytest
from files import lines, write
from prediction_shapes import (
    QUESTIONS,
    REFERENCES,
    ROWS,
    SAID,
    SHAPES,
    inspect_archive,
    inspect_sample,
    lm_eval,
    promptfoo,
    rows,
)

from aqa.errors import DataError
from aqa.evaluation.inputs import Scoring
from aqa.evaluation.predictions import Fields, read_predictions
from aqa.evaluation.scoring import evaluate
from aqa.progress import SilentProgress
from aqa.records import Example

DATA = [Example(key, QUESTIONS[key], (), tuple(REFERENCES[key])) for key in QUESTIONS]
QUOTED = {"TSV without quoting"}  # quotes around answers, which scores ignore
WITHOUT_IDS = {
    "lm-eval, only the place of a document", "Inspect, samples by number", "promptfoo without ids",
    "LLaMA-Factory", "ms-swift", "Hugging Face text-generation", "FiD by places", "DPR's reader",
    "RAGAS", "RAGAS before 0.2", "DeepEval without names", "Haystack", "OpenCompass", "AlpacaEval",
    "CSV of one column", "TSV, each row by its index", "a list of texts", "columns without ids",
    "DeepEval's latest run", "LangChain", "requests by number", "Gemini's batch without keys",
    "Azure's evaluation", "OpenAI's evals", "OpenAI's evals, matches alone",
    "Bedrock's evaluation", "llama.cpp", "Opik", "LangChain's chain of questions and answers",
}  # fmt: skip

REFUSED_WITHOUT_DATA = {
    "Hugging Face text-generation", "Haystack", "AlpacaEval", "CSV of one column",
    "DeepEval's latest run", "LangChain", "Gemini's batch without keys", "llama.cpp",
    "CSV without a header", "Opik", "FiD, a tab at the end lost", "a list of texts",
}  # fmt: skip


@pytest.mark.parametrize("shape", list(SHAPES))
def test_shapes_of_other_tools(shape: str, tmp_path: Path) -> None:
    path = write(tmp_path, *SHAPES[shape])
    report = evaluate([path], DATA, Scoring(["em"]), SilentProgress())
    system = report.systems[0]
    if shape not in QUOTED:
        assert dict(zip(report.ids, system.predictions, strict=True)) == SAID
    assert (system.scores["em"].value, system.missing, system.failed) == (100.0, 0, 0)
    # If there are no question ids, a note says by what answers were joined.
    joins = ("taken as positions", "taken in the order", "joined by their questions")
    assert any(told in " ".join(report.warnings) for told in joins) == (shape in WITHOUT_IDS)


def test_bioasq_lists_are_whole_and_summaries_texts(tmp_path: Path) -> None:
    content = [
        {"id": "q1", "type": "list", "exact_answer": [["Ann", "A."], ["Bo"]], "ideal_answer": "x"},
        {"id": "q2", "type": "summary", "ideal_answer": "A text."},
        {"id": "q3", "type": "yesno", "exact_answer": "yes", "ideal_answer": "x"},
    ]
    found = read_predictions(write(tmp_path, "b.json", {"questions": content}))
    assert [row.prediction for row in found.values()] == ["Ann, Bo", "A text.", "yes"]


def test_samples_of_evals_may_lie_in_any_order(tmp_path: Path) -> None:
    events = SHAPES["OpenAI's evals"][1].splitlines(keepends=True)
    path = write(tmp_path, "e.jsonl", "".join(events[::-1]))
    assert {key: row.prediction for key, row in read_predictions(path, list(SAID)).items()} == SAID


@pytest.mark.parametrize("shape", [name for name in SHAPES if name not in QUOTED])
def test_without_data_a_shape_is_read_rightly_or_refused(shape: str, tmp_path: Path) -> None:
    path = write(tmp_path, *SHAPES[shape])
    if shape in REFUSED_WITHOUT_DATA:
        with pytest.raises(DataError, match=r"without ids; give the data|no answer among"):
            read_predictions(path)
    else:
        assert [row.prediction for row in read_predictions(path).values()] == list(SAID.values())


def test_parquet_and_arrow(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table(
        {
            "question_id": list(SAID),
            "output": list(SAID.values()),
            "answers": list(REFERENCES.values()),
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "p.parquet")
    with pyarrow.ipc.new_file(tmp_path / "p.arrow", table.schema) as file:
        file.write_table(table)
    for name in ("p.parquet", "p.arrow"):
        found = read_predictions(tmp_path / name)
        assert {key: row.prediction for key, row in found.items()} == SAID
        assert found["q2"].answers == ("William Shakespeare", "Shakespeare")


def test_a_log_packed_by_zstandard(tmp_path: Path) -> None:
    import pyarrow

    class Packed:
        def compress(self, data: bytes) -> bytes:
            self._data = getattr(self, "_data", b"") + data
            return b""

        def flush(self) -> bytes:
            return bytes(pyarrow.compress(self._data, "zstd", asbytes=True))

    # Before Python 3.14, the module lacks this method; Inspect adds it in the same way.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile, "_check_compression", lambda _: None)
        patch.setattr(zipfile, "_get_compressor", lambda *_: Packed())
        packed = inspect_archive(93)
    found = read_predictions(write(tmp_path, "log.eval", packed))
    assert {key: row.prediction for key, row in found.items()} == SAID
    cut = packed.replace(b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\x00")
    with pytest.raises(DataError, match=r"log\.eval, samples.* can't be read: .*complete"):
        read_predictions(write(tmp_path, "log.eval", cut))


FAILURES = {
    "HELM": {"instance": {"id": "q1", "input": {"text": "?"}}, "request": {},
        "result": {"success": False, "error": "timeout", "completions": []}},
    "promptfoo's table": {"id": "q1", "[m] ?": "", "Status": "ERROR", "Score": "0.00",
        "Named Scores": "", "Grader Reason": "timeout"},
    "OpenAI, an error": {"custom_id": "q1", "response": None, "error": {"message": "expired"}},
    "OpenAI, a status": {"custom_id": "q1",
        "response": {"status_code": 400, "body": {"error": {"message": "bad"}}}, "error": None},
    "OpenAI, a refusal": {"custom_id": "q1",
        "response": {"status_code": 200,
            "body": {"choices": [{"message": {"content": None, "refusal": "no"}}]}}, "error": None},
    "Anthropic": {"custom_id": "q1",
        "result": {"type": "errored", "error": {"message": "overloaded"}}},
    "Anthropic, too late": {"custom_id": "q1", "result": {"type": "expired"}},
    "Gemini": {"key": "q1", "error": {"message": "quota"}},
    "Gemini, blocked": {"key": "q1", "response": {"promptFeedback": {"blockReason": "OTHER"}}},
    "Bedrock": {"recordId": "q1", "modelInput": {}, "error": {"errorMessage": "quota"}},
    "Inspect": {"id": "q1", "epoch": 1, "input": "?", "target": "",
        "output": {"choices": [], "completion": ""}, "error": {"message": "x"}},
    "promptfoo": {"vars": {"id": "q1"}, "testIdx": 0, "provider": {"id": "p"}, "error": "timeout"},
}  # fmt: skip


@pytest.mark.parametrize("tool", list(FAILURES))
def test_failures_of_other_tools_are_failures(tool: str, tmp_path: Path) -> None:
    row = read_predictions(write(tmp_path, "p.jsonl", lines([FAILURES[tool]])))["q1"]
    assert (row.prediction, row.failed) == (None, True)


def test_an_error_of_vertex_is_a_failure(tmp_path: Path) -> None:
    request = {"contents": [{"role": "user", "parts": [{"text": QUESTIONS["q1"]}]}]}
    row = {"status": "Bad Request: {}", "request": request, "response": {}}
    path = write(tmp_path, "p.jsonl", lines([row]))
    found = read_predictions(path, list(SAID), list(QUESTIONS.values()))
    assert (found["q1"].prediction, found["q1"].failed) == (None, True)


def test_an_empty_response_beside_a_status_is_an_abstention(tmp_path: Path) -> None:
    said = [{"id": "1", "response": "x", "status": "ok"}, {"id": "2", "response": "", "status": 1}]
    found = read_predictions(write(tmp_path, "p.jsonl", lines(said)))
    assert [(key, row.prediction, row.failed) for key, row in found.items()] == [
        ("1", "x", False), ("2", "", False),
    ]  # fmt: skip


VARIANTS = {
    "filters of lm-eval": (lm_eval({"strict": "{}", "flex": "{}?"}), "filter", "strict", "flex"),
    "providers of promptfoo": (
        [promptfoo(k, q, f"{t}{'?' * (provider != 'a')}", n, provider)
         for provider in ("a", "b")
         for n, (k, q, t, _) in enumerate(ROWS)], "provider", "a", "b"),
    "epochs of Inspect": (
        [{**inspect_sample(k, q, f"{t}{'?' * (epoch - 1)}", g), "epoch": epoch}
         for k, q, t, g in ROWS
         for epoch in (1, 2)], "epoch", "1", "2"),
    "DPR with several numbers of passages": (
        rows(lambda k, q, t, g: {"id": k, "question": q,
            "predictions": [
             {"top_k": n, "prediction": {"text": t + "?" * (n - 10)}} for n in (10, 11)
             ]}), "top_k", "10", "11"),
    "trials of HELM": (
        [{"instance_id": k, "train_trial_index": trial, "predicted_text": t + "?" * trial}
         for trial in (0, 1)
         for k, _, t, _ in ROWS], "train_trial_index", "0", "1"),
    "perturbations of HELM": (
        [{
         "instance_id": k,
         "predicted_text": t + "?" * (name == "typos"),
         "perturbation": {"name": name, "robustness": True},
         }
         for name in ("lower", "typos")
         for k, _, t, _ in ROWS], "perturbation", "lower", "typos"),
    "spans of a trace, each with an id": (
        [{"id": f"{k}.{kind}", "span": kind, "input": q, "output": f"{t}{'?' * (kind != 'a')}"}
         for kind in ("a", "b")
         for k, q, t, _ in ROWS], "span", "a", "b"),
    "models in a table": (
        [{"id": k, "model": model, "pred": f"{t}{'?' * (model != 'm')}"}
         for model in ("m", "n")
         for k, _, t, _ in ROWS], "model", "m", "n"),
}  # fmt: skip


OF_TWO_PROMPTS = (
    "id,question,[a] Answer {{question}},Status,Score,Named Scores,Grader Reason,Comment,"
    "[b] Answer {{question}},Reasoning,Status,Score,Named Scores,Metric: x,Grader Reason,Comment\n"
    + "".join(f'{k},{q},"{t}",FAIL,0,,,,"{t}?",Hm.,PASS,1,,1,All,\n' for k, q, t, _ in ROWS)
)


def test_of_a_table_of_several_prompts_one_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "output.csv", OF_TWO_PROMPTS)
    with pytest.raises(DataError, match=r"several provider \(a, b\); .*provider=a$"):
        read_predictions(path, list(SAID))
    found = read_predictions(path, list(SAID), fields=Fields.parse(["provider=b"]))
    assert {key: row.prediction for key, row in found.items()} == {
        key: f"{text}?" for key, text in SAID.items()
    }
    path = write(tmp_path, "output.csv", OF_TWO_PROMPTS.replace("[b] Answer", "[a] Reply to"))
    with pytest.raises(DataError, match=r"several promptIdx \(0, 1\)"):
        read_predictions(path, list(SAID))
    found = read_predictions(path, list(SAID), fields=Fields.parse(["promptIdx=0"]))
    assert {key: row.prediction for key, row in found.items()} == SAID


def test_of_a_reply_with_several_answers_one_is_named(tmp_path: Path) -> None:
    def reply(*texts: str) -> dict[str, object]:
        return {"choices": [{"message": {"role": "assistant", "content": t}} for t in texts]}

    rows = [
        {"custom_id": key, "response": {"body": reply(text, f"{text}?")}}
        for key, text in SAID.items()
    ]
    path = write(tmp_path, "p.jsonl", lines(rows))
    with pytest.raises(DataError, match="line 1: this is a reply with 2 answers; name the one"):
        read_predictions(path, list(SAID))
    fields = Fields.parse(["answer=response.body.choices.1.message.content"])
    found = read_predictions(path, list(SAID), fields=fields)
    assert {key: row.prediction for key, row in found.items()} == {
        key: f"{text}?" for key, text in SAID.items()
    }
    path = write(tmp_path, "r.jsonl", lines({"id": key, **reply("a", "b")} for key in SAID))
    with pytest.raises(DataError, match="a reply with 2 answers"):
        read_predictions(path, list(SAID))
    same = [{"id": key, **reply(text, text)} for key, text in SAID.items()]
    found = read_predictions(write(tmp_path, "s.jsonl", lines(same)), list(SAID))
    assert {key: row.prediction for key, row in found.items()} == SAID


@pytest.mark.parametrize("kind", list(VARIANTS))
def test_of_several_answers_one_is_named(kind: str, tmp_path: Path) -> None:
    content, column, one, other = VARIANTS[kind]
    path = write(tmp_path, "p.jsonl", lines(content))
    told = rf"several {column} \({one}, {other}\); take .* --prediction-field {column}={one}"
    with pytest.raises(DataError, match=told):
        read_predictions(path, list(SAID), list(QUESTIONS.values()))
    for value, expected in ((one, SAID), (other, {key: f"{text}?" for key, text in SAID.items()})):
        asked = (list(SAID), list(QUESTIONS.values()))
        found = read_predictions(path, *asked, fields=Fields.parse([f"{column}={value}"]))
        assert {key: row.prediction for key, row in found.items()} == expected
    with pytest.raises(
        DataError, match=f"no row is as --prediction-field says: {column} is {one}, {other}"
    ):
        read_predictions(path, list(SAID), fields=Fields.parse([f"{column}=x"]))
