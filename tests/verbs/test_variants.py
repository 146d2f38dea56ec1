"""Several runs of one command: by prompt, by condition; resumed, priced and capped together."""

import json
from pathlib import Path

import pytest
from aqa_stub import StubBackend
from calls import Call
from fault_server import Server
from gpt4_runs import KEY
from house_readers import write_houses

from aqa.config.stress_conditions import CONDITIONS, FAMILIES
from aqa.runs.folder import read_manifest
from aqa.runs.names import JOURNAL, PREDICTIONS, PROMPTS, STRESS
from aqa.runs.variants import prompt_runs, stress_runs, write_prompts

COUNT = 30


def rows_of(folder: Path) -> dict[str, dict[str, object]]:
    return json.loads((folder / PREDICTIONS).read_bytes())  # type: ignore[no-any-return]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record what happens to the reader's weights."""
    happened: list[str] = []

    def enter(self: StubBackend) -> StubBackend:
        happened.append("loaded")
        return self

    monkeypatch.setattr(StubBackend, "__enter__", enter)
    monkeypatch.setattr(StubBackend, "__exit__", lambda self, *exc: happened.append("freed"))
    return happened


@pytest.mark.slow
def test_each_condition_is_a_run_within_the_run(
    call_aqa: Call, tmp_path: Path, opened: list[str]
) -> None:
    data = write_houses(tmp_path, COUNT)
    words = ("predict", "stub", "--data", data, "-o", "out", "--stress", ",".join(FAMILIES))
    done = call_aqa(*words, "--json", code=0)
    told = json.loads(done.stdout)["runs"]
    assert list(told) == ["plain", *CONDITIONS]
    assert all(each["answered"] == COUNT for each in told.values())
    assert opened == ["loaded", "freed"]
    out = tmp_path / "out"
    assert list(stress_runs(out)) == list(CONDITIONS)
    right = {
        name: sum(row["predicted_answer"] in row["answers"] for row in rows_of(path).values())  # type: ignore[operator]
        for name, path in {"plain": out, **stress_runs(out)}.items()
    }
    # The stub copies the beginning of the first passage.
    assert right["plain"] == right["position-first"] == right["noise-0"] == COUNT
    assert right["duplicate"] == right["conflict"] == right["two_sources"] == COUNT
    assert right["position-last"] == right["noise-20"] == right["missing"] == 0
    plan = read_manifest(out / STRESS / "position-last")["fingerprint"]["evidence"]
    assert plan["stress"] == {"condition": "position-last", "passages": 20}
    opened.clear()
    again = call_aqa(*words, "--json")
    assert [each["resumed"] for each in json.loads(again.stdout)["runs"].values()] == [COUNT] * 13
    assert opened == []


def test_what_was_broken_off_goes_on_where_it_was(
    call_aqa: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_houses(tmp_path, COUNT)
    words = ("predict", "stub", "--data", data, "-o", "out", "--stress", "missing,duplicate")
    answer = StubBackend.answer
    left = COUNT + 7

    def broken(self: StubBackend, prompt: object) -> object:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return answer(self, prompt)  # type: ignore[arg-type]

    monkeypatch.setattr(StubBackend, "answer", broken)
    assert call_aqa(*words).returncode != 0
    monkeypatch.setattr(StubBackend, "answer", answer)
    found = json.loads(call_aqa(*words, "--json").stdout)["runs"]
    assert [found[name]["resumed"] for name in ("plain", "missing", "duplicate")] == [COUNT, 7, 0]


def test_a_fresh_start_of_all_runs_removes_nothing_if_one_can_not(
    call_aqa: Call, tmp_path: Path
) -> None:
    data = write_houses(tmp_path, COUNT)
    words = ("predict", "stub", "--data", data, "-o", "out", "--stress", "missing")
    call_aqa(*words, code=0)
    out = tmp_path / "out"
    (out / STRESS / "missing" / PREDICTIONS).unlink()
    (out / STRESS / "missing" / PREDICTIONS).mkdir()
    before = [(out / name).stat().st_mtime_ns for name in (JOURNAL, PREDICTIONS)]
    done = call_aqa(*words, "--fresh", code=1)
    assert "can't be used (Is a directory)" in done.stderr
    assert [(out / name).stat().st_mtime_ns for name in (JOURNAL, PREDICTIONS)] == before
    (out / STRESS / "missing" / PREDICTIONS).rmdir()
    again = json.loads(call_aqa(*words, "--fresh", "--json", code=0).stdout)["runs"]
    assert [again[name]["resumed"] for name in ("plain", "missing")] == [0, 0]


def test_evidence_by_older_rules_is_not_gone_on_with(call_aqa: Call, tmp_path: Path) -> None:
    data = write_houses(tmp_path, COUNT)
    words = ("predict", "stub", "--data", data, "-o", "out", "--stress", "duplicate,noise-2")
    call_aqa(*words)
    ours = {name: path / JOURNAL for name, path in stress_runs(tmp_path / "out").items()}
    header, rows = ours["noise-2"].read_bytes().split(b"\n", 1)
    older = json.loads(header)
    del older["fingerprint"]["evidence_rules"]
    ours["noise-2"].write_bytes(json.dumps(older).encode() + b"\n" + rows)
    again = call_aqa(*words, code=1)
    assert "Run 1" not in again.stderr  # before anything is asked
    told = "its evidence was drawn by the rules of another version of aqa. Name another"
    assert told in " ".join(again.stderr.split())
    call_aqa("evaluate", "out", "--stress", code=0)
    assert b"evidence_rules" not in ours["duplicate"].read_bytes()  # nothing is drawn for it


def test_a_condition_is_a_config_as_any_other(call_aqa: Call, tmp_path: Path) -> None:
    data = write_houses(tmp_path, COUNT)
    call_aqa("predict", "stub", "--data", data, "-o", "out", "--stress", "position-last")
    key = "evidence.stress.condition=position-last"
    call_aqa("predict", "stub", "--data", data, "-o", "alone", "--set", key)
    assert rows_of(tmp_path / "alone") == rows_of(tmp_path / "out" / STRESS / "position-last")
    shown = call_aqa("prompt-preview", "stub", "--data", data, "--set", key, "--n", "1", "--json")
    assert json.loads(shown.stdout)[0]["evidence"]["gold_ranks"] == [20]


@pytest.mark.parametrize(
    ("stress", "told"),
    [
        ("noise-20,mising", "no condition 'mising'; did you mean missing"),
        (",", "names no condition"),
    ],
)
def test_unknown_conditions(stress: str, told: str, call_aqa: Call, tmp_path: Path) -> None:
    data = write_houses(tmp_path, COUNT)
    done = call_aqa("predict", "stub", "--data", data, "-o", "out", "--stress", stress, code=2)
    assert told in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("answers", "stress", "told"),
    [
        (["nobody"], "noise", "no question allows it (no gold passage is known)"),
        (None, "missing", "no question allows it (no gold passage is known)"),
        (["Mr Person 1"], "noise-2", "noise-2 asks for 2 passages besides the gold one, but the"),
    ],
)
def test_data_that_do_not_fit_are_refused_before_anything(
    answers: list[str] | None, stress: str, told: str, call_aqa: Call, tmp_path: Path
) -> None:
    passages = [f"Mr Person {n} lives here." for n in range(2)]
    row = {"id": "q", "question": "Who lives here?", "passages": passages, "answers": answers}
    data = tmp_path / "data.jsonl"
    data.write_text(json.dumps(row))
    done = call_aqa("predict", "stub", "--data", data, "-o", "out", "--stress", stress, code=1)
    assert told in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()


def test_a_run_for_each_prompt(call_aqa: Call, tmp_path: Path, opened: list[str]) -> None:
    data = write_houses(tmp_path, COUNT)
    words = ("predict", "stub", "--data", data, "-o", "out", "--prompt", "eng_v1")
    call_aqa(*words, "--prompt", "eng_v2", code=0)
    assert opened == ["loaded", "freed"]
    out = tmp_path / "out"
    assert prompt_runs(out) == {"eng_v1": out / "eng_v1", "eng_v2": out / "eng_v2"}
    names = [read_manifest(path)["config"]["prompt"] for path in prompt_runs(out).values()]
    assert names == ["eng_v1", "eng_v2"]
    # Another one is added; a single one is an ordinary run.
    found = json.loads(call_aqa(*words, "--prompt", "kor_v1", "--json").stdout)["runs"]
    assert {name: each["resumed"] for name, each in found.items()} == {"eng_v1": COUNT, "kor_v1": 0}
    assert list(prompt_runs(out)) == ["eng_v1", "eng_v2", "kor_v1"]
    call_aqa("predict", "stub", "--data", data, "-o", "alone", "--prompt", "eng_v2", code=0)
    assert (tmp_path / "alone" / JOURNAL).is_file()
    assert rows_of(tmp_path / "alone") == rows_of(out / "eng_v2")


def test_prompts_under_stress(call_aqa: Call, tmp_path: Path) -> None:
    data = write_houses(tmp_path, COUNT)
    words = ("--prompt", "eng_v1", "--prompt", "eng_v2", "--stress", "missing")
    done = call_aqa("predict", "stub", "--data", data, "-o", "out", *words, "--json")
    names = [f"{each}, {name}" for each in ("eng_v1", "eng_v2") for name in ("plain", "missing")]
    assert list(json.loads(done.stdout)["runs"]) == names
    assert list(stress_runs(tmp_path / "out" / "eng_v2")) == ["missing"]


def test_prompts_that_can_not_go_together(call_aqa: Call, tmp_path: Path) -> None:
    data = write_houses(tmp_path, COUNT)
    run = ("predict", "stub", "--data", data, "-o", "out")
    twice = call_aqa(*run, "--prompt", "eng_v1", "--prompt", "eng_v1", code=2)
    assert "two prompts are called eng_v1" in twice.stderr
    unknown = call_aqa(*run, "--prompt", "eng_v1", "--prompt", "eng_v9", code=1)
    assert "eng_v9: no such template; did you mean" in unknown.stderr
    assert not (tmp_path / "out").exists()
    call_aqa(*run, code=0)
    seen = call_aqa(*run, "--stress", "missing", "--dry-run", "--to-see", "2", "--against", "out")
    assert "--to-see works on a single run" in seen.stderr
    into = call_aqa(*run, "--prompt", "eng_v1", "--prompt", "eng_v2")
    assert "out holds a run of one prompt; name another" in " ".join(into.stderr.split())


def test_names_of_prompts_that_were_changed(tmp_path: Path) -> None:
    write_prompts(tmp_path, ["a"])
    assert prompt_runs(tmp_path) == {"a": tmp_path / "a"}
    for text in ("{}", "[", '{"prompts": "a"}'):
        (tmp_path / PROMPTS).write_text(text)
        with pytest.raises(Exception, match="should name prompts"):
            prompt_runs(tmp_path)


def test_one_price_and_one_cap_for_all_runs(
    call_aqa: Call, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    data = write_houses(tmp_path, COUNT)
    words = ["predict", "gpt4", "-m", "reader-1", "--data", data, "--max-new-tokens", "4"]
    words += ["--set", f"backend.base_url={server.url}"]
    words += ["--set", "backend.price={input: 0.1, output: 10.0}"]
    call_aqa(*words, "-o", "alone", code=0)
    usd = read_manifest(tmp_path / "alone")["served"]["spent"]["usd"]
    before = server.requests
    words += ["-o", "out", "--stress", "missing,duplicate"]
    priced = call_aqa(*words, "--dry-run", "--json", code=0)
    found = json.loads(priced.stdout)
    assert found["examples"] == 3 * COUNT
    each = [one["cost"][1] for one in found["runs"].values()]
    assert found["cost"][1] == pytest.approx(sum(each))
    assert not (tmp_path / "out").exists()
    # Enough for the first run, but not for all.
    cap = f"{1.6 * usd:.7f}"
    stopped = call_aqa(*words, "--max-cost", cap, code=3)
    asked = server.requests - before
    assert COUNT <= asked < 3 * COUNT
    assert f"of --max-cost {float(cap):g}: what is left" in stopped.stderr
    config = read_manifest(tmp_path / "out")["config"]["backend"]
    assert config["max_cost"] == float(cap)
    call_aqa(*words, "--max-cost", cap, code=3)
    assert server.requests - before - asked <= 1
    call_aqa(*words, code=0)
    assert len(stress_runs(tmp_path / "out")) == 2


@pytest.mark.parametrize("several", [{"RANK": "0", "WORLD_SIZE": "2"}, {}])
def test_several_processes_do_not_share_such_runs(
    call_aqa: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, several: dict[str, str]
) -> None:
    for name, value in several.items():
        monkeypatch.setenv(name, value)
    data = write_houses(tmp_path, COUNT)
    words = ("predict", "stub", "--data", data, "-o", "out", "--stress", "position")
    done = call_aqa(*words, *(() if several else ("--set", "workers.count=2")), code=2)
    assert "runs in one process only" in done.stderr
    assert not (tmp_path / "out").exists()
