"""The verb evaluate as a plain function: what it writes, and what it refuses first."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from aqa.data import Source
from aqa.errors import AqaError, UsageError
from aqa.evaluation.inputs import Scoring
from aqa.evaluation.judge.options import JudgeOptions
from aqa.progress import SilentProgress
from aqa.verbs.evaluate import EvaluationInputs, Outputs, estimate_cost, evaluate, scores_beside


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    (tmp_path / "mine.json").write_text('{"q1": "Paris", "q2": "Rome"}', encoding="utf-8")
    rows = [
        {"id": "q1", "question": "Where?", "context": "In Paris.", "answers": ["Paris"]},
        {"id": "q2", "question": "Where then?", "context": "In Oslo.", "answers": ["Oslo"]},
    ]
    lines = "\n".join(map(json.dumps, rows))
    (tmp_path / "dev.jsonl").write_text(lines, encoding="utf-8")
    return [tmp_path / "mine.json"]


def evaluated(files: list[Path], *metrics: str, **judge: object) -> EvaluationInputs:
    data = Source(str(files[0].parent / "dev.jsonl"), needs_passages=False)
    return EvaluationInputs(files, Scoring(metrics), data, JudgeOptions(**judge))  # type: ignore[arg-type]


def test_scores_and_files(files: list[Path], tmp_path: Path) -> None:
    outputs = Outputs(
        scores_beside(files[0]), tmp_path / "report.html", tmp_path / "examples.jsonl"
    )
    report = evaluate(evaluated(files, "em"), outputs, SilentProgress(), {"em": 90.0}).report
    assert report.systems[0].scores["em"].value == 50.0
    written = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert written == report.to_json()
    assert "dev.jsonl" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len((tmp_path / "examples.jsonl").read_text(encoding="utf-8").splitlines()) == 2


@pytest.mark.parametrize(
    ("metrics", "limits", "report", "message"),
    [
        (["em"], {"emm": 5.0}, "report.html", "there is no such score"),
        (["em"], {"f1": 5.0}, "report.html", "there is no such score"),
        (["em"], {}, "nowhere/report.html", "there is no folder"),
        (["em"], {}, "mine.json", "would overwrite"),
        (["exact"], {}, "report.html", "unknown metric"),
        (["judge"], {}, "report.html", "OPENAI_API_KEY"),
    ],
)
def test_nothing_is_written_if_something_is_wrong(
    metrics: list[str],
    limits: dict[str, float],
    report: str,
    message: str,
    files: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    outputs = Outputs(scores_beside(files[0]), tmp_path / report)
    with pytest.raises(AqaError, match=message):
        evaluate(evaluated(files, *metrics), outputs, SilentProgress(), limits)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_cost_of_a_judge_needs_no_key(files: list[Path], tmp_path: Path) -> None:
    outputs = Outputs(scores_beside(files[0]))
    asked = evaluated(files, "judge", models=["gpt-4.1-mini"], repeats=2)
    found = estimate_cost(asked, outputs, SilentProgress())
    assert (found.model, found.examples) == ("gpt-4.1-mini", 4)
    assert not (tmp_path / "metrics.json").exists()


def test_what_was_trained_on_is_scored_apart(files: list[Path], tmp_path: Path) -> None:
    training = tmp_path / "train.jsonl"
    training.write_text('{"question": "where?", "context": "x", "answers": ["y"]}')
    asked = replace(evaluated(files, "em"), training=Source(str(training), needs_passages=False))
    progress = SilentProgress()
    report = evaluate(asked, Outputs(), progress).report
    slices = report.systems[0].slices["seen"]
    assert {name: (part["n"], part["em"]["value"]) for name, part in slices.items()} == {
        "no": (1, 0.0),
        "question": (1, 100.0),
    }
    assert any(
        note.startswith("Of the 2 questions of dev.jsonl, 1 are in train.jsonl as well")
        for note in progress.notes
    )
    with pytest.raises(UsageError, match="in the data; add --data"):
        evaluate(replace(asked, data=None), Outputs(), SilentProgress())
    with pytest.raises(AqaError, match="would overwrite"):
        evaluate(asked, Outputs(scores=training), SilentProgress())
