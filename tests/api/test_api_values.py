"""Values that the command's flags refuse are refused as keywords, and nothing is written."""

from collections.abc import Callable, Mapping
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
from aqa_stub import StubBackend
from calls import Call
from house_readers import house_answer, house_rows
from numpy import array, float32, int64, str_
from pandas import DataFrame

import aqa

DATA = house_rows(12)
FOLDERS = ("finder", "half")


@pytest.fixture(autouse=True)
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(StubBackend, "answer", house_answer)
    monkeypatch.setattr(StubBackend, "confidence_kind", "")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    monkeypatch.chdir(tmp_path)


def predict(**asked: Any) -> object:
    return aqa.predict("stub", DATA, model="half", output_dir="new", quiet=True, **asked)


def evaluate(**asked: Any) -> object:
    answers = {name: {row["id"]: "x" for row in DATA} for name in FOLDERS}
    return aqa.evaluate(answers, DATA, quiet=True, output_dir="new", **asked)


def estimate(**asked: Any) -> object:
    return aqa.estimate_cost("gpt4", DATA, quiet=True, **asked)


def preview(**asked: Any) -> object:
    return aqa.preview("stub", DATA, model="half", **asked)


REFUSED: list[tuple[Call, Mapping[str, object], str]] = [
    *((evaluate, {"plan": value}, "plan=.* from 0.01 to 100") for value in (0, -1, nan, inf, "2")),
    *((evaluate, {"label": value}, "label=.* of at least 4") for value in (0, 3, 4.5, "20", True)),
    *((evaluate, {"level": it, "choose_threshold": "risk=5"}, "from 50") for it in (0.95, 100)),
    (evaluate, {"level": 90}, "for choose_threshold"),
    (evaluate, {"wrong_under": "f1=50"}, "for choose_threshold"),
    (evaluate, {"choose_threshold": ""}, "write the share of wrong answers to promise, in %"),
    (predict, {"redo": "failure"}, "redo='failure'.*'failures'"),
    *((predict, {"stop_when_decided": "half", "margin": it}, "margin") for it in (0, nan)),
    (predict, {"stop_when_decided": "half", "decide_by": "rougeL"}, "decide_by='rougeL'"),
    (predict, {"decide_by": "em"}, "stop_when_decided; give it the run"),
    (predict, {"allow_other_reader": True}, "name a contract"),
    (predict, {"settings": {"workers.count": 2}}, "workers.count only works with the command"),
    *(
        (call, {"settings": asked}, rf"^{key} \(settings\) has no effect without a training")
        for call in (predict, estimate, preview, lambda **asked: aqa.Reader("stub", **asked))
        for asked, key in (
            ({"training.max_steps": 3}, r"training\.max_steps"),
            ({"data": {"dev_path": "dev.json"}}, r"data\.dev_path"),
        )
    ),
    *((estimate, {"against": "half", "to_see": it}, "to_see") for it in (0, -1, nan, "2")),
    (estimate, {"decide_by": "em"}, "decide_by only with them"),
    (preview, {"number": 0}, "number=0"),
    (preview, {"number": -1}, "number=-1"),
]


@pytest.mark.parametrize(("call", "asked", "told"), REFUSED)
def test_values_that_flags_refuse(call: Call, asked: Mapping[str, object], told: str) -> None:
    with pytest.raises(aqa.AqaError, match=told):
        call(**asked)
    assert not Path("new").exists()


def test_a_file_in_the_place_of_the_folder() -> None:
    Path("new").write_text("mine", encoding="utf-8")
    with pytest.raises(aqa.AqaError, match="a folder is needed"):
        evaluate()


def test_one_prompt_counts_beside_conditions_and_in_an_estimate(tmp_path: Path) -> None:
    Path("mine.txt").write_text("{context}\n" + "Read it twice. " * 50, encoding="utf-8")
    runs = aqa.predict(
        "stub", DATA, model="half", output_dir="a", prompts=["mine.txt"], stress=["missing"]
    )
    assert len(list(runs)) == 2 * len(DATA)
    manifests = [path.read_text(encoding="utf-8") for path in Path("a").rglob("run.json")]
    assert len(manifests) == 2
    assert all('"mine.txt"' in text for text in manifests)
    own, by_default = (estimate(prompts=each).total for each in (["mine.txt"], []))  # type: ignore[attr-defined]
    assert own.input_tokens > 2 * by_default.input_tokens


def test_tables_of_pandas_are_data_and_predictions() -> None:
    answers = aqa.predict("stub", DataFrame(DATA), model="half", quiet=True)
    table = answers.to_frame()
    assert sorted(table["id"]) == sorted(row["id"] for row in DATA)
    alone, named = (
        aqa.evaluate(given, DATA, metrics=["em"], quiet=True).scores.popitem()[1]["em"].value
        for given in (table, {"mine": table[["id", "text"]]})
    )
    assert alone == named == 50
    with pytest.raises(aqa.AqaError, match="no answer among the columns id, text, question"):
        aqa.evaluate(table[["id", "text", "question"]], DATA, quiet=True)
    by_index = table[["id", "text"]].set_index("id")[::-1]  # in another order than the data
    for given in (
        by_index,
        by_index.rename_axis(None),
        by_index["text"],
        by_index["text"].to_dict(),
    ):
        report = aqa.evaluate({"mine": given}, DATA, metrics=["em"], quiet=True)
        assert report.scores["mine"]["em"].value == 50


@pytest.mark.parametrize(
    "indexed",
    [
        lambda table: table.set_index("id"),
        lambda table: table.set_index("id").rename_axis(None),
        lambda table: table.assign(part="a").set_index(["part", "id"]),
        lambda table: table.assign(part="a", own=table["id"]).set_index(["part", "id"]),
        lambda table: table.assign(part="a").set_index(["part", "id"], drop=False)[[*table]],
        lambda table: table.set_index(table["question"].rename(None)),
    ],
)
def test_ids_may_be_in_the_index_of_a_table(indexed: Callable[[DataFrame], DataFrame]) -> None:
    answers = aqa.predict("stub", indexed(DataFrame(DATA)))
    assert sorted(answer.id for answer in answers) == sorted(row["id"] for row in DATA)


def test_values_of_numpy_may_be_anywhere() -> None:
    passages = array([{"text": "Ada did.", "score": float32(0.25), "rank": int64(1)}])
    row = {"id": int64(7), "question": str_("Who?"), "ctxs": passages, "answers": array(["Ada"])}
    (prompt,) = aqa.preview("stub", [row])
    (passage,) = prompt.prompt.evidence.passages
    assert (prompt.prompt.id, passage.score, prompt.prompt.answers) == ("7", 0.25, ("Ada",))


@pytest.mark.parametrize("text", ["Read {context}. " * 30, "a/" * 3000])
def test_a_text_in_the_place_of_a_path(text: str) -> None:
    row = {"id": "1", "question": "Who?", "context": "Ada did.", "answers": ["Ada did."]}
    for call in (
        lambda: aqa.predict("stub", text),
        lambda: aqa.predict("stub", [row], settings={"prompt": text}),
        lambda: aqa.predict("stub", [row], output_dir=text),
        lambda: aqa.load_config("stub", text),
        lambda: aqa.evaluate({"mine": text}, [row]),
    ):
        with pytest.raises(aqa.AqaError, match="too long for a file name"):
            call()


def test_paths_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    row = {"id": "1", "question": "Who?", "context": "Ada did.", "answers": ["Ada did."]}
    kept = aqa.predict("stub", [row], output_dir="~/run")
    assert len(list(kept)) == 1
    assert kept.folder == tmp_path / "home" / "run"
    aqa.evaluate("~/run", output_dir=Path("~/scores"))
    assert (tmp_path / "home" / "scores" / "metrics.json").is_file()
    with pytest.raises(aqa.AqaError, match=r"~\$1\.csv: no such file"):
        aqa.evaluate("~$1.csv")
    assert {path.name for path in tmp_path.iterdir()} == {"home"}
    for call in (
        lambda: aqa.predict("stub", [row], output_dir=""),
        lambda: aqa.evaluate("~/run", output_dir=""),
        lambda: aqa.evaluate(""),
        lambda: aqa.load_config("stub", ""),
        lambda: aqa.predict("stub", [row], output_dir="run", abstain_below=""),
    ):
        with pytest.raises(aqa.AqaError, match="a path is empty"):
            call()
    assert {path.name for path in tmp_path.iterdir()} == {"home"}


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: aqa.evaluate({"a": {}}, DATA, "em"), r"metrics='em': give a list, \['em'\]"),
        (lambda: aqa.evaluate({"a": {}}, DATA, [3]), r"metrics=\[3\]: give a list of texts"),
        (lambda: aqa.Scoring(no_answer="none"), r"no_answer='none': give a list, \['none'\]"),
        (lambda: aqa.Scoring(slices="title"), r"slices='title': give a list"),
        (lambda: aqa.JudgeOptions(models="gpt-4.1"), r"models='gpt-4.1': give a list"),
        (lambda: aqa.predict("stub", DATA, prompts="eng_v1"), r"prompts='eng_v1': give a list"),
        (lambda: aqa.estimate_cost("gpt4", DATA, stress="noise"), r"stress='noise': give a list"),
        (lambda: aqa.predict("stub", DATA, settings=["a"]), "settings is list; give a dict"),
        (lambda: aqa.predict("stub", DATA, settings={3: 4}), r"settings=\[3\]: give a list of"),
        (lambda: aqa.predict(None, DATA), "reader is NoneType; give the name of a backend"),
        (lambda: aqa.load_config({"name": "stub"}), "backend is dict; give the name"),
        (lambda: aqa.predict("stub", DATA, output_dir=3), "a path is int; give a string or"),
        (lambda: aqa.evaluate({"a": {}}, DATA, scoring={3: 4}), "give an aqa.Scoring"),
        (lambda: aqa.evaluate({"a": {}}, DATA, judge={3: 4}), "give an aqa.JudgeOptions"),
        (lambda: aqa.evaluate({"a": {}}, DATA, choose_threshold=5), "choose_threshold=5: write"),
    ],
)
def test_values_of_another_kind(call: Callable[[], object], told: str) -> None:
    with pytest.raises(aqa.AqaError, match=told):
        call()
