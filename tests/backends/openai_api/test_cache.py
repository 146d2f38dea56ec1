"""The cache of answers across runs: what is found, what is not, and concurrent processes."""

import json
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from threading import Event
from time import sleep
from typing import Any

import pytest
from calls import Call
from fault_server import FILTERED, Fault, Server, failure, serving
from forked import Forked
from gpt4_runs import KEY, configured, run, write_questions

from aqa.backends.openai_api.access import key_of
from aqa.backends.openai_api.backend import Gpt4Backend
from aqa.backends.openai_api.cache import ResponseCache
from aqa.config.options import RunConfig
from aqa.errors import RunError, StoppedError
from aqa.progress import SilentProgress
from aqa.prompting.build import Inputs
from aqa.prompting.templates import load_template
from aqa.records import Prediction
from aqa.runs.folder import read_manifest
from aqa.runs.journal import Journal
from aqa.spent import Spent
from aqa.verbs.predict import Resume, dry_run

Options = dict[str, Any]


@pytest.fixture
def kept(tmp_path: Path) -> Options:
    """The options that enable it."""
    return {"cache": True, "cache_path": str(tmp_path / "kept" / "answers.sqlite")}


def test_a_second_run_asks_and_pays_nothing(tmp_path: Path, server: Server, kept: Options) -> None:
    first = run(configured(tmp_path, server, 30, **kept), tmp_path / "a")
    assert (first.answered, first.cached) == (30, 0)
    assert "cache" not in read_manifest(tmp_path / "a")
    capped = configured(tmp_path, server, 30, **kept, max_tokens_total=1, max_cost=1e-6)
    again = run(capped, tmp_path / "b")
    assert (again.answered, again.cached, server.requests) == (30, 30, 30)
    manifest = read_manifest(tmp_path / "b")
    assert manifest["cache"] == {"hits": 30, "saved": again.saved}
    assert again.saved["usd"] == pytest.approx(server.cost(1, 2))
    served = manifest["served"]
    assert served["spent"] == {
        "input_tokens": 0, "cached_input_tokens": 0, "output_tokens": 0, "usd": 0.0,
    }  # fmt: skip
    assert served["models"] == read_manifest(tmp_path / "a")["served"]["models"]
    assert manifest["tokens"] == read_manifest(tmp_path / "a")["tokens"]
    files = [(tmp_path / name / "predictions.json").read_bytes() for name in "ab"]
    first_rows, rows = map(json.loads, files)
    for name, row in rows.items():
        assert row["predicted_answer"] == first_rows[name]["predicted_answer"]
        assert (row["spent"]["input"], row["spent"]["cost"]) == (0, 0.0)
        assert row["saved"]["input"] == first_rows[name]["spent"]["input"] > 0


def test_it_works_together_with_resuming(tmp_path: Path, server: Server, kept: Options) -> None:
    """Ten are cached, a cap stops the run after them, and the next session has the totals."""
    run(configured(tmp_path, server, 10, **kept), tmp_path / "a")
    words = server.prompt_tokens // 10
    stopped = configured(tmp_path, server, 60, **kept, max_tokens_total=30 * words)
    with pytest.raises(StoppedError):
        run(stopped, tmp_path / "b")
    assert read_manifest(tmp_path / "b")["cache"]["hits"] == 10
    assert 10 < server.requests < 40
    result = run(configured(tmp_path, server, 60, **kept), tmp_path / "b")
    assert (result.answered, result.cached, server.requests) == (60, 10, 60)
    assert read_manifest(tmp_path / "b")["served"]["models"] == {"reader-1-2026-01-01": 60}
    assert result.resumed >= 20


def test_a_failure_is_asked_again(tmp_path: Path, server: Server, kept: Options) -> None:
    server.script = lambda number, body: (
        FILTERED if body["messages"][-1]["content"] == "who 3" else None
    )
    server.answer = lambda body: "" if body["messages"][-1]["content"] == "who 4" else "x"
    config = configured(tmp_path, server, 6, **kept)
    assert run(config, tmp_path / "a").failed == 2
    server.script, server.answer = (lambda number, body: None), (lambda body: "y")
    assert run(config, tmp_path / "b").cached == 4
    assert server.requests == 6 + 2
    assert run(config, tmp_path / "a", Resume(retry_errors=True)).cached == 2
    assert server.requests == 6 + 2


@pytest.mark.parametrize(
    ("layer", "same"),
    [
        ({"backend": {"model": "another"}}, False),
        ({"backend": {"reasoning_effort": "low"}}, False),
        ({"backend": {"structured": True}}, False),
        ({"backend": {"base_url": "http://localhost:1/v1"}}, False),
        ({"generation": {"max_new_tokens": 5}}, False),
        ({"generation": {"temperature": 0.5}}, False),
        ({"generation": {"top_p": 0.5}}, False),
        ({"seed": 1}, False),
        ({"prompt": "eng_v2"}, False),
        ({"evidence": {"max_chars": 5}}, False),
        ({"evidence": {"max_chars": 5000}}, True),
        ({"backend": {"max_concurrency": 3, "max_cost": 1.0, "max_seq_length": 999}}, True),
    ],
    ids=str,
)
def test_what_is_asked_otherwise_has_another_key(
    tmp_path: Path, server: Server, layer: Options, same: bool
) -> None:
    config = configured(tmp_path, server, 1)
    changed = {
        key: getattr(config, key).model_copy(update=value) if isinstance(value, dict) else value
        for key, value in layer.items()
    }
    assert key_for(config) == key_for(config)
    assert (key_for(config.model_copy(update=changed)) == key_for(config)) == same


def key_for(config: RunConfig) -> bytes:
    reader = Gpt4Backend(config, SilentProgress())
    inputs = Inputs(config, load_template(config.prompt), SilentProgress())
    (prompt,) = inputs.prompts(reader, inputs.examples())
    return key_of(reader.identity(), prompt)


def test_another_server_is_asked_anew(tmp_path: Path, server: Server, kept: Options) -> None:
    run(configured(tmp_path, server, 3, **kept), tmp_path / "a")
    with serving(Server()) as other:
        assert run(configured(tmp_path, other, 3, **kept), tmp_path / "b").cached == 0
        assert other.requests == 3


def test_what_a_server_refuses_is_found_again(
    tmp_path: Path, server: Server, kept: Options
) -> None:
    """The key includes what was asked for, even parameters dropped after a refusal."""
    message = "Unsupported value: 'temperature' does not support 0 with this model."
    refused = Fault(400, failure(message, "unsupported", "temperature"))
    server.script = lambda number, body: refused if "temperature" in body else None
    config = configured(tmp_path, server, 20, **kept)
    run(config, tmp_path / "a")
    before = server.requests
    assert run(config, tmp_path / "b").cached == 20
    assert server.requests == before


def test_a_dry_run_knows_what_is_kept(tmp_path: Path, server: Server, kept: Options) -> None:
    config = configured(tmp_path, server, 25, **kept)
    whole = dry_run(config, tmp_path / "out", SilentProgress())
    assert not Path(kept["cache_path"]).parent.exists()
    run(configured(tmp_path, server, 20, **kept), tmp_path / "a")
    config = configured(tmp_path, server, 25, **kept)
    rest = dry_run(config, tmp_path / "out", SilentProgress())
    assert (whole.cached, rest.cached) == (0, 20)
    assert (rest.examples, rest.output_tokens) == (25, (5, 20))
    assert rest.cost is not None
    assert whole.cost is not None
    assert 0 < rest.cost[1] < 0.3 * whole.cost[1]


def test_an_object_comes_back_whole(tmp_path: Path, server: Server, kept: Options) -> None:
    told = {"answer": "x", "passages": [1], "answerable": True}
    server.answer = lambda body: json.dumps(told)
    config = configured(tmp_path, server, 3, **kept, structured=True)
    assert [run(config, tmp_path / name).cached for name in "ab"] == [0, 3]
    rows = [json.loads((tmp_path / name / "predictions.json").read_bytes()) for name in "ab"]
    for row in rows:
        assert (row["q1"]["predicted_answer"], row["q1"]["evidence"]["named_ranks"]) == ("x", [1])


def test_without_a_price_tokens_are_saved(tmp_path: Path, server: Server, kept: Options) -> None:
    for name in "ab":
        result = run(configured(tmp_path, server, 5, **kept, price=None), tmp_path / name)
    assert (result.saved["usd"], result.saved["output_tokens"]) == (None, 5)


def test_the_command_line(
    tmp_path: Path, server: Server, call_aqa: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in the user's cache folder; savings are reported; it does not contain the API key."""
    monkeypatch.setattr(
        "aqa.backends.openai_api.cache.user_cache_path", lambda name: tmp_path / "user" / name
    )
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.answer = lambda body: f"it is {KEY}"
    write_questions(tmp_path, 12)
    words = ["predict", "gpt4", "-d", "questions.jsonl", "--cache", "--json"]
    words += ["--set", f"backend.base_url={server.url}", "--set", "backend.price.input=1"]
    words += ["--set", "backend.price.output=2"]
    assert json.loads(call_aqa(*words, "-o", "a").stdout)["cached"] == 0
    found = json.loads(call_aqa(*words, "-o", "b").stdout)
    assert (found["cached"], server.requests) == (12, 12)
    assert found["saved"]["usd"] == pytest.approx(server.cost(1, 2))
    words.remove("--json")
    shown = call_aqa(*words, "-o", "c")
    assert "from the cache: 12 answers, which saved $0.00" in shown.stdout
    assert "cached 12 ($0.00" in shown.stderr
    files = [path for path in (tmp_path / "user").rglob("*") if path.is_file()]
    assert [path.name for path in files] == ["responses.sqlite"]
    assert KEY.encode() not in files[0].read_bytes()
    assert b"it is ***" in files[0].read_bytes()
    words.remove("--cache")
    call_aqa(*words, "-o", "d")
    assert server.requests == 24


# The cache file.


def test_another_file_is_refused(tmp_path: Path, server: Server, kept: Options) -> None:
    content = b"not a database, but long enough to be taken for one" * 9
    path = Path(kept["cache_path"])
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"can't be used as a cache.*cache_path") as error:
        run(configured(tmp_path, server, 1, **kept), tmp_path / "out")
    assert "\n" not in str(error.value)
    assert path.read_bytes() == content
    assert not (tmp_path / "out").exists()


def test_another_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    with pytest.raises(RunError, match="holds something else"):
        ResponseCache(path)
    with pytest.raises(RunError, match="unable to open"):
        ResponseCache(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"raw": "x", "of_a_later_version": 1}'])
def test_what_can_not_be_read_is_not_there(tmp_path: Path, text: str) -> None:
    cache = ResponseCache(tmp_path / "x.sqlite")
    with sqlite3.connect(tmp_path / "x.sqlite") as other:
        other.execute("INSERT INTO answers VALUES (?, ?)", (b"key", text))
    other.close()
    assert cache.find(b"key", "q") is None
    # It is replaced once something new is paid for; a readable one is not.
    for raw in ("Ann", "Bob"):
        cache.keep(b"key", Prediction("q", raw=raw))
    found = cache.find(b"key", "q")
    assert found is not None
    assert found.raw == "Ann"
    cache.close()


def test_a_disk_that_fails_costs_no_answer(
    tmp_path: Path, server: Server, kept: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: ResponseCache, key: bytes, prediction: Prediction) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(ResponseCache, "keep", full)
    notes: list[str] = []
    assert run(configured(tmp_path, server, 20, **kept), tmp_path / "a", notes=notes).answered == 20
    assert notes == ["answers are no longer cached: database or disk is full"]


def put_and_find(path: Path, process: int) -> None:
    """Store 300 answers, half of them the same as the other processes', and find all again."""
    cache = ResponseCache(path)
    keys = [f"{n if n % 2 else (process, n)}".encode() for n in range(300)]
    for key in keys:
        cache.keep(key, Prediction("x", f"서울 {key!r}", spent=Spent(1), model=str(process)))
    for key in keys:
        found = cache.find(key, "y")
        assert found is not None
        assert (found.id, found.raw, found.spent) == ("y", f"서울 {key!r}", None)
    os._exit(0)  # without closing, as if killed


def test_what_arrives_while_a_run_ends_meets_no_closed_cache(
    tmp_path: Path, server: Server, kept: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite may crash the process if one thread closes a database that another uses."""
    close, append, is_closed = ResponseCache.close, Journal.append, Event()

    def close_first(cache: ResponseCache) -> None:
        close(cache)
        is_closed.set()
        sleep(0.3)  # answers arrive, if any are still awaited

    def append_one(journal: Journal, index: int, row: Mapping[str, Any]) -> None:
        if journal.counts(8)[0]:
            raise RunError("the disk is full")
        append(journal, index, row)

    monkeypatch.setattr(ResponseCache, "close", close_first)
    monkeypatch.setattr(Journal, "append", append_one)
    held = Fault(until=is_closed.is_set)
    server.script = lambda number, body: held if number > 1 else None
    notes: list[str] = []
    with pytest.raises(RunError, match="full"):
        run(configured(tmp_path, server, 8, **kept), tmp_path / "out", notes=notes)
    assert not [note for note in notes if "cache" in note]


@pytest.mark.slow
def test_several_processes_use_one_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "answers.sqlite"
    processes = [Forked(put_and_find, path, n) for n in range(5)]
    for process in processes:
        assert process.communicate() == ("", "")
        assert process.returncode == 0
    cache = ResponseCache(path)
    firsts = [cache.find(str(n).encode(), "z") for n in range(1, 300, 2)]
    assert all(found is not None and found.model in "01234" for found in firsts)
    cache.close()
