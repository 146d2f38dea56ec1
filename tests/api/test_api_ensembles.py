"""Ensembles from the Python API."""

import json
from pathlib import Path

import pytest
from aqa_stub import StubBackend
from drawn_readers import draw, drawn_answer, write_data

import aqa
from aqa.records import Prediction, Prompt


def test_an_ensemble_is_trained_and_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StubBackend, "answer", drawn_answer)
    monkeypatch.chdir(tmp_path)
    dev = write_data(tmp_path / "dev.jsonl", "dev", 150)
    test = write_data(tmp_path / "test.jsonl", "test", 20)
    for name in "abc":
        with aqa.predict("stub", dev, model=name, output_dir=name, quiet=True) as found:
            assert len(list(found)) == 150
    trained = aqa.train(
        "ensemble", dev, settings={"backend.members": ["a", "b", "c"]}, output_dir="ens", quiet=True
    )
    assert any("majority of a, b, c" in sentence for sentence in trained.findings)
    with pytest.raises(aqa.AqaError, match="keeps the answers of its members in a run folder"):
        aqa.predict("ensemble", test, model="ens", quiet=True)
    found = aqa.predict("ensemble", test, model=trained.folder, output_dir="out", quiet=True)
    for answer in found:
        if sum(draw(name, answer.id) < 0.6 for name in "abc") > 1:
            assert answer.text == f"right {answer.id.removeprefix('test')}"


def test_members_that_the_rule_leaves_out_need_no_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule is a single reader, with another whose run is here and one that is a file."""

    def answer(self: StubBackend, prompt: Prompt) -> Prediction:
        return Prediction(prompt.id, "right" if self.options.model == "c" else "wrong")

    monkeypatch.setattr(StubBackend, "answer", answer)
    monkeypatch.chdir(tmp_path)
    rows = [
        {"id": f"q{n}", "question": f"q {n}", "context": "c", "answers": ["right"]}
        for n in range(40)
    ]
    for name in "ac":
        list(aqa.predict("stub", rows, model=name, output_dir=name, quiet=True))
    Path("b.json").write_text(json.dumps({row["id"]: "y" for row in rows}), encoding="utf-8")
    members = {"backend.members": ["a", "b.json", "c"]}
    aqa.train("ensemble", rows, settings=members, output_dir="ens", quiet=True)
    others = [{**row, "id": f"other {row['id']}"} for row in rows]
    found = aqa.predict("ensemble", others, model="ens", output_dir="out", quiet=True)
    assert {answer.text for answer in found} == {"right"}
