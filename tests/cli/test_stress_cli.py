"""From predictions under stress, and with several prompts, to their evaluation."""

import csv
import json
import re
from pathlib import Path

import pytest
from aqa_stub import StubBackend
from calls import Call
from house_readers import house_answer, write_houses

from aqa.records import Prediction, Prompt

COUNT = 40
STRESS = "position,missing,conflict"


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(StubBackend, "answer", house_answer)
    return write_houses(tmp_path, COUNT)


def predict(call: Call, data: Path, folder: str, *words: str) -> None:
    call("predict", "stub", "--data", data, "-o", folder, *words, code=0)


@pytest.mark.slow
def test_cards_of_two_readers(call_aqa: Call, data: Path, tmp_path: Path) -> None:
    words = ("--stress", STRESS, "--set", "evidence.stress.passages=4")
    predict(call_aqa, data, "copier", *words)
    predict(call_aqa, data, "finder", "--model", "finder", *words)
    done = call_aqa("evaluate", "copier", "finder", "--stress", "--report", "report.html", code=0)
    told = " ".join(done.stdout.split())
    assert "when the answer is last of 4" in told
    assert "finder answers 0 % (0 to " in told
    assert "copier answers 100 % (" in told
    assert "finder loses" not in told
    assert "copier under stress" in told
    better = r"finder is better than copier by 33.3 F1 .95 %: [^)]+. when the answer is last of 4"
    assert re.search(better, told)
    assert "finder is silent 100.0 points more often than copier" in told
    assert "copier and finder: no difference was found in position-first (+0.0" in told
    between = json.loads((tmp_path / "copier" / "metrics.json").read_bytes())["slice_comparisons"]
    last = next(one for one in between["stress"]["position-last"] if one["metric"] == "em")
    assert (last["a"], last["b"]) == ("copier", "finder")
    assert (last["wins"], last["difference"]) == (COUNT, 100)
    assert last["p_holm"] > last["p"]  # one of several conditions
    cards = json.loads((tmp_path / "copier" / "metrics.json").read_bytes())["stress"]
    assert [card["reader"] for card in cards] == ["copier", "finder"]
    assert cards[0]["findings"] == ["position", "evidence_ignored"][:1]
    assert cards[1]["findings"] == []
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "F1 over the place of the answer" in page
    assert "when the answer is last of 4" in page
    assert "Between readers" in page
    assert "finder is silent 100.0 points more often" in page
    table = call_aqa("evaluate", "copier", "--stress", "--csv")
    rows = list(csv.DictReader(table.stdout.splitlines()))
    places = [row for row in rows if row["slice"] == "stress" and row["minus"] == "plain"]
    assert {row["group"] for row in places} >= {"position-last", "conflict"}


@pytest.mark.parametrize("unfinished", ["stress/position-last", "."])
def test_what_a_run_has_not_answered_yet_is_no_loss(
    call_aqa: Call, data: Path, tmp_path: Path, unfinished: str
) -> None:
    for model in ("copier", "finder"):
        predict(call_aqa, data, model, "--model", model, "--stress", "position-last")
    folder = tmp_path / "finder" / unfinished
    rows = json.loads((folder / "predictions.json").read_bytes())
    half = dict(list(rows.items())[: COUNT // 2])
    (folder / "predictions.json").write_text(json.dumps(half))
    manifest = json.loads((folder / "run.json").read_bytes())
    (folder / "run.json").write_text(json.dumps({**manifest, "status": "running"}))
    done = call_aqa("evaluate", "copier", "finder", "--stress", "--json", code=0)
    assert "is unfinished (running)" in done.stderr
    _, card = json.loads(done.stdout)["stress"]
    last = card["conditions"]["position-last"]
    assert (last["n"], last["scores"]["em"]["value"]) == (COUNT // 2, 100)
    assert (card["plain"]["em"]["value"], last["differences"]["em"]["difference"]) == (100, 0)


def test_a_condition_without_answers_is_told(call_aqa: Call, data: Path, tmp_path: Path) -> None:
    predict(call_aqa, data, "finder", "--stress", "position-last")
    (tmp_path / "finder" / "stress" / "missing").mkdir()
    done = call_aqa("evaluate", "finder", "--stress", "--json", code=0)
    assert "finder: its run under missing has no answers yet; it is left out" in done.stderr


def test_runs_without_stress(call_aqa: Call, data: Path) -> None:
    predict(call_aqa, data, "plain")
    done = call_aqa("evaluate", "plain", "--stress", code=1)
    assert "plain holds no run under stress; make some with" in done.stderr
    assert "Scoring" not in done.stderr  # no judge is paid for it
    done = call_aqa("evaluate", "plain", "--stress", "--data", data, code=2)
    assert "leave --data out" in done.stderr
    predict(call_aqa, data, "card", "--stress", "missing")
    for folder in ("card/stress", "card/stress/missing"):
        done = call_aqa("evaluate", folder, "--stress", code=1)
        assert f"{folder} holds no run under stress; name card" in " ".join(done.stderr.split())


def test_what_no_card_can_be_made_of(call_aqa: Call, data: Path, tmp_path: Path) -> None:
    few = ("--set", "evidence.stress.passages=3")
    predict(call_aqa, data, "a", "--stress", "missing,conflict,position-last", *few)
    done = call_aqa("evaluate", "a", "--stress", "--metrics", "bleu", code=2)
    assert "bleu does not give; add em or f1" in done.stderr
    path = tmp_path / "a" / "stress" / "missing" / "predictions.json"
    rows = json.loads(path.read_bytes())
    path.write_text(json.dumps({f"other {key}": row for key, row in rows.items()}))
    manifest = path.parent.with_name("position-last") / "run.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_bytes()), "evidence": "mine"}))
    done = call_aqa("evaluate", "a", "--stress", "--json", "--report", "a.html", code=0)
    assert "Under stress" in (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "a: its run under missing has no question of the plain run" in done.stderr
    (card,) = json.loads(done.stdout)["stress"]
    assert (card["n"], list(card["conditions"])) == (COUNT, ["position-last", "conflict"])


def test_readers_of_other_conditions_are_not_compared(call_aqa: Call, data: Path) -> None:
    predict(call_aqa, data, "a", "--stress", "position-last,missing")
    other = ("--set", "evidence.stress.passages=4")
    predict(call_aqa, data, "b", "--model", "finder", "--stress", "position-last", *other)
    done = call_aqa("evaluate", "a", "b", "--stress", code=1)
    assert "were given different evidence" in done.stderr
    for name in "cd":
        predict(call_aqa, data, name, "--stress", "conflict")
    path = data.parent / "c" / "stress" / "conflict" / "run.json"
    manifest = json.loads(path.read_bytes())
    manifest["fingerprint"]["evidence_rules"] -= 1
    path.write_text(json.dumps(manifest))
    call_aqa("evaluate", "c", "--stress", code=0)
    done = call_aqa("evaluate", "c", "d", "--stress", code=1)
    assert "c was asked under conflict by an earlier version" in " ".join(done.stderr.split())


def test_a_ranking_that_turns_with_the_prompt(
    call_aqa: Call, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(self: StubBackend, prompt: Prompt) -> Prediction:
        likes = {"stub": "eng_v1", "other": "eng_v2"}[self.options.model]
        is_right = prompt.template.name == likes
        return Prediction(prompt.id, (prompt.answers or ("",))[0] if is_right else "nobody")

    monkeypatch.setattr(StubBackend, "answer", answer)
    prompts = ("--prompt", "eng_v1", "--prompt", "eng_v2")
    predict(call_aqa, data, "a", *prompts)
    predict(call_aqa, data, "b", "--model", "other", *prompts)
    done = call_aqa("evaluate", "a", "b", "--report", "report.html", code=0)
    told = " ".join(done.stdout.split())
    assert "a and b by F1: their ranking depends on the prompt" in told
    assert "Readers across prompts" in told
    found = json.loads((tmp_path / "a" / "metrics.json").read_bytes())["prompts"]
    assert {one["verdict"] for one in found["rankings"]} == {"turns"}
    assert [one["mean"] for one in found["readers"] if one["metric"] == "em"] == [50, 50]
    assert "their ranking depends on the prompt" in (tmp_path / "report.html").read_text("utf-8")
    done = call_aqa("evaluate", "a", "b", "--metrics", "bleu")
    assert (done.returncode, "across prompts" in done.stdout) == (0, False)
