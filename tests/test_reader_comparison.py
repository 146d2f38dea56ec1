"""Comparing readers on published data, with every figure checked by hand counts.

The systems are gold answers, disturbed by the question's index in the file.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from calls import Call

ROOT = Path(__file__).parents[1]

Gold = dict[str, list[str]]


def gold_of(file: Path) -> Gold:
    articles = json.loads(file.read_text(encoding="utf-8"))["data"]
    return {
        question["id"]: [answer["text"] for answer in question["answers"]]
        for article in articles
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    }


def write(path: Path, gold: Gold, disturb: Callable[[int, str], str]) -> None:
    """Write the first gold answer of each question ("" for none), disturbed."""
    found = {
        key: disturb(place, next(iter(answers), ""))
        for place, (key, answers) in enumerate(gold.items())
    }
    path.write_text(json.dumps(found, ensure_ascii=False), encoding="utf-8")


def scores(system: dict[str, Any]) -> dict[str, float]:
    return {name: score["value"] for name, score in system["scores"].items()}


@pytest.mark.slow
def test_two_systems_on_korquad(call_aqa: Call, shared_data: Path, tmp_path: Path) -> None:
    data = shared_data / "korquad1" / "KorQuAD_v1.0_dev.json"
    gold = gold_of(data)
    # Every fifth answer is doubled: F1 2/3, for all characters are found, and as many more.
    write(
        tmp_path / "double.json", gold, lambda at, text: f"{text} {text}" if at % 5 == 0 else text
    )
    write(tmp_path / "silent.json", gold, lambda at, text: "" if at % 4 == 0 else text)
    files = ["double.json", "silent.json", "--data", data, "--metrics", "em,f1"]
    done = call_aqa(
        "evaluate", *files, "--output", "metrics.json", "--report", "report.html", code=0
    )
    found = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert (found["profile"], found["n"]) == ("korquad", 5774)

    # Of the indices 0..5773, 1155 are multiples of 5, 1444 of 4, 289 of both.
    double, silent = found["systems"]
    assert scores(double) == pytest.approx(
        {"em": 100 * 4619 / 5774, "f1": 100 * (4619 + 1155 * 2 / 3) / 5774}
    )
    assert scores(silent) == pytest.approx({"em": 100 * 4330 / 5774, "f1": 100 * 4330 / 5774})
    assert double["errors"] == {"exact": 4619, "extra_words": 1155}
    assert silent["errors"] == {"exact": 4330, "empty": 1444}

    em, f1 = found["comparisons"]
    assert (em["a"], em["b"], em["metric"], f1["metric"]) == ("double", "silent", "em", "f1")
    assert em["difference"] == pytest.approx(100 * (866 - 1155) / 5774)
    assert (em["wins"], em["losses"], em["ties"]) == (866, 1155, 3753)
    # Every fourth and every fifth answer: spread over articles far more evenly than by chance.
    assert found["cluster"] == {"by": "title", "clusters": 140}
    assert em["test"] == "sign-flip-exact"
    assert 0 < em["p"] < 1e-9
    assert 0 < em["design_effect"] < 0.1
    assert (f1["wins"], f1["losses"], f1["ties"]) == (866, 1444, 3464)
    # +100/3 where only `double` fails, -200/3 where both fail, -100 where only `silent` does.
    assert f1["difference"] == pytest.approx((866 * 100 - 289 * 200 - 1155 * 300) / 3 / 5774)
    assert f1["low"] < f1["difference"] < f1["high"] < 0
    verdicts = " ".join(done.stdout.split())
    assert "double is better than silent by 5.0 EM (95 %: " in verdicts
    assert (
        "with 5,774 questions in 140 clusters by title, four in five true differences" in verdicts
    )
    assert (tmp_path / "report.html").stat().st_size > 1_000_000


@pytest.mark.slow
def test_two_systems_on_squad2(call_aqa: Call, shared_data: Path, tmp_path: Path) -> None:
    data = shared_data / "squad2-cs224n" / "dev-v2.0.json"
    gold = gold_of(data)
    write(tmp_path / "wrong.json", gold, lambda at, text: "zzz" if at % 5 == 0 else text)
    write(tmp_path / "silent.json", gold, lambda at, text: "" if at % 4 == 0 else text)
    files = ["wrong.json", "silent.json", "--data", data, "--slice", "answerable"]
    done = call_aqa("evaluate", *files, "--output", "metrics.json", code=0)
    found = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert (found["profile"], found["n"]) == ("squad", 6078)

    # Of the 6078 indices, 1216 are multiples of 5 and 1520 of 4; 2910 questions have an answer.
    answerable = [bool(answers) for answers in gold.values()]
    has_answer, no_answer = answerable.count(True), answerable.count(False)
    assert (has_answer, no_answer) == (2910, 3168)
    spoilt = answerable[::5].count(True)
    silenced = answerable[::4].count(True)
    wrong, silent = found["systems"]
    for name in ("em", "f1"):
        assert scores(wrong)[name] == pytest.approx(100 * (6078 - 1216) / 6078)
        assert scores(silent)[name] == pytest.approx(100 * (6078 - silenced) / 6078)
        assert wrong["groups"]["has_answer"][name] == pytest.approx(100 * (1 - spoilt / 2910))
        assert silent["groups"]["no_answer"][name] == 100
    assert wrong["errors"]["answered_unanswerable"] == 1216 - spoilt
    assert wrong["errors"]["exact"] == 6078 - 1216
    part = silent["slices"]["answerable"]["yes"]
    assert (part["n"], part["em"]["value"]) == (2910, pytest.approx(100 * (1 - silenced / 2910)))
    assert part["em"]["low"] < part["em"]["value"] < part["em"]["high"]
    kept = {name: wrong["abstention"][name] for name in ("abstained", "unanswerable", "rightly")}
    due = 3168 - (1216 - spoilt)
    assert kept == {"abstained": due, "unanswerable": 3168, "rightly": due}
    assert wrong["abstention"]["recall"]["value"] == pytest.approx(100 * due / 3168)
    assert silent["abstention"]["precision"]["value"] == pytest.approx(
        100 * 3168 / (3168 + silenced)
    )

    em = found["comparisons"][0]
    both = sum(known and at % 20 == 0 for at, known in enumerate(answerable))
    assert (em["wins"], em["losses"]) == (1216 - both, silenced - both)
    assert "silent is better than wrong by " in " ".join(done.stdout.split())


def test_the_example_of_the_readme(
    call_aqa: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gold = gold_of(ROOT / "aqa" / "samples" / "korean_dev.json")
    write(tmp_path / "a.json", gold, lambda at, text: f"{text}에서" if at % 3 == 0 else text)
    write(tmp_path / "b.json", gold, lambda at, text: "" if at % 4 == 0 else text)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    command = (
        "aqa evaluate a.json b.json --data package:aqa/samples/korean_dev.json"
        " --metrics em,f1,lenient --cluster none"
    )
    monkeypatch.setenv("COLUMNS", "200")
    example = readme.partition(command)[2].partition("By exact match")[0]
    rows = re.findall(r"^\|(?! system| a \| b \| score|---)(.+)\|$", example, re.MULTILINE)
    told = [*rows, example.split("```")[2]]
    assert len(told) == 6 + 3 + 1
    shown = words(call_aqa(*command.split()[1:]).stdout)
    for line in told:
        assert f" {words(line)} " in f" {shown} "


def words(text: str) -> str:
    """A text without table lines and wrapping."""
    return " ".join(re.sub("[|\u2500-\u257f]", " ", text).split())


def test_a_limit_that_is_not_reached(call_aqa: Call, tmp_path: Path) -> None:
    rows = {str(at): {"predicted_answer": "x" * (at > 3), "answers": ["x"]} for at in range(10)}
    (tmp_path / "a.json").write_text(json.dumps(rows), encoding="utf-8")
    call_aqa("evaluate", "a.json", "--fail-under", "em=60", code=0)
    done = call_aqa("evaluate", "a.json", "--fail-under", "em=60", "--fail-under", "f1=70", code=4)
    assert "a: f1 60.00 is under 70" in done.stderr
    assert "60.00" in done.stdout
    assert (tmp_path / "metrics.json").exists()
