"""Calibration with the scores: in the table, CSV, metrics.json and the report."""

import json
from pathlib import Path

import pytest
from calls import Call


def write(path: Path, kinds: list[str | None], korean: bool = False) -> None:
    right, wrong = ("서울", "부산") if korean else ("Seoul", "Busan")
    rows = {}
    for at in range(40):
        kind = kinds[at % len(kinds)]
        rows[str(at)] = {
            "predicted_answer": right if at % 4 else wrong,
            "answers": [right],
            "confidence": 0.5 if at % 2 else 0.9,
            **({"confidence_kind": kind} if kind else {}),
        }
    path.write_text(json.dumps(rows), encoding="utf-8")


@pytest.mark.parametrize("korean", [False, True])
@pytest.mark.slow
def test_an_agreement_is_a_probability(korean: bool, call_aqa: Call, tmp_path: Path) -> None:
    write(tmp_path / "a.json", ["agreement"], korean)
    done = call_aqa("evaluate", "a.json", "--report", "a.html", code=0)
    assert "Calibration" in done.stdout
    found = json.loads((tmp_path / "metrics.json").read_bytes())["systems"][0]["calibration"]
    # Of the more confident half (90 %) one in two is right, of the other (50 %) all.
    assert found["plain_ece"] == pytest.approx(0.5 * 40 + 0.5 * 50)
    assert found["kind"] == "agreement"
    assert found["low"] <= found["ece"] <= found["high"]
    assert ",ece," in call_aqa("evaluate", "a.json", "--csv").stdout
    assert "% right at 90 %" in (tmp_path / "a.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("kinds", [[None], ["min_logprob"], ["agreement", "probability"]])
def test_what_is_no_probability_is_left_out(
    kinds: list[str | None], call_aqa: Call, tmp_path: Path
) -> None:
    write(tmp_path / "a.json", kinds)
    call_aqa("evaluate", "a.json", code=0)
    assert "calibration" not in json.loads((tmp_path / "metrics.json").read_bytes())["systems"][0]


@pytest.mark.parametrize("kind", ["probability", "agreement"])
def test_what_should_be_a_probability_is_said_not_to_be(
    kind: str, call_aqa: Call, tmp_path: Path
) -> None:
    write(tmp_path / "a.json", [kind])
    path = tmp_path / "a.json"
    path.write_text(path.read_text().replace("0.9", "90"))
    done = call_aqa("evaluate", "a.json", code=0)
    assert f"a: 20 of its confidences, of kind {kind}, are not between 0 and 1 (such as 90)" in (
        " ".join(done.stderr.split())
    )
    write(tmp_path / "a.json", ["probability", "agreement"])
    assert "are of 2 kinds (agreement, probability)" in call_aqa("evaluate", "a.json").stderr
