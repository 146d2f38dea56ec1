"""From a threshold chosen on dev data to a reader that abstains on other data."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from aqa_stub import StubBackend
from calls import Call

from aqa.evaluation.contracts import Contract
from aqa.records import Prediction, Prompt

SURE = 300
RIGHT = {"predicted_answer": "x", "answers": ["x"], "confidence": 1}
NINE = dict.fromkeys(map(str, range(9)), RIGHT)


def write_data(path: Path, name: str) -> Path:
    """Of 400 questions the reader answers the first 300 correctly, and only those confidently."""
    rows = [
        {
            "id": f"{name}{at}",
            "question": "What is said?",
            "context": f"word {at} here and more",
            "answers": [f"word {at} here" if at < SURE else "nothing of it"],
        }
        for at in range(400)
    ]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def sure_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = StubBackend.answer

    def with_confidence(self: StubBackend, prompt: Prompt) -> Prediction:
        number = int(re.sub(r"\D", "", prompt.id))
        confidence = -0.1 - number / 10_000 if number < SURE else -2.0 - number / 10_000
        return replace(answer(self, prompt), confidence=confidence)

    monkeypatch.setattr(StubBackend, "answer", with_confidence)


@pytest.fixture
def contract(call_aqa: Call, tmp_path: Path) -> Path:
    data = write_data(tmp_path / "dev.jsonl", "dev")
    call_aqa("predict", "stub", "--data", data, "-o", "dev", code=0)
    words = ("--choose-threshold", "risk=10", "--output", "silence.json")
    done = call_aqa("evaluate", "dev", *words, code=0)
    assert "contract: silence.json" in done.stdout
    said = " ".join(done.stderr.split())
    assert "Contract: of these 400 questions 8" in said
    assert "wrongly; of others like them at most 10 % will be, with 95 % confidence." in said
    return tmp_path / "silence.json"


def test_the_contract_says_what_it_promises(contract: Path) -> None:
    found = json.loads(contract.read_bytes())
    assert found["kind"] == "contract of silence"
    assert (found["risk"], found["level"], found["score"]) == (10, 95, "em")
    assert 75 <= found["coverage"] < 83
    assert found["questions"] == 400
    assert set(found["reader"]) == {"backend", "evidence", "prompt", "reader"}


def test_it_is_kept_and_looked_at_again(contract: Path, call_aqa: Call, tmp_path: Path) -> None:
    data = write_data(tmp_path / "test.jsonl", "test")
    run = ("predict", "stub", "--data", data, "-o", "test")
    told = call_aqa(*run, "--abstain-below", contract, code=0).stdout
    rows = json.loads((tmp_path / "test" / "predictions.json").read_bytes())
    silent = sum("withheld" in row for row in rows.values())
    assert f"400 answered, 0 failed; {silent} withheld for low confidence" in told
    assert rows["test0"]["predicted_answer"] == "word 0 here"
    last = rows["test399"]
    assert (last["predicted_answer"], last["abstained"]) == ("", True)
    assert last["withheld"] == last["raw"] == "word 399 here"
    done = call_aqa("evaluate", "test")
    assert "test: the contract held;" in done.stdout
    kept = json.loads((tmp_path / "test" / "metrics.json").read_bytes())["silence"][0]
    assert kept["value"] <= 10
    assert kept["answered"] == sum(bool(row["predicted_answer"]) for row in rows.values())
    # The confidence in a withheld answer says nothing about the abstention.
    (scored,) = json.loads((tmp_path / "test" / "metrics.json").read_bytes())["systems"]
    assert scored["calibration"]["n"] == kept["answered"]
    done = call_aqa("evaluate", "test", "--metrics", "f1")
    told = "test follows a contract by em, which was not computed; add em to --metrics"
    assert told in " ".join((done.stdout + done.stderr).split())
    # The journal has what the reader said: without the contract, its answers return.
    call_aqa(*run, code=0)
    again = json.loads((tmp_path / "test" / "predictions.json").read_bytes())
    assert again["test399"]["predicted_answer"] == "word 399 here"
    assert "withheld" not in again["test399"]


def test_it_is_kept_under_stress_but_not_with_another_prompt(
    contract: Path, call_aqa: Call, tmp_path: Path
) -> None:
    run = ("predict", "stub", "--data", "dev.jsonl", "--abstain-below", contract)
    call_aqa(*run, "-o", "card", "--stress", "duplicate", code=0)
    rows = json.loads(
        (tmp_path / "card" / "stress" / "duplicate" / "predictions.json").read_bytes()
    )
    assert rows["dev399"]["withheld"] == "word 399 here"
    refused = call_aqa(*run, "-o", "two", "--prompt", "eng_v1", "--prompt", "eng_v2", code=1)
    assert 'prompt.name was "eng_v1" and is now "eng_v2"' in " ".join(refused.stderr.split())
    assert "Run 1" not in refused.stderr  # before anything is asked


def test_who_gives_no_answer_keeps_it_for_nothing(
    contract: Path, call_aqa: Call, tmp_path: Path
) -> None:
    strict = {**json.loads(contract.read_bytes()), "threshold": 0.5}
    contract.write_text(json.dumps(strict), encoding="utf-8")
    call_aqa("predict", "stub", "--data", "dev.jsonl", "-o", "new", "--abstain-below", contract)
    done = call_aqa("evaluate", "new")
    told = "new follows a contract, and gives no answer at all"
    assert told in " ".join((done.stdout + done.stderr).split())
    assert "silence" not in json.loads((tmp_path / "new" / "metrics.json").read_bytes())


def test_a_contract_of_another_reader_is_refused(contract: Path, call_aqa: Call) -> None:
    run = ("predict", "stub", "--data", "dev.jsonl", "--set", "backend.max_length=300")
    refused = call_aqa(*run, "-o", "other", "--abstain-below", contract, code=1)
    told = "made with other settings: reader.max_length was 400 and is now 300; make one for this"
    assert told in " ".join(refused.stderr.split())
    words = ("-o", "other", "--abstain-below", contract, "--allow-other-reader")
    call_aqa(*run, *words, code=0)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("agreement", "made with confidences of kind mean_logprob, but this reader gives"),
        (None, "this reader's answers have no confidence"),
    ],
)
def test_a_contract_for_another_kind_of_confidence_is_refused(
    kind: str | None, told: str, contract: Path, call_aqa: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StubBackend, "confidence_kind", kind)
    run = ("predict", "stub", "--data", "dev.jsonl", "-o", "other", "--allow-other-reader")
    refused = call_aqa(*run, "--abstain-below", contract, code=1)
    assert told in " ".join(refused.stderr.split())
    assert not (contract.parent / "other").exists()


def test_confidences_of_two_kinds_make_no_contract(call_aqa: Call, tmp_path: Path) -> None:
    kinds = ("agreement", "mean_logprob")
    rows = {str(at): {**RIGHT, "confidence_kind": kinds[at % 2]} for at in range(200)}
    (tmp_path / "a.json").write_text(json.dumps(rows))
    done = call_aqa("evaluate", "a.json", "--choose-threshold", "risk=5", code=1)
    assert "a has confidences of 2 kinds (agreement, mean_logprob)" in " ".join(done.stderr.split())
    assert not (tmp_path / "silence.json").exists()


def test_what_is_no_contract(call_aqa: Call, tmp_path: Path) -> None:
    write_data(tmp_path / "dev.jsonl", "dev")
    for text in ("{}", "[1]", "not JSON", '{"kind": "contract of silence", "threshold": "x"}'):
        (tmp_path / "c.json").write_text(text)
        run = ("predict", "stub", "--data", "dev.jsonl", "-o", "run", "--abstain-below", "c.json")
        done = call_aqa(*run, code=1)
        assert "c.json is " in done.stderr
        assert not (tmp_path / "run").exists()
    (tmp_path / "folder").mkdir()
    done = call_aqa(*run[:-1], "folder", code=1)
    assert "folder is a folder; name the file of the contract, as folder/sil" in done.stderr


def test_answers_without_a_confidence(call_aqa: Call, tmp_path: Path) -> None:
    rows = {name: {**RIGHT, "confidence": None} for name in NINE}
    (tmp_path / "a.json").write_text(json.dumps(rows))
    done = call_aqa("evaluate", "a.json", "--choose-threshold", "risk=5", code=1)
    assert "a: no answer has a confidence" in (said := " ".join(done.stderr.split()))
    assert "add a column confidence, higher where it is surer" in said


@pytest.mark.parametrize(
    ("name", "value"),
    [("version", 2), ("threshold", True), ("coverage", "x"), ("reader", [1]), ("more", 1)],
)
def test_a_contract_that_was_changed(
    name: str, value: object, call_aqa: Call, tmp_path: Path
) -> None:
    write_data(tmp_path / "dev.jsonl", "dev")
    contract = Contract(-1.0, 5, 95, "em", 100, 50, 1, 60, 60, "none").to_json()
    run = ("predict", "stub", "--data", "dev.jsonl", "-o", "run", "--abstain-below", "c.json")
    (tmp_path / "c.json").write_text(json.dumps({**contract, name: value}))
    done = call_aqa(*run, "--allow-other-reader", code=1)
    assert "was changed, or is of another version" in done.stderr
    assert not (tmp_path / "run").exists()
    (tmp_path / "c.json").write_text(json.dumps(contract))
    call_aqa(*run, "--allow-other-reader", code=0)


@pytest.mark.parametrize(("named", "code"), [("", 1), ("agreement", 0)])
def test_confidences_of_an_unknown_kind_have_no_threshold_for_another_reader(
    named: str, code: int, call_aqa: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StubBackend, "confidence_kind", "agreement")
    write_data(tmp_path / "dev.jsonl", "dev")
    row = {**RIGHT, "confidence_kind": named} if named else RIGHT
    (tmp_path / "a.json").write_text(json.dumps({str(at): row for at in range(200)}))
    call_aqa("evaluate", "a.json", "--choose-threshold", "risk=5", "--output", "c.json", code=0)
    run = ("predict", "stub", "--data", "dev.jsonl", "-o", "run", "--abstain-below", "c.json")
    done = call_aqa(*run, "--allow-other-reader", code=code)
    assert ("may not suit this reader's agreement" in " ".join(done.stderr.split())) == (not named)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--choose-threshold", "5"], 'such as "risk=5"'),
        (["--choose-threshold", "risk=100"], 'such as "risk=5"'),
        (["--choose-threshold", "risk=5", "--wrong-under", "em"], 'such as "f1=50"'),
        (["--choose-threshold", "risk=5", "--wrong-under", "bleu=5"], "there is no such score"),
        (["--choose-threshold", "risk=5", "--metrics", "f1"], "there is no such score"),
        (
            ["b.json", "--choose-threshold", "risk=5"],
            "for one reader; give only one of a.json, b.json",
        ),
    ],
)
def test_wrong_usage(words: list[str], told: str, call_aqa: Call, tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(NINE))
    done = call_aqa("evaluate", "a.json", *words, code=2)
    if {"b.json", "f1"} & set(words):
        assert "Scoring" not in done.stderr  # no judge is paid for it
    assert told in " ".join(done.stderr.split())
    assert not (tmp_path / "silence.json").exists()


def test_too_few_questions(call_aqa: Call, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(NINE))
    done = call_aqa("evaluate", "a.json", "--choose-threshold", "risk=5", code=1)
    assert "by 9 questions, which are too few to plan from; even without a wrong" in done.stderr


@pytest.mark.parametrize(
    "change",
    [{"score": ["em"]}, {"risk": -5}, {"limit": None}, {"reader": "x"}, {"level": 10**400}],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_contract_is_refused(
    change: dict[str, object], contract: Path, call_aqa: Call, tmp_path: Path
) -> None:
    changed = {**json.loads(contract.read_bytes()), **change}
    manifest = tmp_path / "dev" / "run.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_bytes()), "silence": changed}))
    done = call_aqa("evaluate", "dev", "--output", "m.json", code=1)
    assert "its run.json is a contract that was changed" in done.stderr
    assert not (tmp_path / "m.json").exists()


def test_confidences_in_a_csv_are_numbers(call_aqa: Call, tmp_path: Path) -> None:
    lines = [f"{at},{'x' if at < SURE else 'y'},x,{1 - at / 1000}" for at in range(400)]
    lines[7] = "7,x,x,nan"
    (tmp_path / "a.csv").write_text("\n".join(["id,prediction,references,confidence", *lines]))
    call_aqa("evaluate", "a.csv", "--choose-threshold", "risk=10", code=0)
    found = json.loads((tmp_path / "silence.json").read_bytes())
    assert 0.65 < found["threshold"] < 0.701
    kept = sum(1 - at / 1000 >= found["threshold"] for at in range(400) if at != 7)
    assert found["coverage"] * 4 == kept
