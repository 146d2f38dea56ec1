"""Scores of runs that were asked only part of the data, because of --limit."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from calls import Call

Evaluate = Callable[..., tuple[int, str]]

NOTE = (
    "because of --limit not all questions were asked ({}), so only the {} that were asked of all"
    " count"
)


@pytest.fixture
def evaluate(call_aqa: Call, tmp_path: Path) -> Evaluate:
    """Score runs; return the number of questions scored, and the messages."""
    rows = [
        {
            "id": f"q{n}",
            "question": f"Which is {n}?",
            "context": f"the {n} th",
            "answers": [f"the {n} th"],
        }
        for n in range(12)
    ]
    (tmp_path / "data.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for name, limit in (("five", 5), ("eight", 8), ("all", 20)):
        words = ["--data", "data.jsonl", "--limit", limit, "-o", name, "-q"]
        call_aqa("predict", "stub", *map(str, words), code=0)
    call_aqa("predict", "stub", "--data", "data.jsonl", "-o", "free", "-q", code=0)

    def scored(*words: str) -> tuple[int, str]:
        done = call_aqa("evaluate", *words, "--json", code=0)
        found = json.loads(done.stdout)
        return found["n"], done.stderr

    return scored


def test_what_a_limit_left_out_does_not_count(evaluate: Evaluate) -> None:
    count, said = evaluate("five", "--data", "data.jsonl")
    assert (count, NOTE.format("five 5", 5) in said) == (5, True)
    assert "no prediction for" not in said
    count, said = evaluate("free", "five", "eight", "--data", "data.jsonl")
    assert (count, NOTE.format("five 5 and eight 8", 5) in said) == (5, True)
    for words in (("five",), ("all", "--data", "data.jsonl")):
        count, said = evaluate(*words)
        assert (count, "limit" in said) == (12 if "all" in words else 5, False)
        assert "first references" not in said


def test_an_unfinished_run_has_no_limit_to_go_by(evaluate: Evaluate, tmp_path: Path) -> None:
    manifest = tmp_path / "five" / "run.json"
    found = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(found | {"status": "interrupted"}))
    count, said = evaluate("five", "--data", "data.jsonl")
    assert count == 12
    assert "five: no prediction for 7 ids" in said
