"""A run that stops once it is decided whether it beats another one."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aqa_stub import StubBackend
from calls import Call

from aqa.records import Prediction, Prompt

Wrong = Callable[[int], bool]
QUESTIONS, ARTICLES = 240, 60
STOP = ("predict", "stub", "--data", "dev.jsonl", "--stop-when-decided", "a", "-o", "b")


def write_data(path: Path, question: str = "What is said") -> Path:
    """Four questions on each article; the stub answers all of them correctly."""
    rows = [
        {
            "id": f"q{at}",
            "title": f"article {at % ARTICLES}",
            "question": f"{question} {at}?",
            "context": f"word {at} here and more",
            "answers": [f"word {at} here"],
        }
        for at in range(QUESTIONS)
    ]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def mistaken(monkeypatch: pytest.MonkeyPatch, wrong: Wrong, answers: int | None = None) -> None:
    """Let the stub be wrong on some questions, and stop after so many answers."""
    answer, count = StubBackend.answer, 0

    def answered(self: StubBackend, prompt: Prompt) -> Prediction:
        nonlocal count
        count += 1
        if answers is not None and count > answers:
            raise KeyboardInterrupt
        found = answer(self, prompt)
        number = int(re.sub(r"\D", "", prompt.id))
        return Prediction(prompt.id, "no idea") if wrong(number) else found

    monkeypatch.setattr(StubBackend, "answer", answered)


def is_fourth(number: int) -> bool:
    return number * 7919 % 997 % 4 == 0


@pytest.fixture(autouse=True)
def reference(tmp_path: Path) -> Path:
    """Predictions that are wrong on a quarter of the questions, and the data."""
    rows = map(json.loads, write_data(tmp_path / "dev.jsonl").read_text().splitlines())
    found = {
        row["id"]: {
            "question": row["question"],
            "answers": row["answers"],
            "predicted_answer": "no idea" if is_fourth(at) else row["answers"][0],
            "clusters": {"title": row["title"]},
        }
        for at, row in enumerate(rows)
    }
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "predictions.json").write_text(json.dumps(found))
    return tmp_path / "a"


def result(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.json").read_bytes())["deciding"]["result"]
    return found


def test_a_better_reader_stops_early_and_is_compared_so(call_aqa: Call, tmp_path: Path) -> None:
    done = call_aqa(*STOP, code=0)
    found = result(tmp_path / "b")
    assert found["verdict"] == "b better"
    assert 64 <= found["asked"] < QUESTIONS
    assert f"after {found['asked']} of 240 questions: b is better than a" in done.stdout
    answers = json.loads((tmp_path / "b" / "predictions.json").read_bytes())
    assert len(answers) == found["asked"]
    articles = [int(key[1:]) % ARTICLES for key in answers]
    assert {articles.count(one) for one in articles} == {4}, "articles are asked whole"

    metrics = ("--metrics", "em,f1,bleu1")
    done = call_aqa("evaluate", "a", "b", "--data", "dev.jsonl", *metrics, "--json", code=0)
    assert "the same confidence sequence" in done.stderr
    assert "no prediction for" not in done.stderr
    report = json.loads(done.stdout)
    assert (report["n"], report["systems"][1]["missing"]) == (found["asked"], 0)
    (compared,) = [one for one in report["comparisons"] if one["metric"] == "f1"]
    assert compared["test"] == "sequence-t-mixture"
    for name in ("difference", "low", "high", "p"):
        assert compared[name] == pytest.approx(found[name])
    for system in report["systems"]:
        f1 = system["scores"]["f1"]
        assert "|ci:confidence-sequence|" in f1["signature"]
        assert "design_effect" not in f1
        assert 0 <= f1["low"] < f1["value"] <= f1["high"] <= 100
        # After so few questions, a sequence is far wider than a fixed-size interval.
        assert f1["high"] - f1["low"] > 12
        assert "low" not in system["scores"]["bleu1"], "no sequence follows what is no mean"
    assert {one["metric"] for one in report["comparisons"]} == {"em", "f1"}
    assert "too narrow, for calibration.ece and labels" in report["cluster"]["intervals"]
    told = call_aqa("evaluate", "a", "b", "--slice", "title", "--report", "r.html").stdout
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "chance does not explain, valid at any time." in " ".join(page.split())
    assert "detectable" not in page, "a test of fixed size would have that power"
    assert re.search(r"│ article \d+ ", told)
    assert "b is better than a" in told
    assert "valid at any time" in told


def test_a_stopped_run_promises_nothing(call_aqa: Call, tmp_path: Path) -> None:
    call_aqa(*STOP, code=0)
    asked = result(tmp_path / "b")["asked"]
    choose = ("evaluate", "b", "--choose-threshold", "risk=60", "--output", "silence.json")
    done = call_aqa(*choose, code=1)
    assert f"b was stopped by its scores after {asked} of 240 questions" in done.stderr
    assert not (tmp_path / "silence.json").exists()
    call_aqa("predict", "stub", "--data", "dev.jsonl", "-o", "b", code=0)
    done = call_aqa(*choose, code=1)
    assert "no answer has a confidence" in done.stderr  # which the stub never gives


@pytest.mark.parametrize(
    ("name", "value"),
    [("clusters", None), ("largest_cluster", "many"), ("reference", "a"), ("questions", 0)],
)
def test_a_changed_plan_is_refused(
    call_aqa: Call, tmp_path: Path, name: str, value: object
) -> None:
    call_aqa(*STOP, code=0)
    path = tmp_path / "b" / "run.json"
    manifest = json.loads(path.read_bytes())
    manifest["deciding"]["plan"][name] = value
    path.write_text(json.dumps(manifest))
    done = call_aqa("evaluate", "a", "b", "--output", "m.json", code=1)
    assert "b: its run.json no longer says how --stop-when-decided was to stop" in done.stderr
    assert not (tmp_path / "m.json").exists()


def test_a_stopped_run_of_other_questions(call_aqa: Call, tmp_path: Path) -> None:
    call_aqa(*STOP, code=0)
    path = tmp_path / "b" / "predictions.json"
    first = next(iter(json.loads(path.read_bytes()).values()))
    path.write_text(json.dumps({"elsewhere": first}))
    done = call_aqa("evaluate", "a", "b", code=1)
    assert "no id of a is in the other files" in done.stderr
    known = json.loads((tmp_path / "a" / "predictions.json").read_bytes())
    (tmp_path / "both.json").write_text(json.dumps({**known, "elsewhere": first}))
    done = call_aqa("evaluate", "a", "b", "both.json", code=1)
    assert "a system lacks answers to what was asked in the run of b" in done.stderr


def test_a_worse_reader_is_told(
    call_aqa: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mistaken(monkeypatch, lambda number: is_fourth(number) or number % 2 == 0)
    call_aqa(*STOP, code=0)
    assert result(tmp_path / "b")["verdict"] == "a better"


@pytest.mark.parametrize(
    ("margin", "verdict"),
    [
        (("--margin", "15"), "no difference above the margin"),
        (("--margin", "2"), "undecided"),  # 1 article in 50 may differ entirely
        ((), "undecided"),
    ],
)
def test_equal_readers(
    margin: tuple[str, ...], verdict: str, call_aqa: Call, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    mistaken(monkeypatch, is_fourth)
    done = call_aqa(*STOP, *margin, "--json", code=0)
    found = result(tmp_path / "b")
    assert json.loads(done.stdout)["decision"] == found
    assert found["verdict"] == verdict
    assert (found["asked"] < QUESTIONS) == (verdict != "undecided")


@pytest.mark.slow
@pytest.mark.parametrize("answers", [30, 64, 100])
def test_a_broken_off_run_comes_to_the_same(
    answers: int, call_aqa: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(number: int) -> bool:
        return number % 8 == 1

    mistaken(monkeypatch, wrong)
    call_aqa(*STOP, "--decide-by", "em", "-o", "whole", code=0)
    broken = (*STOP, "--decide-by", "em")
    with monkeypatch.context() as patched:
        mistaken(patched, wrong, answers)
        call_aqa(*broken, code=130)
    call_aqa(*broken, code=0)
    whole, found = result(tmp_path / "whole"), result(tmp_path / "b")
    assert {**found, "b": "whole"} == whole
    files = [tmp_path / name / "predictions.json" for name in ("b", "whole")]
    assert files[0].read_bytes() == files[1].read_bytes()
    with monkeypatch.context() as patched:
        mistaken(patched, wrong, 0)
        assert call_aqa(*broken).returncode == 0, "what is decided asks nothing"
    assert result(tmp_path / "b") == found


def test_failures_count_as_wrong(call_aqa: Call, tmp_path: Path) -> None:
    ids = [f"q{at}" for at in range(QUESTIONS) if at % 2]
    done = call_aqa(*STOP, "--set", f"backend.fail_ids={json.dumps(ids)}", code=0)
    found = result(tmp_path / "b")
    assert found["verdict"] == "a better"
    failed = found["failed"][1]
    assert found["failed"] == [0, failed]
    assert found["asked"] / 3 < failed < found["asked"]
    assert f"; failed answers count 0: {failed} of b)" in " ".join(done.stdout.split())
    done = call_aqa("evaluate", "a", "b", code=0)
    assert f"b: failed answers to {failed} ids (q" in " ".join(done.stderr.split())
    stop = ("predict", "stub", "--data", "dev.jsonl", "-o", "c", "--stop-when-decided", "b")
    done = call_aqa(*stop, code=0)
    said = " ".join((done.stdout + done.stderr).split())
    assert "b stopped when" not in said, "all its questions were asked"
    assert f"failed answers count 0: {result(tmp_path / 'c')['failed'][0]} of b)" in said


def test_whoever_relies_on_a_run_that_stopped_early_is_warned(call_aqa: Call) -> None:
    call_aqa(*STOP, code=0)
    train = ("train", "ensemble", "--data", "dev.jsonl", "--set", "backend.members=[a, b]")
    compare = ("predict", "stub", "--data", "dev.jsonl", "-o", "c", "--stop-when-decided", "b")
    for words in ((*train, "-o", "ens"), compare):
        said = " ".join(call_aqa(*words, code=0).stderr.split())
        assert "b stopped when it was decided, perhaps when chance favoured it; a whole" in said
    call_aqa(*(word for word in STOP if word not in ("--stop-when-decided", "a")), code=0)
    assert "stopped when" not in call_aqa(*train, "-o", "whole", code=0).stderr


def test_a_run_goes_on_as_it_began(call_aqa: Call, tmp_path: Path) -> None:
    call_aqa(*STOP, code=0)
    before = (tmp_path / "b" / "run.json").read_bytes()
    other = json.loads((tmp_path / "a" / "predictions.json").read_bytes())
    other["q0"]["predicted_answer"] = "another word 0"
    (tmp_path / "other.json").write_text(json.dumps(other))
    for words, told in (
        (("--set", "seed=7"), "seed was 42 and is now 7"),
        (("--margin", "2"), "margin was null and is now 2.0"),
        (("--decide-by", "em"), 'score was "f1" and is now "em"'),
        (("--stop-when-decided", "other.json"), "the reference gave other answers"),
    ):
        done = call_aqa(*STOP, *words, code=1)
        assert f"b stops when it is decided, and continues only as it began: {told}" in done.stderr
        assert (tmp_path / "b" / "run.json").read_bytes() == before
    call_aqa(*STOP, "--set", "seed=7", "--fresh", code=0)


def test_a_dry_run_counts_what_would_be_asked(call_aqa: Call, tmp_path: Path) -> None:
    """Questions that the reference has not answered are not asked, so they cost nothing."""
    known = json.loads((tmp_path / "a" / "predictions.json").read_bytes())
    for count in (30, 80):
        part = {key: known[key] for key in list(known)[:count]}
        (tmp_path / f"{count}.json").write_text(json.dumps(part))
    dry = (
        *("predict", "gpt4", "--data", "dev.jsonl", "-o", "new", "--dry-run", "--json"),
        *("--set", "backend.base_url=http://127.0.0.1:9/v1"),
    )
    assert json.loads(call_aqa(*dry, code=0).stdout)["examples"] == QUESTIONS
    done = call_aqa(*dry, "--stop-when-decided", "80.json", code=0)
    assert json.loads(done.stdout)["examples"] == 80
    sees = (*dry, "--against", "80.json", "--to-see", "5")
    assert json.loads(call_aqa(*sees, code=0).stdout)["examples"] == QUESTIONS
    done = call_aqa(*dry, "--stop-when-decided", "30.json", code=1)
    assert "30.json answers 30 of these questions" in done.stderr


def test_what_a_run_can_not_be_held_against(call_aqa: Call, tmp_path: Path) -> None:
    few = json.loads((tmp_path / "a" / "predictions.json").read_bytes())
    (tmp_path / "few.json").write_text(json.dumps({key: few[key] for key in list(few)[:30]}))
    write_data(tmp_path / "asked.jsonl", "Who says it")
    stop = ("predict", "stub", "--data", "dev.jsonl", "-o", "new", "--stop-when-decided")
    call_aqa("predict", "stub", "--data", "dev.jsonl", "-o", "run", code=0)
    for words, told in (
        ((*stop, "few.json"), "few.json answers 30 of these questions"),
        ((*stop, "a", "--data", "asked.jsonl"), "a answers other questions under the ids q0, q1"),
        ((*stop, "run", "--top-k", "1"), "run and this run are given different evidence (top_k"),
        ((*stop, "nothing"), "nothing"),
        ((*stop, "dev.jsonl"), "; give rows with only an id and a prediction, one for each quest"),
    ):
        done = call_aqa(*words, code=1)
        assert told in done.stderr.splitlines()[-1]
        assert not (tmp_path / "new").exists()
    done = call_aqa(*stop, "run", "-o", "run", code=2)
    assert "a run can't be compared with itself" in done.stderr
    done = call_aqa("predict", "stub", "--data", "dev.jsonl", "--margin", "2", code=2)
    assert "--margin and --decide-by need --stop-when-decided" in done.stderr
