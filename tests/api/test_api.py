"""The Python API: data, answers and scores in memory, with the same messages as the command."""

import builtins
import inspect
import json
from pathlib import Path
from typing import Any

import datasets
import pytest
from aqa_stub import asked_ids

import aqa
from aqa.api.estimate import Estimate
from aqa.api.evaluate import Evaluation
from aqa.api.predictions import Predictions
from aqa.api.preview import Previews
from aqa.api.reader import resolve
from aqa.api.train import Training
from aqa.runs.folder import read_manifest
from aqa.verbs.verify import verify

DATA = [
    aqa.Example("1", "Who?", [aqa.Passage("Ada Lovelace wrote it.")], ("Ada Lovelace wrote",)),
    aqa.Example("2", "Where?", [aqa.Passage("In Oslo town hall.")], ("Oslo",)),
    aqa.Example("3", "When?", [aqa.Passage("In 1843 or so.")], ()),
]
STUB = {"1": "Ada Lovelace wrote", "2": "In Oslo town", "3": "In 1843 or"}


@pytest.fixture
def note(tmp_path: Path) -> Path:
    """The file in which the stub records what it was asked."""
    return tmp_path / "asked.txt"


def test_every_public_name_is_there() -> None:
    for name in aqa.__all__:
        assert getattr(aqa, name) is not None
    assert set(aqa.__all__) <= set(dir(aqa))
    with pytest.raises(AttributeError, match="no attribute 'predictt'"):
        aqa.predictt  # noqa: B018


@pytest.mark.parametrize(
    "name", ["load_config", "train", "predict", "evaluate", "preview", "estimate_cost"]
)
def test_each_parameter_is_typed_and_described(name: str) -> None:
    verb = getattr(aqa, name)
    described = inspect.getdoc(verb) or ""
    assert "Raises:\n    AqaError" in described
    for parameter in inspect.signature(verb).parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty
        assert f"    {parameter.name}: " in described, parameter


@pytest.mark.parametrize("kind", [Predictions, Evaluation, Training, Previews, Estimate])
def test_each_result_is_described(kind: type) -> None:
    assert kind.__doc__
    for name, member in vars(kind).items():
        if callable(member) and not name.startswith("_"):
            assert member.__doc__, name


def test_answers_are_a_stream(note: Path, tmp_path: Path) -> None:
    answers = aqa.predict("stub", DATA, settings={"backend.asked": str(note)})
    assert (len(answers), asked_ids(note)) == (3, [])
    first = next(iter(answers))
    assert first.text == STUB[first.id]
    assert {answer.id: answer.text for answer in answers} == STUB
    assert [answer.id for answer in answers] == [answer.id for answer in answers]
    assert sorted(asked_ids(note)) == ["1", "2", "3"]  # each once
    assert repr(answers) == "<aqa.Predictions: 3 of 3 answered>"
    assert list(tmp_path.iterdir()) == [note]  # nothing is written


def rows(form: str) -> Any:
    plain = [
        {
            "id": example.id,
            "question": example.question,
            "ctxs": [{"text": passage.text} for passage in example.passages],
            "answers": list(example.answers or ()),
        }
        for example in DATA
    ]
    articles = [
        {"paragraphs": [{"context": row["ctxs"][0]["text"], "qas": [{**row, "ctxs": None}]}]}
        for row in plain
    ]
    forms = {
        "rows": plain,
        "generator": (row for row in plain),
        "articles": {"data": articles},
        "dataset": datasets.Dataset.from_list(plain),
    }
    return forms[form]


@pytest.mark.parametrize("form", ["rows", "generator", "articles", "dataset"])
def test_data_at_hand(form: str) -> None:
    answers = aqa.predict("stub", rows(form))
    assert {answer.id: answer.text for answer in answers} == STUB


def test_data_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text(json.dumps(rows("rows")), encoding="utf-8")
    for given in (path, str(path)):
        assert {answer.id: answer.text for answer in aqa.predict("stub", given)} == STUB
    config = aqa.load_config("stub", settings={"data.path": path, "data.limit": 2})
    assert [answer.id for answer in aqa.predict(config)] == ["2", "1"]


def test_a_run_folder_keeps_answers_and_resumes(note: Path, tmp_path: Path) -> None:
    def predict(**options: Any) -> Any:
        settings = {"backend.asked": str(note)}
        return aqa.predict("stub", DATA, settings=settings, output_dir=tmp_path / "run", **options)

    with predict() as answers:
        next(iter(answers))
    with pytest.raises(aqa.AqaError, match="was closed"):
        list(answers)
    assert read_manifest(tmp_path / "run")["status"] == "interrupted"
    again = predict()
    assert {answer.id: answer.text for answer in again} == STUB
    assert read_manifest(tmp_path / "run")["status"] == "done"
    before = len(asked_ids(note))
    assert {answer.id: answer.text for answer in predict()} == STUB
    assert len(asked_ids(note)) == before
    assert {answer.id: answer.text for answer in predict(redo="everything")} == STUB
    assert len(asked_ids(note)) == before + 3
    found = json.loads((tmp_path / "run" / "predictions.json").read_text(encoding="utf-8"))
    assert {key: row["predicted_answer"] for key, row in found.items()} == STUB


def test_a_run_folder_is_that_of_the_command(tmp_path: Path) -> None:
    """The command can score and verify it; for data in memory there is nothing to hash again."""
    run = tmp_path / "run"
    list(aqa.predict("stub", DATA, output_dir=run))
    assert read_manifest(run)["command"] == "aqa.predict"
    found = {each.what: each.status for each in verify(run).checked}
    assert found == {"data": "unchecked", "prompt": "same", "predictions": "same"}
    assert aqa.evaluate(run, metrics=["em"]).scores["run"]["em"].value == pytest.approx(100 / 3)


def test_a_failure_is_an_answer_with_an_error(tmp_path: Path) -> None:
    failing = {"backend.fail_ids": ["2"]}
    answers = aqa.predict("stub", DATA, settings=failing, output_dir=tmp_path)
    found = {answer.id: answer for answer in answers}
    assert (found["2"].text, found["2"].error) == (None, "the stub was told to fail")
    result = aqa.evaluate(answers, metrics=["em"])
    assert result.report.systems[0].failed == 1
    again = aqa.predict("stub", DATA, settings=failing, output_dir=tmp_path, redo="failures")
    assert [answer.id for answer in again if answer.error] == ["2"]


def test_what_breaks_off_is_never_taken_for_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    from aqa_stub import StubBackend

    answers = aqa.predict("stub", DATA)
    monkeypatch.setattr(StubBackend, "answer", lambda self, prompt: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(answers)
    with pytest.raises(aqa.AqaError, match="was interrupted here"):
        list(answers)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("stubb", DATA), "unknown backend stubb; did you mean stub"),
        (("stub", "nowhere.json"), "nowhere.json: no such file or folder"),
        (("stub", [{"id": "1"}]), "the given data, item 1: no question among the columns id"),
        (("stub", [*DATA, DATA[0]]), 'the id "1" .* item 1 and again at the given data, item 4'),
        (("stub", 7), "the given data is int; give a path"),
        (("stub",), "no data is named"),
        (("llama", DATA), "no model is named"),
        (("t5", DATA), "no model is named"),
    ],
)
def test_errors_are_those_of_the_command(arguments: Any, message: str) -> None:
    with pytest.raises(aqa.AqaError, match=message):
        aqa.predict(*arguments)


def test_settings_are_checked_and_change_a_config() -> None:
    config = aqa.load_config("stub", settings={"generation.max_new_tokens": 3, "prompt": "eng_v2"})
    assert (config.generation.max_new_tokens, config.prompt) == (3, "eng_v2")
    with pytest.raises(aqa.AqaError, match=r"unknown config key generation\.max_new_token; did"):
        aqa.load_config("stub", settings={"generation.max_new_token": 3})
    held = config.model_copy(update={"data": config.data.model_copy(update={"limit": 1})})
    answers = aqa.predict(held, DATA, settings={"backend.fail_ids": ["1"]})
    assert [answer.error for answer in answers] == ["the stub was told to fail"]


def test_settings_may_make_what_a_config_holds_idle() -> None:
    mixed = {"evidence.train": {"passages": "mixed", "distractors": 2}}
    config = aqa.load_config("stub", settings=mixed)
    assert aqa.preview(config, DATA, settings={"evidence.train.passages": "gold"}, training=True)
    assert list(aqa.predict(config, DATA))  # one config serves training and prediction
    with pytest.raises(aqa.AqaError, match="distractors = 3 has no effect"):
        aqa.load_config("stub", settings={"evidence.train.distractors": 3})


def test_data_at_hand_stay_with_a_config_that_settings_change() -> None:
    held = aqa.load_config("stub", settings={"data.limit": 2})
    config = resolve(held, None, None, DATA)
    assert len(aqa.predict(config, settings={"data.limit": 1})) == 1
    with pytest.raises(aqa.AqaError, match="no such file or folder"):
        aqa.predict(config, settings={"data.path": "nowhere.json"})


def test_preview_shows_what_is_sent() -> None:
    found = aqa.preview("stub", DATA, number=2)
    assert [each.prompt.id for each in found] == ["1", "2"]
    assert "Ada Lovelace wrote it." in found[0].text
    assert [each.prompt.id for each in aqa.preview("stub", DATA, example_id="3")] == ["3"]
    assert len(found[1:]) == 1
    with pytest.raises(aqa.AqaError, match="no example has the id 9"):
        aqa.preview("stub", DATA, example_id="9")


def test_scores_of_everything_that_answers(tmp_path: Path) -> None:
    (tmp_path / "theirs.json").write_text(json.dumps(STUB), encoding="utf-8")
    answers = aqa.predict("stub", DATA)
    result = aqa.evaluate(
        {
            "stream": answers,
            "file": tmp_path / "theirs.json",
            "texts": STUB,
            "predictions": {key: aqa.Prediction(key, text) for key, text in STUB.items()},
            "their stream": (aqa.Prediction(key, raw=text) for key, text in STUB.items()),
            "rows": [{"id": key, "prediction": text} for key, text in STUB.items()],
            "half": {"1": "Ada Lovelace wrote", "2": None},
        },
        DATA,
        ["em", "f1"],
    )
    values = {name: own["em"].value for name, own in result.scores.items()}
    assert values.pop("half") == pytest.approx(100 / 3)
    assert list(values.values()) == [pytest.approx(100 / 3)] * 6
    f1 = result.scores["stream"]["f1"]
    assert f1.low is not None
    assert f1.high is not None
    assert f1.low <= f1.value <= f1.high
    assert len(result.comparisons) == 2 * 7 * 6 // 2
    assert any("half" in warning for warning in result.warnings)
    assert set(tmp_path.iterdir()) == {tmp_path / "theirs.json"}  # nothing is written


@pytest.mark.parametrize("form", ["list", "generator", "mapping", "rows"])
def test_one_system_needs_no_name(form: str) -> None:
    found = [aqa.Prediction(key, text) for key, text in STUB.items()]
    given: Any = {
        "list": found,
        "generator": iter(found),
        "mapping": {each.id: each for each in found},
        "rows": [{"id": key, "prediction": text} for key, text in STUB.items()],
    }[form]
    result = aqa.evaluate(given, DATA, ["em"])
    assert result.scores["predictions"]["em"].value == pytest.approx(100 / 3)


def test_confidences_and_references_of_predictions_count() -> None:
    found = [aqa.Prediction(key, text, confidence=-0.1) for key, text in STUB.items()]
    result = aqa.evaluate({"mine": found}, DATA, ["em"])
    assert result.report.systems[0].risk_coverage is not None
    with_references = aqa.evaluate(aqa.predict("stub", DATA), metrics=["em"])
    assert with_references.scores["predictions"]["em"].value == pytest.approx(100 / 3)


def test_different_evidence_is_refused() -> None:
    data = [aqa.Example("1", "Who?", [aqa.Passage("Ada."), aqa.Passage("Bob.")], ("Ada.",))]
    one = aqa.predict("stub", data)
    other = aqa.predict("stub", data, settings={"evidence.top_k": 1})
    with pytest.raises(aqa.AqaError, match="one and other were given different evidence"):
        aqa.evaluate({"one": one, "other": other}, metrics=["em"])
    scoring = aqa.Scoring(allow_different_evidence=True, baseline="one")
    result = aqa.evaluate({"other": other, "one": one}, metrics=["em"], scoring=scoring)
    assert [(found.a, found.b) for found in result.comparisons] == [("one", "other")]


@pytest.mark.parametrize(
    ("predictions", "message"),
    [
        ({}, "give at least one file of predictions"),
        ([], "systems by name"),
        ("nowhere.json", "nowhere.json: no such file"),
        ({"1": "Ada"}, "Ada: no such file"),
        ({"mine": 7}, "mine: int where a path"),
        ({"mine": {}}, "mine holds no predictions"),
        ({"mine": {"9": "x"}}, "no id of mine is in the data"),
        ({"mine": [{"id": "1", "answerr": "x"}]}, "mine, item 1: no answer among the columns"),
        ({"mine": {"1": ["a", "b"]}}, 'mine, id "1"|mine'),
    ],
)
def test_predictions_that_are_none(predictions: Any, message: str) -> None:
    with pytest.raises(aqa.AqaError, match=message):
        aqa.evaluate(predictions, DATA, ["em"])


def test_a_run_folder_at_work_is_not_that_of_answers_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names of answers in memory are not paths, whatever is in the working folder."""
    list(aqa.predict("stub", DATA, settings={"evidence.top_k": 1}, output_dir=tmp_path))
    monkeypatch.chdir(tmp_path)
    mine = {key: aqa.Prediction(key, text) for key, text in STUB.items()}
    result = aqa.evaluate({"mine": mine, "stream": aqa.predict("stub", DATA)}, metrics=["em"])
    assert not result.warnings


def test_printing_a_result_in_a_notebook_displays_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rich recognises one by the class of its shell, and displays what it prints there."""
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setattr(builtins, "get_ipython", lambda: shell, raising=False)
    result = aqa.evaluate({"a": STUB}, DATA, ["em"], quiet=True)
    assert "95 % interval" in repr(result)
    assert not capsys.readouterr().out


def test_tables_and_the_report(tmp_path: Path) -> None:
    bad = '<img src=x onerror="alert(1)">'
    data = [aqa.Example(bad, "Who?", [aqa.Passage(f"{bad} is all.")], ("x",))]
    answers = aqa.predict("stub", data)
    assert "0 of 1 answered" in answers._repr_html_()
    (answer,) = answers
    for shown in (
        answers._repr_html_(),
        aqa.evaluate({bad: answers, "b": {bad: "x"}}, data, ["em"])._repr_html_(),
        aqa.preview("stub", data)._repr_html_(),
    ):
        assert "<table" in shown
        assert "&lt;img" in shown
        assert "<img" not in shown
    result = aqa.evaluate({"a": answers, "b": {bad: "x"}}, data, ["em", "f1"])
    assert "95 % interval" in str(result)
    assert repr(result).splitlines()[-1] == result.findings[-1]
    frame = result.to_frame()
    assert list(frame.columns[:5]) == ["system", "metric", "value", "low", "high"]
    scores = frame[frame["minus"].isna()].set_index(["system", "metric"])["value"]
    assert scores["b", "em"] == 100.0
    assert len(scores) == 4
    assert set(frame["minus"].dropna()) == {"a"}
    assert answers.to_frame()["text"][0] == answer.text
    result.write_report(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "the given data" in page
    assert "Who?" in page
    assert result.to_json()["n"] == 1


def test_scores_are_written_where_asked(tmp_path: Path) -> None:
    result = aqa.evaluate({"mine": STUB}, DATA, ["em"], output_dir=tmp_path / "scores")
    written = json.loads((tmp_path / "scores" / "metrics.json").read_text(encoding="utf-8"))
    assert written == result.to_json()
    with pytest.raises(aqa.AqaError, match="name a folder"):
        aqa.evaluate({"mine": STUB}, DATA, ["judge"])
    (tmp_path / "mine").mkdir()
    for name in ("a/b", "mine"):
        with pytest.raises(aqa.AqaError, match="unknown metric"):
            aqa.evaluate({"mine": STUB}, DATA, ["f3"], output_dir=tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "scores"}


def test_columns_of_data_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "dev.jsonl"
    path.write_text('{"nr": "1", "gold": "Ada Lovelace wrote"}\n', encoding="utf-8")
    source = aqa.Source(str(path), fields={"id": "nr", "answers": "gold"}, needs_passages=False)
    assert aqa.evaluate({"mine": STUB}, source, ["em"]).scores["mine"]["em"].value == 100.0
