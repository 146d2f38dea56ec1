"""Estimating what it costs to detect a difference from another run."""

import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from calls import Call
from fault_server import Server
from gpt4_runs import configured, run, write_questions

from aqa.evaluation.comparison import compare
from aqa.evaluation.planning import plan
from aqa.metrics.statistics.clusters import Clusters
from aqa.metrics.statistics.power import detectable_share
from aqa.runs.spending import SpendingRecord
from aqa.spent import Spent

COUNT = 200


@pytest.fixture
def ask(call_aqa: Call, tmp_path: Path, server: Server) -> Call:
    """Start a dry run against a reference that is wrong on every third question."""
    answers = {f"q{n}": {"predicted_answer": str(n) if n % 3 else "no"} for n in range(COUNT)}
    (tmp_path / "a.json").write_text(json.dumps(answers))
    write_questions(tmp_path, COUNT)
    words = [
        "predict", "gpt4", "--data", "questions.jsonl", "-o", "out", "--dry-run",
        "--set", "backend.model=reader-1", "--set", f"backend.base_url={server.url}",
        "--set", 'backend.price={"input":1,"output":2}', "--max-new-tokens", "4",
    ]  # fmt: skip

    def call(*more: str) -> CompletedProcess[str]:
        return call_aqa(*words, *more)

    return call


def told(done: CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_from_the_reference_alone(ask: Call) -> None:
    found = told(ask("--to-see", "5", "--against", "a.json", "--json"))
    seen = found["to_see"]
    assert (seen["a"], seen["b"], seen["metric"], seen["difference"]) == ("a", "out", "f1", 5)
    # Two independent shares of two thirds: (1.96 + 0.84)^2 * 2 p (1 - p) / 0.05^2.
    assert seen["questions"] == pytest.approx(7.85 * 2 * (2 / 9) / 0.05**2, rel=0.05)
    assert seen["cost"] == pytest.approx([seen["questions"] / COUNT * one for one in found["cost"]])
    assert (seen["capacity"], seen["is_paired"]) == (COUNT, False)
    assert seen["sees"] == pytest.approx(5 * (seen["questions"] / COUNT) ** 0.5, rel=0.01)
    shown = ask("--to-see", "5", "--against", "a.json").stdout
    assert f"about {seen['questions']:,} questions, for $" in shown
    assert "the 200 available, or affordable under the cap, can show 13." in shown
    assert "if both vary alike" in shown


@pytest.mark.parametrize("answer", ["", "right"])
def test_a_reference_whose_answers_all_score_alike(ask: Call, tmp_path: Path, answer: str) -> None:
    answers = {f"q{n}": {"predicted_answer": answer and str(n)} for n in range(COUNT)}
    (tmp_path / "a.json").write_text(json.dumps(answers))
    seen = told(ask("--to-see", "5", "--against", "a.json", "--json"))["to_see"]
    # All differences in one's favour: at least six wins to none, from 5 % of the questions.
    assert 120 <= seen["questions"] <= 180
    assert 3 < seen["sees"] < 5


def test_a_cap_pays_for_fewer(ask: Call) -> None:
    whole = told(ask("--to-see", "5", "--against", "a.json", "--json"))
    cap = whole["cost"][1] / 4
    found = told(ask("--to-see", "5", "--against", "a.json", "--json", "--max-cost", str(cap)))
    assert found["to_see"]["capacity"] == COUNT // 4
    assert found["to_see"]["sees"] == pytest.approx(2 * whole["to_see"]["sees"], rel=0.05)
    words = ("--to-see", "5", "--against", "a.json", "--max-cost", str(cap / 20))
    assert "the 2 available, or affordable under the cap, can show none" in ask(*words).stdout


def test_a_few_affordable_questions_show_what_their_test_can(ask: Call, tmp_path: Path) -> None:
    """Six wins to none need more of 25 questions than a quarter of 200's share, doubled twice."""
    answers = {f"q{n}": {"predicted_answer": str(n)} for n in range(COUNT)}
    (tmp_path / "a.json").write_text(json.dumps(answers))
    words = ("--to-see", "20", "--against", "a.json", "--json")
    cap = told(ask(*words))["cost"][1] / 8
    seen = told(ask(*words, "--max-cost", str(cap)))["to_see"]
    assert seen["capacity"] == COUNT // 8
    assert seen["sees"] == pytest.approx(100 * (detectable_share(25, 0) or 0), rel=0.1)


def test_what_the_reference_was_not_asked_shows_nothing(ask: Call, tmp_path: Path) -> None:
    whole = told(ask("--to-see", "5", "--against", "a.json", "--json"))["to_see"]
    known = list(json.loads((tmp_path / "a.json").read_bytes()).items())
    (tmp_path / "a.json").write_text(json.dumps(dict(known[: COUNT // 4])))
    found = told(ask("--to-see", "5", "--against", "a.json", "--json"))["to_see"]
    assert found["capacity"] == COUNT // 4
    assert found["sees"] == pytest.approx(2 * whole["sees"], rel=0.1)


def test_what_was_spent_without_an_answer_counts_against_a_cap(ask: Call, tmp_path: Path) -> None:
    words = ("--to-see", "5", "--against", "a.json", "--json")
    cap = told(ask(*words))["cost"][1] / 2
    (tmp_path / "out").mkdir()
    killed = SpendingRecord(tmp_path / "out")
    killed.write(Spent(10, 10, cost=cap / 2))
    killed.close()
    capped = (*words, "--max-cost", str(cap))
    assert told(ask(*capped))["to_see"]["capacity"] == pytest.approx(COUNT // 4, abs=1)
    assert told(ask(*capped, "--fresh"))["to_see"]["capacity"] == COUNT // 2


def test_from_the_answers_that_are_there(ask: Call, tmp_path: Path, server: Server) -> None:
    config = configured(tmp_path, server, COUNT, batch_api=False)
    data = config.data.model_copy(update={"limit": 150})
    run(config.model_copy(update={"data": data}), tmp_path / "out")
    found = told(ask("--to-see", "5", "--against", "a.json", "--json"))["to_see"]
    assert found["is_paired"] is True
    a = [100.0 * (n % 3 > 0) for n in range(150)]
    clusters = Clusters.apart(150)
    compared = compare({"a": {"f1": a}, "b": {"f1": [100.0] * 150}}, clusters)
    (need,) = plan(compared, clusters, 5)
    assert found["questions"] == need.questions
    assert found["capacity"] == COUNT


@pytest.mark.parametrize(
    "words",
    [("--to-see", "2"), ("--against", "a.json"), ("--to-see", "2", "--against", "a.json", "--set")],
)
def test_words_that_lack_others(words: tuple[str, ...], ask: Call) -> None:
    assert ask(*words).returncode == 2


def test_it_needs_no_key(ask: Call) -> None:
    public = ("--set", "backend.base_url=https://api.example.org/v1")
    assert ask("--against", "a.json", "--to-see", "5", *public).returncode == 0
