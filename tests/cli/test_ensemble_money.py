"""An ensemble with a paid member: its price and caps, and that nothing is paid for twice."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from aqa_stub import StubBackend
from calls import Call
from drawn_readers import drawn_answer, write_data
from fault_server import Server, turns

from aqa.runs.names import MEMBERS
from aqa.verbs.ensembles import AskedMembers
from aqa.verbs.predict import Resume

TEST = 60


@pytest.fixture
def ensemble(
    call_aqa: Call, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, ...]:
    """Train a cascade of a confident stub and gpt4; return the command to ask it, and its data."""
    monkeypatch.setattr(StubBackend, "answer", drawn_answer)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
    server.answer = lambda body: "right " + re.findall(r"number (\d+)", str(turns(body)))[-1]
    dev = write_data(tmp_path / "dev.jsonl", "dev", 120)
    test = write_data(tmp_path / "test.jsonl", "test", TEST)
    told = {"model": "m", "base_url": server.url, "price": "{input: 1000, output: 1000}"}
    told["max_concurrency"] = "1"
    settings = [word for name, own in told.items() for word in ("--set", f"backend.{name}={own}")]
    run = ("predict", "gpt4", "--data", dev, "-o", "gpt4", *settings)
    call_aqa(*run, "--max-cost", "100", code=0)
    run = ("predict", "stub", "--data", dev, "-o", "sure", "--model", "sure")
    call_aqa(*run, code=0)
    members = ("--set", "backend.members=[sure, gpt4]")
    train = ("train", "ensemble", "--data", dev, "-o", "ens", *members)
    done = call_aqa(*train)  # the expensive one is always right
    assert "Chosen: gpt4 alone, as no rule is better beyond chance." in done.stdout, done.stderr
    offer = r"A cascade, sure and gpt4 for the \d+ % of which sure is less sure, scores [\d.]+ f1"
    assert re.search(offer + r" and saves \$[\d,.]+ in 1,000 questions;", done.stdout)
    done = call_aqa(*train, "--set", "backend.rule=cascade", "--fresh")
    assert "Chosen: sure, and gpt4 for the" in done.stdout, done.stderr
    server.requests = 0
    return ("predict", "ensemble", "--model", "ens", "--data", str(test), "-o", "out")


def unsure(folder: Path) -> set[str]:
    threshold = json.loads((folder / "ens" / "ensemble.json").read_bytes())["rule"]["threshold"]
    journal = folder / "out" / "members" / "sure" / "predictions.jsonl"
    rows = map(json.loads, journal.read_text().splitlines()[1:])
    return {row["id"] for row in rows if row["confidence"] < threshold}


def test_the_dear_member_stops_at_the_cap_and_goes_on(
    ensemble: tuple[str, ...], call_aqa: Call, tmp_path: Path, server: Server
) -> None:
    dry = call_aqa(*ensemble, "--dry-run", "--json", code=0)
    assert json.loads(dry.stdout)["examples"] == TEST  # it is not known yet which are uncertain
    assert "how sure sure is of its answers isn't known yet" in dry.stderr
    assert re.search(r"the expensive reader got \d+ % on the data", " ".join(dry.stderr.split()))
    assert not (tmp_path / "out").exists()
    assert server.requests == 0

    done = call_aqa(*ensemble, "--max-cost", "0.5", code=3)
    assert "--max-cost" in done.stderr
    assert json.loads((tmp_path / "out" / "run.json").read_bytes())["status"] == "stopped"
    wanted, asked = unsure(tmp_path), server.requests
    assert 0 < asked < len(wanted)

    dry = call_aqa(*ensemble, "--dry-run", "--json")
    assert json.loads(dry.stdout)["examples"] == len(wanted) - asked

    done = call_aqa(*ensemble, "--max-cost", "100", code=0)
    assert server.requests == len(wanted)
    found = json.loads((tmp_path / "out" / "predictions.json").read_bytes())
    assert len(found) == TEST
    assert {key for key, row in found.items() if "spent" in row} == wanted
    for key in wanted:
        assert found[key]["predicted_answer"] == f"right {key.removeprefix('test')}"


def test_where_all_is_answered_there_is_nothing_to_pay(
    ensemble: tuple[str, ...], call_aqa: Call, server: Server
) -> None:
    call_aqa(*ensemble, code=0)
    asked = server.requests
    done = call_aqa(*ensemble, "--dry-run", "--json", code=0)
    assert json.loads(done.stdout)["examples"] == 0
    assert server.requests == asked


@pytest.mark.parametrize(("fresh", "spent"), [(False, 9.0), (True, 0.0)])
def test_what_members_spent_is_forgotten_where_they_start_over(
    tmp_path: Path, fresh: bool, spent: float
) -> None:
    told = {"served": {"spent": {"input_tokens": 9, "output_tokens": 1, "usd": 9.0}}}
    folder = tmp_path / MEMBERS / "dear"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(told))
    members = object.__new__(AskedMembers)
    names = [SimpleNamespace(name="cheap"), SimpleNamespace(name="dear")]
    members.__dict__ |= {
        "_folder": tmp_path,
        "_learned": SimpleNamespace(members=names, needed=[0, 1]),
        "_resume": Resume(fresh=fresh),
        "_begun": {0},
    }
    assert (members._elsewhere(0).cost or 0.0) == spent
    members._begun.add(1)
    assert members._elsewhere(0).cost == 9.0, "what was spent here counts"


def test_a_higher_limit_goes_on_with_the_runs_of_the_members(
    ensemble: tuple[str, ...], call_aqa: Call, tmp_path: Path, server: Server
) -> None:
    """More is asked of the expensive one: its run continues, and pays for nothing twice."""
    for limit in ("30", str(TEST), "30"):
        call_aqa(*ensemble, "--limit", limit, code=0)
    assert server.requests == len(unsure(tmp_path))
    dear = tmp_path / "out" / MEMBERS / "gpt4"
    rows = [json.loads(line) for line in (dear / "predictions.jsonl").read_text().splitlines()[1:]]
    assert {row["id"] for row in rows} == unsure(tmp_path)
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_bytes())) == 30
