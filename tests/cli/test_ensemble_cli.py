"""From members' answers on dev data to an ensemble that answers other data."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from aqa_stub import StubBackend
from calls import Call
from drawn_readers import draw, drawn_answer, write_data

DEV, TEST = 240, 60
THREE = "backend.members=[a, b, c]"


@pytest.fixture(autouse=True)
def readers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StubBackend, "answer", drawn_answer)


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    return write_data(tmp_path / "dev.jsonl", "dev", DEV)


@pytest.fixture
def test(tmp_path: Path) -> Path:
    return write_data(tmp_path / "test.jsonl", "test", TEST)


def predict(call_aqa: Call, data: Path, *names: str, more: tuple[str, ...] = ()) -> None:
    for name in names:
        run = ("predict", "stub", "--model", name, "--data", data, "-o", name)
        call_aqa(*run, "--set", f"backend.asked={name}.asked", *more, code=0)


def asked(folder: Path, name: str) -> list[str]:
    path = folder / f"{name}.asked"
    return path.read_text().split() if path.exists() else []


def train(
    call_aqa: Call, data: Path, *settings: str, code: int = 0
) -> subprocess.CompletedProcess[str]:
    told = [word for setting in settings for word in ("--set", setting)]
    return call_aqa("train", "ensemble", "--data", data, "-o", "ens", *told, code=code)


def answers(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "predictions.json").read_bytes())
    return found


def test_a_majority_is_learned_and_answers(
    call_aqa: Call, tmp_path: Path, dev: Path, test: Path
) -> None:
    predict(call_aqa, dev, "a", "b", "c")
    done = train(call_aqa, dev, THREE)
    assert "the ensemble is better than the best member by" in done.stdout
    assert "Chosen: majority of a, b, c." in done.stdout
    assert "left out: weighted by confidence" in done.stderr
    assert "(a, b, c gave answers without a confidence)" in " ".join(done.stderr.split())
    held_out = answers(tmp_path / "ens")
    assert len(held_out) == DEV
    assert {row["member"] for row in held_out.values()} <= {"a", "b", "c"}
    for row in held_out.values():
        assert row["abstained"] == (not row["predicted_answer"])
        assert row["evidence"]["ranks"], "what the member read"

    for name in "abc":
        (tmp_path / f"{name}.asked").unlink()
    run = ("predict", "ensemble", "--model", "ens", "--data", test)
    call_aqa(*run, code=0)
    found = answers(tmp_path / "ens" / "predict-test")
    for key, row in found.items():
        rights = [draw(name, key) < 0.6 for name in "abc"]
        number = key.removeprefix("test")
        if sum(rights) >= 2:
            assert row["predicted_answer"] == f"right {number}"
            assert row["confidence"] == pytest.approx(sum(rights) / 3)
            assert row["confidence_kind"] == "ensemble:majority"
    assert sorted(asked(tmp_path, "a")) == sorted(found)
    # Nothing is asked twice, neither by this run nor by another one that finds the answers.
    call_aqa(*run, code=0)
    assert len(asked(tmp_path, "a")) == TEST
    call_aqa("evaluate", "ens/predict-test", code=0)


@pytest.mark.slow
def test_what_is_there_is_taken_and_the_rest_is_asked(
    call_aqa: Call, tmp_path: Path, dev: Path, test: Path
) -> None:
    predict(call_aqa, dev, "a", "b", "c")
    train(call_aqa, dev, THREE)
    for name in ("a", "b"):  # in runs inside the members' own folders
        run = ("predict", "stub", "--model", name, "--data", test, "-o", f"{name}/predict-test")
        call_aqa(*run, code=0)
    journal = tmp_path / "b" / "predict-test" / "predictions.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:41]))  # 40 of its 60 answers
    for name in "abc":
        (tmp_path / f"{name}.asked").unlink()
    call_aqa("predict", "ensemble", "--model", "ens", "--data", test, "-o", "out", code=0)
    assert [len(asked(tmp_path, name)) for name in "abc"] == [0, 20, 60]
    assert len(answers(tmp_path / "out")) == TEST
    assert not (tmp_path / "out" / "members" / "a").exists()


def test_a_cascade_asks_the_dear_one_where_needed(
    call_aqa: Call, tmp_path: Path, dev: Path, test: Path
) -> None:
    predict(call_aqa, dev, "dear", "sure")
    done = train(call_aqa, dev, "backend.members=[dear, sure]")
    chosen = r"Chosen: sure, and dear for the (\d+) % of which sure is less sure"
    told = re.search(chosen + r", which saves \$([\d.]+) in 1,000 questions", done.stdout)
    assert told
    assert 30 <= int(told[1]) <= 45
    assert float(told[2]) == pytest.approx(10 * (1 - int(told[1]) / 100), abs=0.1)
    for name in ("dear", "sure"):
        (tmp_path / f"{name}.asked").unlink()
    run = ("predict", "ensemble", "--model", "ens", "--data", test, "-o", "out")
    done = call_aqa(*run, code=0)
    threshold = json.loads((tmp_path / "ens" / "ensemble.json").read_bytes())["rule"]["threshold"]
    assert 0.8 < threshold < 1.2
    journal = tmp_path / "out" / "members" / "sure" / "predictions.jsonl"
    cheap = [json.loads(line) for line in journal.read_text().splitlines()[1:]]
    wrong = {row["id"] for row in cheap if row["confidence"] < threshold}
    assert len(asked(tmp_path, "sure")) == TEST
    assert len(asked(tmp_path, "dear")) == len(wrong) < TEST / 2
    assert set(asked(tmp_path, "dear")) == wrong
    lines = (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()
    rows = list(map(json.loads, lines[1:]))
    spent = {row["id"]: row["spent"]["cost"] for row in rows if row.get("spent")}
    assert spent == dict.fromkeys(wrong, 0.01)
    # Killed after the members had answered: neither is asked again.
    shutil.copytree(tmp_path / "out", tmp_path / "killed")
    for name in ("predictions.jsonl", "predictions.json", "run.json"):
        (tmp_path / "killed" / name).unlink()
    call_aqa(*run[:-1], "killed", code=0)
    assert answers(tmp_path / "killed") == answers(tmp_path / "out")
    assert len(asked(tmp_path, "dear")) == len(wrong)


@pytest.mark.slow
def test_a_killed_run_goes_on(call_aqa: Call, tmp_path: Path, dev: Path, test: Path) -> None:
    predict(call_aqa, dev, "dear", "sure")
    train(call_aqa, dev, "backend.members=[sure, dear]")
    run = ("predict", "ensemble", "--model", "ens", "--data", test, "-o", "out")
    call_aqa(*run, code=0)
    expected = answers(tmp_path / "out")
    # After a kill while the expensive one answers: a torn line, and nothing of the ensemble's.
    journal = tmp_path / "out" / "members" / "dear" / "predictions.jsonl"
    whole = journal.read_bytes()
    keep = whole[: len(whole) // 2]
    journal.write_bytes(keep)
    for name in ("predictions.jsonl", "predictions.json"):
        (tmp_path / "out" / name).unlink()
    before = len(asked(tmp_path, "dear"))
    call_aqa(*run, code=0)
    assert answers(tmp_path / "out") == expected
    again = len(asked(tmp_path, "dear")) - before
    assert again == whole.count(b"\n") - keep.count(b"\n")


def test_members_that_differ_by_nothing_leave_the_best(call_aqa: Call, dev: Path) -> None:
    predict(call_aqa, dev, "a", "b")
    done = train(call_aqa, dev, "backend.members=[a, b]")
    assert re.search(r"Chosen: [ab] alone, as no rule is better beyond chance\.", done.stdout)
    assert "can't be told apart" in done.stdout


def test_members_keep_no_contract_of_silence(call_aqa: Call, tmp_path: Path, dev: Path) -> None:
    predict(call_aqa, dev, "a", "b")
    train(call_aqa, dev, "backend.members=[a, b]")
    learned = (tmp_path / "ens" / "ensemble.json").read_bytes()
    rows = answers(tmp_path / "a")
    for row in rows.values():
        row |= {"withheld": row["predicted_answer"], "predicted_answer": "", "abstained": True}
    (tmp_path / "a" / "predictions.json").write_text(json.dumps(rows))
    shutil.rmtree(tmp_path / "ens")
    train(call_aqa, dev, "backend.members=[a, b]")
    assert (tmp_path / "ens" / "ensemble.json").read_bytes() == learned


def test_a_folder_of_several_prompts_is_no_member(call_aqa: Call, dev: Path) -> None:
    predict(call_aqa, dev, "a")
    predict(call_aqa, dev, "b", more=("--prompt", "eng_v1", "--prompt", "eng_v2"))
    done = train(call_aqa, dev, "backend.members=[a, b]", code=1)
    told = "b holds the answers of several readers (eng_v1, eng_v2); name the run of one, such as b"
    assert told in " ".join(done.stderr.split())
    train(call_aqa, dev, "backend.members=[a, b/eng_v2]")


def test_the_rule_can_be_named(call_aqa: Call, tmp_path: Path, dev: Path) -> None:
    predict(call_aqa, dev, "a", "b")
    done = train(call_aqa, dev, "backend.members=[a, b]", "backend.rule=mbr")
    assert "Chosen: minimum risk (mbr) of a, b." in done.stdout
    assert json.loads((tmp_path / "ens" / "ensemble.json").read_bytes())["rule"]["rule"] == "mbr"
    done = train(call_aqa, dev, "backend.members=[a, b]", "backend.rule=cascade", code=1)
    assert "backend.rule = cascade can't be learned: a, b gave" in done.stderr


@pytest.mark.slow
def test_files_of_other_tools_are_members(
    call_aqa: Call, tmp_path: Path, dev: Path, test: Path
) -> None:
    predict(call_aqa, dev, "a", "b")
    for data, name, count in ((dev, "dev", DEV), (test, "test", TEST)):
        other = {
            f"{name}{at}": f"right {at}" if draw("c", name, at) < 0.6 else "no"
            for at in range(count)
        }
        (tmp_path / f"other_{name}.json").write_text(json.dumps(other))
        assert data.exists()
    done = train(call_aqa, dev, "backend.members=[a, b, other_dev.json]")
    assert "Chosen: majority of a, b, other_dev." in done.stdout
    run = ("predict", "ensemble", "--model", "ens", "--data", test)
    done = call_aqa(*run, code=1)
    assert "other_dev.json is a file, and can't be asked; name the file of its" in done.stderr
    assert not (tmp_path / "ens" / "predict-test").exists()
    done = call_aqa(*run, "--set", "backend.answers=[other_test.json]", code=0)
    assert len(answers(tmp_path / "ens" / "predict-test")) == TEST


@pytest.mark.parametrize(
    ("members", "code", "message"),
    [
        ("[]", 2, "an ensemble needs two members or more"),
        ("[a]", 2, "one will do if its n-best lists count"),
        ("[a, ./a]", 2, "backend.members names a twice"),
        ("[a, a/predictions.json]", 2, r"the answers in a/predictions\.json twice, as a and a/"),
        ("[a, .]", 2, r"names the answers in a twice, as a and \."),
        ("[a, nowhere]", 1, "nowhere: there is no such run folder or file"),
        ("[a, other]", 1, r"other holds no answers to \S+dev.jsonl; predict with that reader"),
        ("[a, shorter]", 1, r"a and shorter were given different evidence \(max_chars\)"),
        ("[a, apart.json]", 1, r"no id of apart.json is in the data"),
    ],
)
def test_members_that_do_not_fit_are_refused(
    call_aqa: Call, tmp_path: Path, members: str, code: int, message: str
) -> None:
    dev, test = (write_data(tmp_path / f"{name}.jsonl", name, 20) for name in ("dev", "test"))
    predict(call_aqa, dev, "a")
    predict(call_aqa, dev, "shorter", more=("--set", "evidence.max_chars=20"))
    predict(call_aqa, test, "other")
    (tmp_path / "apart.json").write_text('{"x": "y"}')
    done = train(call_aqa, dev, f"backend.members={members}", code=code)
    assert re.search(message, done.stderr), done.stderr
    assert not (tmp_path / "ens").exists()


def test_only_common_questions_count(call_aqa: Call, tmp_path: Path, dev: Path) -> None:
    for name, ids in (("one", range(100)), ("two", range(100, DEV))):
        found = {f"dev{at}": "x" for at in ids}
        (tmp_path / f"{name}.json").write_text(json.dumps(found))
    done = train(call_aqa, dev, "backend.members=[one.json, two.json]", code=1)
    assert "the members have answers to no common question" in done.stderr
    found = {f"dev{at}": f"right {at}" for at in range(50, DEV)}
    (tmp_path / "two.json").write_text(json.dumps(found))
    done = train(call_aqa, dev, "backend.members=[one.json, two.json]")
    assert f"{DEV - 50} questions that not all members were asked are left out" in done.stderr
    assert "counted as 0" not in done.stderr
    assert {*answers(tmp_path / "ens")} == {f"dev{at}" for at in range(50, 100)}


def test_too_few_questions_are_refused(call_aqa: Call, tmp_path: Path) -> None:
    few = write_data(tmp_path / "few.jsonl", "few", 9)
    predict(call_aqa, few, "a", "b")
    done = train(call_aqa, few, "backend.members=[a, b]", code=1)
    assert "an ensemble is learned from 10 questions or more, and there are 9" in done.stderr
    assert not (tmp_path / "ens").exists()


@pytest.mark.slow
def test_answers_of_other_data_or_readers_are_refused(
    call_aqa: Call, tmp_path: Path, dev: Path, test: Path
) -> None:
    predict(call_aqa, dev, "a", "b", "c")
    train(call_aqa, dev, THREE)
    run = ("predict", "ensemble", "--model", "ens", "--data", test, "-o", "out")
    done = call_aqa(*run, "--set", "backend.answers=[a]", code=1)
    assert "a holds answers of no member to these questions: data has changed" in done.stderr
    done = call_aqa(*run, "--set", "backend.answers=[nowhere]")
    assert "backend.answers names nowhere, which is not a run folder" in done.stderr
    predict(call_aqa, test, "d")
    done = call_aqa(*run, "--set", "backend.answers=[d]")
    assert "d holds answers of no member to these questions: reader.model was" in done.stderr
    # The reader itself has changed since.
    path = tmp_path / "ens" / "ensemble.json"
    changed = json.loads(path.read_bytes())
    changed["members"][1]["config"]["backend"]["model"] = "b2"
    path.write_text(json.dumps(changed))
    done = call_aqa(*run)
    assert "b is not the reader that the ensemble learned from: reader.model was" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_failed_member_has_no_vote(call_aqa: Call, tmp_path: Path, dev: Path, test: Path) -> None:
    fails = ("--set", "backend.fail_ids=[dev0, test0, test1]")
    predict(call_aqa, dev, "a", "b", "c", more=fails)
    done = train(call_aqa, dev, THREE)
    assert "failed answers count 0: 1 of a and 1 of b and 1 of c." in " ".join(done.stdout.split())
    call_aqa("predict", "ensemble", "--model", "ens", "--data", test, "-o", "out", code=0)
    row = answers(tmp_path / "out")["test0"]
    assert row["error"] == (
        "no member answered: a: a was told to fail; b: b was told to fail; c: c was told to fail"
    )


@pytest.mark.slow
def test_an_ensemble_is_no_member_and_promises_nothing_of_what_it_learned_from(
    call_aqa: Call, tmp_path: Path, dev: Path, test: Path
) -> None:
    predict(call_aqa, dev, "a", "b", "c")
    train(call_aqa, dev, THREE)
    run = ("predict", "ensemble", "--model", "ens", "-o")
    call_aqa(*run, "again", "--data", dev, code=0)
    call_aqa(*run, "out", "--data", test, code=0)
    for member in ("ens", "again"):
        done = call_aqa(
            *("train", "ensemble", "--data", dev, "-o", "nested"),
            *("--set", f"backend.members=[a, {member}]"),
            code=2,
        )
        assert f"{member} is of an ensemble; name the members" in " ".join(done.stderr.split())
    call_aqa(*run, "b/inner", "--data", dev, code=0)  # leaves b a reader
    members = ("--set", "backend.members=[a, b]")
    call_aqa("train", "ensemble", "--data", dev, "-o", "of two", *members, code=0)
    told = {
        "ens": "ens is a training; predict questions that it has not seen with its reader"
        " (`aqa predict ensemble --model ens --data QUESTIONS`), and choose",
        "again": "again answers the questions that its reader was trained on, which promise too",
    }
    for folder, message in told.items():
        done = call_aqa("evaluate", folder, "--choose-threshold", "risk=60", code=1)
        assert message in " ".join(done.stderr.split())
        assert not (tmp_path / folder / "silence.json").exists()
        done = call_aqa("evaluate", folder, "--stress", code=1)
        assert "can't be put under stress; name runs of its members" in " ".join(
            done.stderr.split()
        )
    call_aqa("evaluate", "out", "--choose-threshold", "risk=60", code=0)


def test_stress_and_prompts_are_for_one_reader(call_aqa: Call, test: Path) -> None:
    run = ("predict", "ensemble", "--data", test, "-o", "out", "--model", "ens")
    done = call_aqa(*run, "--stress", "duplicate", code=2)
    assert "--stress is for one reader" in done.stderr
    for more in (("--prompt", "eng_v2"), ("--prompt", "eng_v1", "--prompt", "eng_v2")):
        done = call_aqa(*run, *more, code=2)
        assert "has no effect: each member uses its own" in done.stderr


def test_an_ensemble_has_no_prompts_to_preview(call_aqa: Call, test: Path) -> None:
    done = call_aqa("prompt-preview", "ensemble", "--data", test, "--model", "ens", code=2)
    assert "an ensemble has no prompts" in done.stderr


def test_an_ensemble_is_asked_by_one_process(
    call_aqa: Call, test: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "0"), ("AQA_LAUNCH", "one")):
        monkeypatch.setenv(name, value)
    done = call_aqa("predict", "ensemble", "--data", test, "--model", "ens", "-o", "out", code=2)
    assert "a prediction by ensemble runs in one process only" in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_ensemble_that_is_none_is_refused(call_aqa: Call, tmp_path: Path, test: Path) -> None:
    run = ("predict", "ensemble", "--data", test, "-o", "out")
    assert "no ensemble is named; give the run folder" in call_aqa(*run).stderr
    assert "nowhere holds no ensemble" in call_aqa(*run, "--model", "nowhere").stderr
    (tmp_path / "ens").mkdir()
    (tmp_path / "ens" / "ensemble.json").write_text("[]")
    assert "was written by another version of aqa" in call_aqa(*run, "--model", "ens").stderr
    assert not (tmp_path / "out").exists()
    assert [path.name for path in (tmp_path / "ens").iterdir()] == ["ensemble.json"]


def test_nbest_lists_of_one_reader_are_members(
    call_aqa: Call, tmp_path: Path, dev: Path, test: Path
) -> None:
    predict(call_aqa, dev, "lists", "a")
    done = train(call_aqa, dev, "backend.members=[a]", "backend.nbest=5", code=1)
    assert "no member gave n-best lists" in " ".join(done.stderr.split())
    done = train(call_aqa, dev, "backend.members=[lists]", "backend.nbest=5")
    assert "Chosen: majority of lists." in done.stdout
    done = call_aqa("predict", "ensemble", "--model", "ens", "--data", test, "-o", "out", code=0)
    for key, row in answers(tmp_path / "out").items():
        own = [("lists", key), *(("lists", key, place) for place in range(4))]
        rights = sum(draw(*words) < 0.6 for words in own)
        number = key.removeprefix("test")
        if rights >= 2:
            assert row["predicted_answer"] == f"right {number}"
            assert row["confidence"] == pytest.approx(rights / 5)
