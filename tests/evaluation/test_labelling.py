"""Choosing answers for people to label, and estimating a difference from their labels."""

import csv
import json
from codecs import BOM_UTF8
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from calls import Call

from aqa.evaluation.judge.labels import blinded
from aqa.evaluation.labelling import are_same, doubt, expected

COUNT = 120
EVALUATE = ("evaluate", "a.json", "b.json")


def answers(number: int) -> tuple[str, str]:
    """Two thirds of the answers are equal; in the rest, b is right and a words it differently."""
    right = f"the answer {number}"
    return (right, right) if number % 3 else (f"another phrase\n{number} so", right)


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    for side, name in enumerate("ab"):
        rows = {
            f"q{at}": {
                "question": f"what {at}?",
                "answers": [f"the answer {at}"],
                "predicted_answer": answers(at)[side],
            }
            for at in range(COUNT)
        }
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))


def sheet(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: list[dict[str, str]], delimiter: str = ",") -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def fill(path: Path, label: Callable[[dict[str, str]], str]) -> None:
    write(path, [{**row, "label": label(row)} for row in sheet(path)])


def choose(call_aqa: Call, tmp_path: Path, count: int = 30) -> Path:
    done = call_aqa(*EVALUATE, "--label", str(count), "--output", "to_label.csv", code=0)
    assert "answers to label: to_label.csv" in done.stdout
    return tmp_path / "to_label.csv"


def test_what_differs_and_is_doubtful_is_chosen(call_aqa: Call, tmp_path: Path) -> None:
    rows = sheet(choose(call_aqa, tmp_path))
    assert len(rows) == 30
    assert all(row["label"] == "" and 0 < float(row["probability"]) <= 1 for row in rows)
    differing = [row for row in rows if int(row["id"][1:]) % 3 == 0]
    assert len(differing) >= 27
    of_a = sum(row["answer"].startswith("another") for row in differing)
    assert of_a > 1.5 * (len(differing) - of_a), "b's answers are exact, which people rarely doubt"
    assert rows[0]["question"].startswith("what ")
    assert json.loads(rows[0]["references"])[0].startswith("the answer")


def test_nobody_sees_whose_an_answer_is(call_aqa: Call, tmp_path: Path) -> None:
    rows = sheet(choose(call_aqa, tmp_path, 10_000))
    assert "system" not in rows[0]
    assert len({row["blind_key"] for row in rows}) == len(rows)
    assert all(row["blind_key"].isalpha() for row in rows), "no spreadsheet takes it for a number"
    first = {row["id"]: row["answer"] for row in reversed(rows) if int(row["id"][1:]) % 3 == 0}
    of_a = sum(text.startswith("another") for text in first.values())
    assert 10 <= of_a <= 30, "of two answers to one question, either may be the first"


def test_a_sheet_that_names_systems_is_read(call_aqa: Call, tmp_path: Path) -> None:
    path = choose(call_aqa, tmp_path)
    fill(path, lambda row: "correct" if int(row["id"][1:]) % 2 else "incorrect")
    judged = (*EVALUATE, "--judge-labels", "to_label.csv", "--json")
    blind = json.loads(call_aqa(*judged).stdout)["labelled"]
    rows = sheet(path)
    for row in rows:
        row["system"] = "a" if row.pop("blind_key") and row["answer"].startswith("an") else "b"
    write(path, rows)
    assert json.loads(call_aqa(*judged).stdout)["labelled"] == blind


def test_the_passages_that_were_read_are_beside_the_answer(call_aqa: Call, tmp_path: Path) -> None:
    passages = [{"title": "T", "text": "First."}, {"text": "Second."}, {"text": "Third."}]
    data = [{"id": f"q{at}", "question": f"why {at}?", "passages": passages} for at in range(COUNT)]
    rows = [{**row, "answers": [f"the answer {at}"]} for at, row in enumerate(data)]
    (tmp_path / "data.json").write_text(json.dumps(rows))
    predicted = json.loads((tmp_path / "a.json").read_bytes())
    for row in predicted.values():
        row["evidence"] = {"ranks": [3, 1]}
    (tmp_path / "a.json").write_text(json.dumps(predicted))
    told = call_aqa(*EVALUATE, "--label", "30", "--output", "1.csv").stderr
    assert "30 of the 30 answers to label have no passages" in told
    words = (*EVALUATE, "--data", "data.json", "--label", "9999", "--output", "2.csv")
    assert "have no passages" not in call_aqa(*words, code=0).stderr
    found = sheet(tmp_path / "2.csv")
    read = {row["passages"] for row in found if row["answer"].startswith("another")}
    assert read == {"[1] Third.\n\n[2] T\nFirst."}
    others = {row["passages"] for row in found} - read
    assert others == {"[1] T\nFirst.\n\n[2] Second.\n\n[3] Third."}, "b's file tells no ranks"
    assert found[0]["question"].startswith("why ")


def test_people_say_that_there_is_no_difference(call_aqa: Call, tmp_path: Path) -> None:
    path = choose(call_aqa, tmp_path)
    fill(path, lambda _: "correct")
    done = call_aqa(*EVALUATE, "--judge-labels", "to_label.csv", "--output", "m.json", code=0)
    found: dict[str, Any] = json.loads((tmp_path / "m.json").read_bytes())
    by_f1 = next(one for one in found["comparisons"] if one["metric"] == "f1")["difference"]
    told = found["labelled"]
    assert by_f1 > 20
    assert told["low"] < 0 < told["high"]
    assert abs(told["difference"]) < by_f1 / 3
    assert f"by people's verdicts b - a is {told['difference']:+.1f} points" in done.stdout


def test_all_labelled_is_the_difference_itself(call_aqa: Call, tmp_path: Path) -> None:
    """Answers on which both agree tell nothing of it; sheets of earlier versions have some."""
    path = choose(call_aqa, tmp_path, 10_000)
    rows = sheet(path)
    assert len(rows) == COUNT // 3 * 2
    assert {float(row["probability"]) for row in rows} == {1.0}
    alike = {"blind_key": blinded("a", "q1"), "id": "q1", "answer": answers(1)[0]}
    write(path, [*({**row, "chosen": ""} for row in rows), {**rows[0], **alike, "chosen": ""}])
    fill(path, lambda row: "correct" if int(row["id"][1:]) % 2 else "incorrect")
    done = call_aqa(*EVALUATE, "--judge-labels", "to_label.csv", "--json")
    assert json.loads(done.stdout)["labelled"]["difference"] == pytest.approx(0)


def test_the_order_of_files_changes_the_sign_alone(call_aqa: Call, tmp_path: Path) -> None:
    path = choose(call_aqa, tmp_path, 10_000)
    fill(path, lambda row: "incorrect" if row["answer"].startswith("another") else "correct")
    found = []
    for files in (("a.json", "b.json"), ("b.json", "a.json")):
        done = call_aqa("evaluate", *files, "--judge-labels", "to_label.csv", "--json", code=0)
        found.append(json.loads(done.stdout)["labelled"])
    one, two = found
    assert one["difference"] == pytest.approx(100 / 3)
    assert two["difference"] == pytest.approx(-one["difference"])
    assert (two["low"], two["high"]) == pytest.approx((-one["high"], -one["low"]))


def test_what_can_not_be_taken_back(call_aqa: Call, tmp_path: Path) -> None:
    path = choose(call_aqa, tmp_path)
    done = call_aqa(*EVALUATE, "--label", "9", "--output", "to_label.csv", code=1)
    assert "would be overwritten" in done.stderr
    fill(path, lambda _: "correct")
    good = path.read_text(encoding="utf-8-sig")
    first = sheet(path)[0]
    for old, new, told in (
        ("probability", "chance", "has no column probability"),
        (first["probability"], "0", "a probability above 0 and up to 1"),
        ("correct", "", "the label is empty; fill in one of"),
        (first["answer"], "other words", "is of another answer than now"),
        (f",{first['id']},", ",q9999,", "is of no answer that is compared here"),
    ):
        path.write_text(good.replace(old, new, 1), encoding="utf-8")
        done = call_aqa(*EVALUATE, "--judge-labels", "to_label.csv", code=1)
        assert told in done.stderr.splitlines()[-1]
    for words, told in (
        (("evaluate", "a.json", "--label", "9", "--output", "new.csv"), "two systems"),
        ((*EVALUATE, "--label", "9", "--output", "new.json"), "name a .csv file"),
        ((*EVALUATE, "--label", "9", "--choose-threshold", "risk=5"), "both write --output"),
    ):
        done = call_aqa(*words, code=2)
        assert told in done.stderr


def test_a_sheet_from_a_spreadsheet(call_aqa: Call, tmp_path: Path) -> None:
    path = choose(call_aqa, tmp_path)
    assert path.read_bytes().startswith(BOM_UTF8), "else Excel does not read Korean as UTF-8"
    fill(path, lambda row: "correct" if int(row["id"][1:]) % 2 else "incorrect")
    judged = (*EVALUATE, "--judge-labels", "to_label.csv")
    expected = json.loads(call_aqa(*judged, "--json").stdout)["labelled"]
    rows = sheet(path)
    empty = dict.fromkeys(rows[0], "")
    for row in rows:
        row["label"] = f" {row['label'].upper()} "
        row["probability"] = row["probability"].replace(".", ",")
        row["answer"] = row["answer"].replace("\n", "\r\n")
    write(path, [empty, *rows], delimiter=";")
    done = call_aqa(*judged, "--csv", "--report", "report.html")
    (row,) = [row for row in csv.DictReader(done.stdout.splitlines()) if row["metric"] == "labels"]
    assert (row["system"], row["minus"], row["n"]) == ("b", "a", str(expected["n"]))
    assert float(row["value"]) == pytest.approx(expected["difference"])
    assert "verdicts b - a is" in (tmp_path / "report.html").read_text("utf-8")
    assert "people's verdicts" in call_aqa(*judged, "--markdown").stdout


def test_a_spreadsheet_runs_no_answer(call_aqa: Call, tmp_path: Path) -> None:
    for name, opening in (("a", '=HYPERLINK("x")'), ("b", "@")):
        rows = json.loads((tmp_path / f"{name}.json").read_bytes())
        for key, row in rows.items():
            row["predicted_answer"] = opening + row["predicted_answer"] + key
        changed = {f"-{key}": row for key, row in rows.items()}
        (tmp_path / f"{name}.json").write_text(json.dumps(changed))
    path = choose(call_aqa, tmp_path)
    assert {cell[0] for row in sheet(path) for cell in row.values() if cell}.isdisjoint("=+-@")
    fill(path, lambda _: "correct")
    done = call_aqa(*EVALUATE, "--judge-labels", "to_label.csv", "--json", code=0)
    assert json.loads(done.stdout)["labelled"]["n"] == 30


@pytest.mark.parametrize("count", [29, 31])
def test_all_of_one_sheet_is_labelled(call_aqa: Call, tmp_path: Path, count: int) -> None:
    path = choose(call_aqa, tmp_path)
    rows = [{**row, "label": "correct"} for row in sheet(path)]
    write(path, [*rows, {**rows[0], "id": "another"}][:count])
    done = call_aqa(*EVALUATE, "--judge-labels", "to_label.csv", code=1)
    assert f"holds {count} answers, but 30 were chosen" in done.stderr


def test_too_few_answers_differ(call_aqa: Call, tmp_path: Path) -> None:
    rows = json.loads((tmp_path / "b.json").read_bytes())
    rows["q0"]["predicted_answer"] = "else"
    (tmp_path / "a.json").write_text(json.dumps(rows))
    done = call_aqa(*EVALUATE, "--label", "9", "--output", "new.csv", code=1)
    assert "differ in 2 answers, which is too few" in done.stderr
    assert not (tmp_path / "new.csv").exists()


@pytest.mark.parametrize(
    ("kept", "text", "same"),
    [
        ("1204", "1,204", True),
        ("7", "007", True),
        ("1.23457E+19", "12345678901234567890", True),
        ("TRUE", "true", True),
        ("7", "8", False),
        ("1953", "in 1953", False),
        ("1204", "120", False),
    ],
)
def test_what_spreadsheets_make_of_numbers(kept: str, text: str, same: bool) -> None:
    assert are_same(kept, text) is same


def test_doubt() -> None:
    exact, none, half = (doubt(expected([score])) for score in (100, 0, 50))
    assert exact < none < half == 0.5
    assert doubt(expected([100, 0])) > none
    assert expected([100, 100]) > expected([100, 0]) > expected([0, 0])
