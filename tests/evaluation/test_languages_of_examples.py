"""The profile that `auto` chooses, by each example's question, passages and references."""

import json
from pathlib import Path
from typing import Any

import pytest

from aqa.evaluation.inputs import Scoring
from aqa.evaluation.results import Report
from aqa.evaluation.scoring import evaluate
from aqa.metrics import score_pairs
from aqa.progress import SilentProgress
from aqa.records import Example, Passage


class Notes(SilentProgress):
    """Collects the notes."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def run(
    folder: Path, predictions: dict[str, Any], data: list[Example] | None = None, **options: Any
) -> tuple[Report, list[str]]:
    file = folder / "a.json"
    file.write_text(json.dumps(predictions, ensure_ascii=False), encoding="utf-8")
    notes = Notes()
    scoring = Scoring(**{"metrics": ["em", "f1"], **options})
    report = evaluate([file], data, scoring, notes)
    return report, [note for note in notes.said if note.startswith("Profile")]


ENGLISH = ("Who?", "William Shakespeare", "William the Shakespeare")
KOREAN = ("누구?", "이순신 장군", "이순신장군이")


def mixed(english: int, korean: int) -> tuple[list[Example], dict[str, str]]:
    rows = [ENGLISH] * english + [KOREAN] * korean
    data = [Example(str(n), asked, (), (gold,)) for n, (asked, gold, _) in enumerate(rows)]
    return data, {str(n): said for n, (_, _, said) in enumerate(rows)}


@pytest.mark.parametrize(("english", "korean"), [(6, 4), (5, 5), (1, 9), (99, 1)])
def test_auto_compares_each_example_by_its_language(
    tmp_path: Path, english: int, korean: int
) -> None:
    data, predictions = mixed(english, korean)
    report, notes = run(tmp_path, predictions, data)
    assert report.profile == "mixed"
    f1 = report.systems[0].scores["f1"]
    assert f1.value == pytest.approx((100 * english + 100 * 10 / 11 * korean) / (english + korean))
    assert f"|profile:mixed(korquad:{korean},squad:{english})|" in f1.signature
    assert notes == [
        f"Profile mixed: korquad for {korean} of {korean + english} examples, else squad."
    ]
    named, _ = run(tmp_path, predictions, data, profile="mixed")
    assert named.systems[0].scores["f1"].per_example == f1.per_example


@pytest.mark.parametrize(
    ("rows", "profile", "note"),
    [
        ([KOREAN, ("몇 년?", "1945", "1945년")], "korquad", "every example is Korean"),
        ([ENGLISH, ("What year?", "1945", "1954")], "squad", "no example is Korean"),
        ([("누가 만들었나?", "Microsoft", "x")] * 3, "korquad", "every example is Korean"),
    ],
)
def test_a_pure_data_set_has_its_official_profile(
    tmp_path: Path, rows: list[tuple[str, str, str]], profile: str, note: str
) -> None:
    data = [Example(str(n), asked, (), (gold,)) for n, (asked, gold, _) in enumerate(rows)]
    report, notes = run(tmp_path, {str(n): said for n, (*_, said) in enumerate(rows)}, data)
    assert report.profile == profile
    assert f"|profile:{profile}|" in report.systems[0].scores["f1"].signature
    assert notes == [f"Profile {profile}: {note}."]


def test_a_named_profile_is_that_of_all(tmp_path: Path) -> None:
    data, predictions = mixed(2, 2)
    report, notes = run(tmp_path, predictions, data, profile="korquad")
    expected = score_pairs(
        list(predictions.values()), [example.answers or () for example in data], "korquad"
    )
    assert report.systems[0].scores["f1"].per_example == expected["f1"].per_example
    assert (report.profile, notes) == ("korquad", [])


def test_numbers_have_the_language_of_their_questions(tmp_path: Path) -> None:
    data = [Example(f"n{n}", "몇 년?", (), ("1945",)) for n in range(6)]
    data += [Example(f"k{n}", "누구?", (), ("이순신",)) for n in range(4)]
    said = {example.id: "1945년" if example.id[0] == "n" else "이순신이" for example in data}
    report, _ = run(tmp_path, said, data)
    assert report.profile == "korquad"
    assert report.systems[0].scores["f1"].value == pytest.approx(60 * 8 / 9 + 40 * 6 / 7)


def test_passages_count_too(tmp_path: Path) -> None:
    korean, english = Passage("한국어로 쓴 글이다."), Passage("This is English.")
    data = [
        Example("1", "BTS?", (korean,), ("Dynamite",)),
        Example("2", "무엇?", (english,), ("Dynamite",)),
        Example("3", "무엇?", (korean,), ("Dynamite",)),
    ]
    report, _ = run(tmp_path, dict.fromkeys("123", "the Dynamite"), data)
    assert report.systems[0].scores["em"].per_example == (100.0, 100.0, 0.0)


def test_predictions_may_hold_their_questions(tmp_path: Path) -> None:
    rows = {
        "1": {"question": "몇 년?", "predicted_answer": "1945년", "answers": ["1945"]},
        "2": {"question": "What year?", "predicted_answer": "1954", "answers": ["1945"]},
        "3": {"question": 7, "predicted_answer": "x", "answers": ["x"]},
    }
    report, _ = run(tmp_path, rows)
    assert report.profile == "mixed"
    assert report.systems[0].scores["f1"].per_example == pytest.approx((800 / 9, 0, 100))
    sliced, _ = run(tmp_path, rows, slices=["language"])
    groups = sliced.systems[0].slices["language"]
    assert {name: group["n"] for name, group in groups.items()} == {"ko": 1, "other": 2}
    language, _ = run(tmp_path, rows, metrics=["language"])
    assert language.systems[0].scores["language"].per_example == (100, 100, 100)


@pytest.mark.slow
def test_what_a_reader_wrote_holds_its_questions(call_aqa: Any, tmp_path: Path) -> None:
    rows = [
        {"id": n, "question": "몇 년?", "passages": ["1945년에"], "answers": ["1945"]}
        for n in range(4)
    ]
    (tmp_path / "d.json").write_text(json.dumps(rows), encoding="utf-8")
    done = call_aqa("predict", "stub", "--data", "d.json", "-o", "run", "-q", code=0)
    done = call_aqa("evaluate", "run", code=0)
    assert "Profile korquad: every example is Korean." in done.stderr


@pytest.mark.slow
def test_other_metrics_on_mixed_data(tmp_path: Path) -> None:
    data, predictions = mixed(2, 2)
    report, _ = run(tmp_path, predictions, data, metrics=["rouge1", "lenient", "sentence_bleu"])
    scores = report.systems[0].scores
    assert "tokenizer:default+kiwi-" in scores["rouge1"].signature
    assert scores["lenient"].per_example == (100, 100, 100, 100)
    assert "|tok:13a+char|" in scores["sentence_bleu"].signature


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            ["いつ建てられた?", "ใคร?"],
            "2 of the examples are in languages without spaces (ja, thai)",
        ),
        (["何时?", "누구?"], "1 of the examples are in languages without spaces (zh)"),
        (["누구?", "Who?"], ""),
    ],
)
def test_words_need_spaces(asked: list[str], told: str, tmp_path: Path) -> None:
    data = [Example(str(n), question, (), ("1874",)) for n, question in enumerate(asked)]
    report, _ = run(tmp_path, {"0": "1874", "1": "1"}, data)
    assert [told in warning for warning in report.warnings if "spaces" in warning] == [True] * (
        told != ""
    )
