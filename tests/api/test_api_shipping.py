"""From comparison to shipping in Python: keywords named like the command's flags."""

import json
from pathlib import Path
from typing import Any

import pytest
from aqa_stub import StubBackend
from house_readers import house_answer, house_rows

import aqa

COUNT = 160
DATA = house_rows(COUNT)
STRESS = {"evidence.stress.passages": 4}


@pytest.fixture(autouse=True)
def readers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(StubBackend, "answer", house_answer)
    monkeypatch.setattr(StubBackend, "confidence_kind", "")
    monkeypatch.chdir(tmp_path)


def test_stress_makes_runs_and_cards() -> None:
    asked = ["position", "missing"]
    answers = aqa.predict(
        "stub", DATA[:40], settings=STRESS, output_dir="run", stress=asked, quiet=True
    )
    result = aqa.evaluate(answers, stress=True, quiet=True)
    (card,) = result.cards
    assert list(card.conditions) == [
        "position-first",
        "position-middle",
        "position-last",
        "missing",
    ]
    assert "position" in card.findings
    assert any("when the answer is last of 4" in sentence for sentence in result.findings)
    assert "under stress" in result._repr_html_()
    frame = answers.to_frame()
    assert len(answers) == len(frame) == 5 * 40
    assert set(frame["run"]) == {"plain", *card.conditions}
    named = aqa.evaluate({"mine": answers}, stress=True, quiet=True)
    assert named.cards[0].reader == "mine"
    again = aqa.predict("stub", DATA[:40], settings=STRESS, output_dir="run", stress=asked)
    assert sorted(answer.text or "" for answer in again) == sorted(frame["text"])


def test_prompts_make_runs_that_are_compared() -> None:
    prompts = ["eng_v1", "eng_v2"]
    one, two = (
        aqa.predict("stub", DATA[:20], model=name, output_dir=name, prompts=prompts, quiet=True)
        for name in ("finder", "half")
    )
    result = aqa.evaluate([one, two], metrics=["em"], quiet=True)
    assert any("no prompt reverses their order" in told for told in result.findings)
    assert "Readers across prompts" in result._repr_html_()
    named = aqa.evaluate({"a": one, "b": two}, metrics=["em"], quiet=True)
    assert list(named.scores) == ["a/eng_v1", "a/eng_v2", "b/eng_v1", "b/eng_v2"]
    assert named.report.prompts is not None
    assert [one.reader for one in named.report.prompts.spreads] == ["a", "b"]
    assert list(aqa.evaluate(one, metrics=["em"]).scores) == ["eng_v1", "eng_v2"]
    alone = aqa.predict("stub", DATA[:2], output_dir="alone", prompts=["eng_v2"])
    assert (
        len(list(alone)),
        json.loads(Path("alone/run.json").read_text())["config"]["prompt"],
    ) == (2, "eng_v2")


def test_a_run_stops_when_it_is_decided() -> None:
    half = aqa.predict("stub", DATA, model="half", output_dir="half", quiet=True)
    answers = aqa.predict(
        "stub",
        DATA,
        model="finder",
        output_dir="b",
        stop_when_decided=half,
        decide_by="em",
        quiet=True,
    )
    assert answers.decision is None
    asked = list(answers)
    assert answers.decision is not None
    assert (answers.decision.verdict, answers.decision.asked) == ("b better", len(asked))
    assert len(asked) < COUNT


def test_plan_and_labels(tmp_path: Path) -> None:
    half, finder = (
        aqa.predict("stub", DATA, model=name, output_dir=name, quiet=True)
        for name in ("half", "finder")
    )
    result = aqa.evaluate(
        {"half": half, "finder": finder}, plan=2, label=20, output_dir="out", quiet=True
    )
    assert result.needs[0].difference == 2
    sheet = result.to_label()
    assert len(sheet) == 20
    assert Path("out/to_label.csv").is_file()
    pairs = zip(sheet["answer"], map(json.loads, sheet["references"]), strict=True)
    sheet["label"] = ["correct" if answer in right else "incorrect" for answer, right in pairs]
    sheet.to_csv("labels.csv", index=False)
    labelled = aqa.evaluate(
        {"half": half, "finder": finder}, judge=aqa.JudgeOptions(labels="labels.csv")
    )
    assert labelled.report.labelled is not None
    assert str(labelled.report.labelled) in labelled.findings
    with pytest.raises(aqa.AqaError, match="no answers were chosen"):
        labelled.to_label()


def test_a_contract_of_silence() -> None:
    half = aqa.predict("stub", DATA, model="half", output_dir="half", quiet=True)
    assert len(list(half)) == COUNT
    result = aqa.evaluate(
        "half", choose_threshold="risk=10", level=90, wrong_under="f1=50", output_dir="out"
    )
    assert result.contract is not None
    assert (result.contract.risk, result.contract.level, result.contract.score) == (10, 90, "f1")
    assert json.loads(Path("out/silence.json").read_text()) == result.contract.to_json()
    kept = aqa.predict(
        "stub", DATA, model="half", output_dir="kept", abstain_below="out/silence.json", quiet=True
    )
    assert sum(answer.text == "" for answer in kept) == COUNT // 2
    assert any("the contract held" in told for told in aqa.evaluate(kept).findings)
    with pytest.raises(aqa.AqaError, match="can't be promised"):
        aqa.evaluate("half", choose_threshold="risk=0.1", output_dir="none")
    assert not Path("none").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"stress": ["missing"]}, "need a run folder; give output_dir"),
        ({"stress": ["mising"], "output_dir": "x"}, "did you mean missing"),
        ({"stress": "missing", "output_dir": "x"}, "give a list"),
        ({"stop_when_decided": "nowhere", "output_dir": "x"}, "nowhere"),
        ({"margin": 2.0}, "margin and decide_by need stop_when_decided"),
        ({"abstain_below": "nowhere.json", "output_dir": "x"}, "can't read this contract"),
        ({"stop_when_decided": "a", "stress": ["missing"], "output_dir": "x"}, "on a single run"),
    ],
)
def test_what_does_not_go_together(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(aqa.AqaError, match=message):
        list(aqa.predict("stub", DATA[:2], **given))
    assert not list(tmp_path.iterdir())


def test_answers_at_hand_are_not_those_of_a_folder_of_their_name() -> None:
    half = aqa.predict("stub", DATA, model="half", output_dir="half", stress=["missing"])
    assert len(list(half)) == 2 * COUNT
    answers = list(aqa.predict("stub", DATA, model="half").rows())
    result = aqa.evaluate({"half": answers}, choose_threshold="risk=60")
    assert result.contract is not None
    assert result.contract.reader is None
    with pytest.raises(aqa.AqaError, match="holds no run under stress"):
        aqa.evaluate({"half": answers}, stress=True)
    own = aqa.evaluate("half", choose_threshold="risk=60").contract
    assert own is not None
    assert own.reader is not None
