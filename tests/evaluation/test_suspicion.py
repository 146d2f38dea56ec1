"""Warnings and errors where answers may belong to something else."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from calls import Call

from aqa.errors import DataError
from aqa.evaluation.predictions import Fields, read_predictions
from aqa.evaluation.score_warnings import references_as_answers, same_rows

GOLD = {f"q{n}": [f"the {n}th", str(n)] for n in range(20)}
FIRST = {key: texts[0] for key, texts in GOLD.items()}
OTHERS = {key: f"perhaps {n}" for n, key in enumerate(GOLD)}


def told(
    path: Path,
    rows: object,
    fields: Sequence[str] = (),
    expected: Mapping[str, Sequence[str]] = GOLD,
) -> list[str]:
    path.write_text(json.dumps(rows))
    found = read_predictions(path, list(expected), fields=Fields.parse(fields))
    return list(references_as_answers("mine", found, expected))


def table(column: str, beside: str, texts: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"id": key, column: text, beside: texts[key]} for key, text in FIRST.items()]


def test_answers_that_are_all_references(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    (said,) = told(path, FIRST)
    assert said.startswith("mine: all 20 of its answers equal the first reference")
    assert told(path, [{"id": key, "answer": text} for key, text in FIRST.items()]) == [said]
    assert not told(path, FIRST | {"q3": "3"})
    assert not told(path, dict.fromkeys(GOLD, "yes"), expected={key: ["yes"] for key in GOLD})


@pytest.mark.parametrize("column", ["answer", "답", "output"])
def test_references_beside_what_may_be_the_answers(tmp_path: Path, column: str) -> None:
    rows, path = table(column, "llama", OTHERS), tmp_path / "a.json"
    for same in (20, 19):
        problem = f"{column} equals the first reference in {same} of 20 rows, .* llama;"
        with pytest.raises(DataError, match=problem):
            told(path, rows)
        assert not told(path, rows, [f"answer={column}"])
        assert not told(path, rows, ["answer=llama"])
        rows[same - 1][column] = "else"
    assert not told(path, rows), "18 of 20: a good reader"


@pytest.mark.parametrize(
    ("beside", "texts"),
    [
        ("question", OTHERS),
        ("llama", dict.fromkeys(GOLD, "one kind")),
        ("seconds", {key: f"0.{n}" for n, key in enumerate(GOLD)}),
    ],
)
def test_columns_that_hold_no_answers(tmp_path: Path, beside: str, texts: dict[str, str]) -> None:
    assert len(told(tmp_path / "a.json", table("answer", beside, texts))) == 1


def test_what_is_sure_to_be_an_answer(tmp_path: Path) -> None:
    for name in ("predicted_answer", "prediction"):
        assert not told(tmp_path / "a.json", table(name, "llama", OTHERS))


def test_two_files_of_the_same(tmp_path: Path) -> None:
    files = {}
    for name, texts in {"a": FIRST, "b": FIRST, "c": FIRST | {"q3": "3"}}.items():
        (tmp_path / name).write_text(json.dumps(texts))
        files[name] = read_predictions(tmp_path / name)
    (said,) = same_rows(files)
    assert said == "a and b hold the same predictions; was one file given for the other?"
    few = {name: dict(list(rows.items())[:5]) for name, rows in files.items()}
    assert not list(same_rows(few)), "a few may well be answered alike"


def test_evaluating_says_so(call_aqa: Call, tmp_path: Path) -> None:
    data = [{"id": key, "question": key, "answers": texts} for key, texts in GOLD.items()]
    (tmp_path / "data.json").write_text(json.dumps(data))
    lines = [
        f"{row['id']},{row['answer']},{row['gpt4_answer']}"
        for row in table("answer", "gpt4_answer", OTHERS)
    ]
    (tmp_path / "amb.csv").write_text("\n".join(["id,answer,gpt4_answer", *lines]))
    done = call_aqa("evaluate", "amb.csv", "--data", "data.json", code=1)
    assert "amb.csv, line 2: answer and gpt4_answer may both be the answer;" in done.stderr
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(OTHERS))
    done = call_aqa("evaluate", "a.json", "b.json", "--data", "data.json", code=0)
    assert "a and b hold the same predictions" in done.stderr
