"""The Batch API with a server on loopback: complete, partial and refused batches, and caps."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import gpt4_runs
import pytest
from calls import Call
from fault_batches import Batch, BatchingServer, disordered
from fault_server import BAD_KEY, FAULTS, FILTERED, Body, Fault, failure, serving
from forked import start_aqa, wait_until
from gpt4_runs import KEY, completion, predictions, run, write_questions

from aqa.backends.openai_api.batch.lines import GONE
from aqa.backends.openai_api.ledger import Ledger
from aqa.config.backend_options import Gpt4Options
from aqa.config.options import GenerationOptions, RunConfig
from aqa.errors import AqaError, ModelError, RunError, StoppedError
from aqa.progress import SilentProgress, SilentTask
from aqa.runs.folder import read_manifest
from aqa.runs.names import JOURNAL, PREDICTIONS
from aqa.verbs.cancel import CancelResult, cancel
from aqa.verbs.predict import Resume, check, dry_run, kept_answers
from aqa.verbs.variants import spent_in

pytestmark = pytest.mark.usefixtures("hurried")


@pytest.fixture
def server() -> Iterator[BatchingServer]:
    with serving(BatchingServer()) as found:
        assert isinstance(found, BatchingServer)
        yield found


def configured(
    folder: Path, server: BatchingServer, count: int = 20, *, live: bool = False, **backend: Any
) -> RunConfig:
    batch = {"poll_seconds": 0.01} | backend.pop("batch", {})
    options = {"batch": batch, "batch_api": not live, "price": None, **backend}
    return gpt4_runs.configured(folder, server, count, **options)


def end(config: RunConfig, folder: Path) -> CancelResult:
    return cancel(config, folder, SilentProgress())


def errors(folder: Path) -> dict[str, str]:
    return {id_: row["error"] for id_, row in predictions(folder).items() if row.get("error")}


def test_the_same_files_as_asked_live(tmp_path: Path, server: BatchingServer) -> None:
    server.cached = 10
    server.arrange = disordered
    live = run(configured(tmp_path, server, live=True), tmp_path / "live")
    server.answered.clear()
    found = run(configured(tmp_path, server, batch={"max_requests": 7}), tmp_path / "batch")
    assert (found.answered, found.failed) == (live.answered, live.failed) == (20, 0)
    assert set(server.answered.values()) == {1}
    assert [len(batch.requests) for batch in server.batches.values()] == [7, 7, 6]
    files = [tmp_path / name / PREDICTIONS for name in ("live", "batch")]
    assert files[0].read_bytes() == files[1].read_bytes()
    manifests = [read_manifest(file.parent) for file in files]
    assert manifests[0]["fingerprint"] == manifests[1]["fingerprint"]
    served = manifests[1]["served"]
    assert served["models"] == manifests[0]["served"]["models"]
    assert [batch["status"] for batch in served["batches"]] == ["completed"] * 3
    kept = sorted(path.name for path in (tmp_path / "batch" / "batches").iterdir())
    assert kept == ["record.json"]  # everything sent and received is in the journal


def test_half_the_price(tmp_path: Path, server: BatchingServer) -> None:
    price = {"input": 1, "output": 2, "cached_input": 0.25}
    config = configured(tmp_path, server, price=price)
    estimate = dry_run(config, tmp_path / "out", SilentProgress())
    asked_live = configured(tmp_path, server, live=True, price=price)
    live = dry_run(asked_live, tmp_path / "out", SilentProgress())
    assert estimate.cost
    assert live.cost
    assert estimate.cost == pytest.approx([cost / 2 for cost in live.cost])
    assert "50%" in estimate.price
    run(config, tmp_path / "out")
    served = read_manifest(tmp_path / "out")["served"]
    assert served["spent"]["usd"] == pytest.approx(server.cost(1, 2) / 2)
    assert served["spent"]["input_tokens"] == server.prompt_tokens
    assert "50%" in served["price"]


def test_files_are_split_by_bytes(tmp_path: Path, server: BatchingServer) -> None:
    run(configured(tmp_path, server, batch={"max_bytes": 3000}), tmp_path / "out")
    sizes = [len(server.files[batch.file]) for batch in server.batches.values()]
    assert len(sizes) > 2
    assert all(2000 < size <= 3000 for size in sizes[:-1])
    assert set(server.answered.values()) == {1}


def test_a_request_that_no_file_may_hold(tmp_path: Path, server: BatchingServer) -> None:
    result = run(configured(tmp_path, server, 3, batch={"max_bytes": 300}), tmp_path / "out")
    assert result.failed == 3
    assert "more than a file may hold" in errors(tmp_path / "out")["q0"]
    assert not server.files


def test_progress_tells_what_is_new(
    tmp_path: Path, server: BatchingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, object]] = []

    def advance(self: SilentTask, amount: int = 1, fields: Any = None) -> None:
        if fields and "batch" in fields:
            told.append((amount, fields["batch"]))

    monkeypatch.setattr(SilentTask, "advance", advance)
    server.looks, server.pauses = 3, 4
    run(configured(tmp_path, server, 8), tmp_path / "out")
    assert told == [
        (0, "in progress"), (2, "in progress"), (2, "in progress"), (4, "completed"),
    ]  # fmt: skip


# Errors of single lines.


def at_first(fault: Fault, times: int = 1) -> Callable[[dict[str, Any]], Fault | None]:
    """The fault for question 3, the first so many times."""
    left = [times]

    def line(body: dict[str, Any]) -> Fault | None:
        if body["messages"][-1]["content"] != "who 3" or not left[0]:
            return None
        left[0] -= 1
        return fault

    return line


AGAIN = {"500": FAULTS["500"], "429": FAULTS["429"], "no answer": FAULTS["empty"]}


@pytest.mark.parametrize("fault", AGAIN.values(), ids=AGAIN)
def test_what_may_pass_is_asked_again(tmp_path: Path, server: BatchingServer, fault: Fault) -> None:
    server.line = at_first(fault, times=4)
    result = run(configured(tmp_path, server), tmp_path / "out")
    assert (result.answered, result.failed) == (20, 0)
    assert [len(batch.requests) for batch in server.batches.values()] == [20, 1, 1, 1, 1]
    assert set(server.answered.values()) == {1}
    server.line = at_first(fault, times=9)
    assert run(configured(tmp_path, server), tmp_path / "never").failed == 1
    told = errors(tmp_path / "never")["q3"]
    assert told.startswith(("gave up after 5 attempts: ", "the server gave no answer"))
    assert len(server.batches) == 5 + 5


@pytest.mark.parametrize("answered", [0, 4])
def test_what_fails_all_stops_also_the_last_question(
    tmp_path: Path, server: BatchingServer, answered: int
) -> None:
    """It was recorded as failed after three batches, and not asked again by the next run."""
    server.line = lambda body: None if int(body["messages"][-1]["content"][-1]) else BAD_KEY
    config = configured(tmp_path, server, 1 + answered)
    with pytest.raises(ModelError, match="refuses the key"):
        run(config, tmp_path / "out")
    assert [len(batch.requests) for batch in server.batches.values()] == [1 + answered, 1]
    server.line = lambda body: None
    assert run(config, tmp_path / "out").answered == 1 + answered


def test_an_unusable_answer_counts_at_its_worst(tmp_path: Path, server: BatchingServer) -> None:
    server.line = at_first(FAULTS["empty"])
    run(configured(tmp_path, server, 5, price={"input": 1, "output": 2}), tmp_path / "out")
    spent = read_manifest(tmp_path / "out")["served"]["spent"]
    assert spent["output_tokens"] == 5 + 4
    assert spent["input_tokens"] > server.prompt_tokens


def test_one_examples_error_is_recorded_for_it_alone(
    tmp_path: Path, server: BatchingServer
) -> None:
    server.line = at_first(FILTERED)
    result = run(configured(tmp_path, server), tmp_path / "out")
    assert (result.answered, result.failed) == (19, 1)
    assert errors(tmp_path / "out") == {"q3": "the prompt was filtered"}
    assert len(server.batches) == 1
    again = run(configured(tmp_path, server), tmp_path / "out", Resume(retry_errors=True))
    assert (again.answered, again.failed, again.resumed) == (20, 0, 19)
    assert len(server.batches["batch_2"].requests) == 1


def test_what_concerns_every_request_stops_the_run(tmp_path: Path, server: BatchingServer) -> None:
    server.line = lambda body: BAD_KEY if int(body["messages"][-1]["content"][4:]) > 9 else None
    with pytest.raises(ModelError, match="refuses the key"):
        run(configured(tmp_path, server), tmp_path / "out")
    assert read_manifest(tmp_path / "out")["counts"] == {
        "examples": 20, "answered": 10, "failed": 0,
    }  # fmt: skip
    server.line = lambda body: None
    assert run(configured(tmp_path, server), tmp_path / "out").resumed == 10
    assert set(server.answered.values()) == {1}


def test_a_refused_parameter_is_learnt_once(tmp_path: Path, server: BatchingServer) -> None:
    told = failure("Unknown parameter: 'seed'.", "unsupported", "seed")
    server.line = lambda body: Fault(400, told) if "seed" in body else None
    notes: list[str] = []
    result = run(configured(tmp_path, server), tmp_path / "out", notes=notes)
    assert (result.answered, len(server.batches)) == (20, 2)
    assert sum("refuses seed" in note for note in notes) == 1


def test_missing_lines_are_asked_again(tmp_path: Path, server: BatchingServer) -> None:
    server.arrange = lambda lines: lines[::2] if len(lines) > 5 else lines
    assert run(configured(tmp_path, server), tmp_path / "out").answered == 20
    assert [len(batch.requests) for batch in server.batches.values()] == [20, 10, 5]
    # Requests that a whole batch omitted may have been answered and paid for.
    spent = read_manifest(tmp_path / "out")["served"]["spent"]
    assert server.prompt_tokens <= spent["input_tokens"]


def test_a_server_without_a_schema_is_paid_for_once(tmp_path: Path, server: BatchingServer) -> None:
    server.answer = lambda body: "The bridge was opened in 1801."
    config = configured(tmp_path, server, 9, structured=True)
    with pytest.raises(ModelError, match="no answer yet, and 9 questions failed: the answer"):
        run(config, tmp_path / "out")
    assert server.answered.total() == 9


@pytest.mark.parametrize(
    "fault",
    [
        Fault(400, failure("no such endpoint")),
        Fault(500, failure("no such endpoint")),
        Fault(200, {"error": {"message": "no such endpoint"}}),
        completion("", "length"),
    ],
)
def test_a_batch_of_failures_alone_stops_the_run(
    tmp_path: Path, server: BatchingServer, fault: Fault
) -> None:
    """As when live: none is kept as failed, and what was paid in vain is counted."""
    server.line = lambda body: fault
    config = configured(tmp_path, server, 9, price={"input": 1, "output": 2})
    with pytest.raises(ModelError, match=r"no answer yet, and 9 questions failed: .*no (s|tok)"):
        run(config, tmp_path / "out")
    assert len(server.batches) == 1
    spent = read_manifest(tmp_path / "out")["served"]["spent"]
    assert (spent["input_tokens"] > 0) == (fault.status == 200)
    server.line = lambda body: None
    result = run(config, tmp_path / "out")
    assert (result.answered, result.failed, len(server.batches)) == (9, 0, 2)


@pytest.mark.parametrize("status", [402, 403, 404])
def test_what_only_some_questions_meet_is_theirs(
    tmp_path: Path, server: BatchingServer, status: int
) -> None:
    refused = ("who 3", "who 4", "who 5")
    server.line = lambda body: (
        Fault(status, failure("no")) if body["messages"][-1]["content"] in refused else None
    )
    result = run(configured(tmp_path, server, 12), tmp_path / "out")
    assert (result.answered, result.failed) == (9, 3)
    server.line = lambda body: Fault(status, failure("no"))
    with pytest.raises(ModelError, match="no"):
        run(configured(tmp_path, server, 12), tmp_path / "all")


def test_a_fenced_object_and_a_cut_text_are_answers(tmp_path: Path, server: BatchingServer) -> None:
    text = '```json\n{"answer": "Ann", "passages": [1], "answerable": true, "why": "x"}\n```'
    server.answer = lambda body: text
    assert run(configured(tmp_path, server, 2, structured=True), tmp_path / "out").answered == 2
    assert predictions(tmp_path / "out")["q1"]["predicted_answer"] == "Ann"
    server.line = lambda body: completion("as far", "length")
    assert run(configured(tmp_path, server, 2), tmp_path / "cut").shortfall.cut == 2


def test_an_answer_that_misses_its_schema_is_asked_again(
    tmp_path: Path, server: BatchingServer
) -> None:
    good = '{"answer": "it", "passages": [1], "answerable": true}'
    server.answer = lambda body: good
    server.line = at_first(completion("no object"), times=2)
    config = configured(tmp_path, server, 5, structured=True, price={"input": 1, "output": 2})
    assert run(config, tmp_path / "out").answered == 5
    assert len(server.batches) == 3
    row = predictions(tmp_path / "out")["q3"]
    assert (row["predicted_answer"], row["evidence"]["named_ranks"]) == ("it", [1])
    spent = read_manifest(tmp_path / "out")["served"]["spent"]
    assert spent["input_tokens"] == server.prompt_tokens + 2 * 10
    server.line = at_first(completion("no object"), times=9)
    run(config, tmp_path / "never")
    assert "does not match the schema" in errors(tmp_path / "never")["q3"]


@pytest.mark.parametrize("api", ["responses", "completions"])
def test_other_apis_by_batch(tmp_path: Path, server: BatchingServer, api: str) -> None:
    generation = GenerationOptions(max_new_tokens=16)
    asked_live, by_batch = (
        configured(tmp_path, server, live=live, api=api).model_copy(
            update={"generation": generation}
        )
        for live in (True, False)
    )
    live, found = run(asked_live, tmp_path / "live"), run(by_batch, tmp_path / "out")
    assert (live.answered, found.answered) == (20, 20)
    assert predictions(tmp_path / "live") == predictions(tmp_path / "out")
    assert server.batches["batch_1"].requests[0]["url"] == f"/v1/{api}"


def test_azures_batches(
    tmp_path: Path, server: BatchingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
    options = {"provider": "azure", "base_url": server.url.removesuffix("/v1")}
    assert run(configured(tmp_path, server, **options), tmp_path / "out").answered == 20
    assert server.batches["batch_1"].requests[0]["url"] == "/chat/completions"


def test_the_cache_serves_both_ways(tmp_path: Path, server: BatchingServer) -> None:
    cache = {
        "cache": True,
        "cache_path": str(tmp_path / "cache"),
        "price": {"input": 1, "output": 2},
    }
    run(configured(tmp_path, server, 5, **cache), tmp_path / "first")
    found = run(configured(tmp_path, server, 20, **cache), tmp_path / "second")
    assert (found.answered, found.cached) == (20, 5)
    assert [len(batch.requests) for batch in server.batches.values()] == [5, 15]
    live = run(configured(tmp_path, server, 20, live=True, **cache), tmp_path / "third")
    assert (live.answered, live.cached, server.requests) == (20, 20, 0)
    served = read_manifest(tmp_path / "second")["served"]
    assert served["models"] == {"reader-1-2026-01-01": 20}


# Batches that end in other ways.


def test_what_an_expired_batch_answered_is_kept(tmp_path: Path, server: BatchingServer) -> None:
    server.ends = lambda number: "expired" if number < 2 else "completed"
    assert run(configured(tmp_path, server), tmp_path / "out").answered == 20
    assert [len(batch.requests) for batch in server.batches.values()] == [20, 10, 5]
    assert set(server.answered.values()) == {1}


def test_batches_that_always_expire_end_the_run(tmp_path: Path, server: BatchingServer) -> None:
    server.ends = lambda number: "expired"
    with pytest.raises(ModelError, match="expired 3 times"):
        run(configured(tmp_path, server), tmp_path / "out")
    assert len(server.batches) == 3
    with pytest.raises(ModelError, match="answered nothing"):  # half of a single question is none
        run(configured(tmp_path, server, 1), tmp_path / "one")
    server.ends = lambda number: "completed"
    assert run(configured(tmp_path, server), tmp_path / "out").resumed == 10 + 5 + 2
    assert set(server.answered.values()) == {1}


def test_a_batch_that_is_refused(tmp_path: Path, server: BatchingServer) -> None:
    server.ends = lambda number: "failed"
    server.problem = {"code": "model", "message": "this model\nhas no batches", "line": 2}
    with pytest.raises(ModelError) as error:
        run(configured(tmp_path, server), tmp_path / "out")
    assert str(error.value) == (
        "the server refused the batch batch_1: line 2: this model has no batches"
    )
    server.ends = lambda number: "completed"
    assert run(configured(tmp_path, server), tmp_path / "out").answered == 20


def test_what_a_failed_batch_answered_is_kept(tmp_path: Path, server: BatchingServer) -> None:
    finish = server.finish

    def fail_late(batch: Batch, end: str) -> None:
        finish(batch, "expired" if batch.id == "batch_1" else end)
        batch.status = "failed" if batch.id == "batch_1" else end

    server.finish = fail_late  # type: ignore[method-assign]
    assert run(configured(tmp_path, server), tmp_path / "out").answered == 20
    assert [len(batch.requests) for batch in server.batches.values()] == [20, 10]


def test_the_errors_of_a_failed_batch_are_read(tmp_path: Path, server: BatchingServer) -> None:
    finish = server.finish

    def fail_late(batch: Batch, end: str) -> None:
        finish(batch, "completed")
        batch.status = "failed" if batch.id == "batch_1" else end

    server.finish = fail_late  # type: ignore[method-assign]
    server.line = lambda body: FILTERED
    with pytest.raises(ModelError, match="20 questions failed: the prompt was filtered"):
        run(configured(tmp_path, server), tmp_path / "out")
    assert len(server.batches) == 1


@pytest.mark.parametrize(
    "error",
    [
        {"code": "insufficient_quota", "message": "x"},
        {"error": {"code": 401, "message": "x"}},
        {"type": "billing_error", "message": "x"},
    ],
)
def test_a_line_without_a_status_tells_one_by_its_code(
    tmp_path: Path, server: BatchingServer, error: Body
) -> None:
    server.arrange = lambda lines: [
        json.dumps({"custom_id": str(n), "response": None, "error": error}).encode()
        for n in range(20)
    ]
    with pytest.raises(ModelError, match=r"\(x\)"):
        run(configured(tmp_path, server), tmp_path / "out")
    assert len(server.batches) == 1


def each_line(change: Callable[[Body], Body]) -> Callable[[list[bytes]], list[bytes]]:
    return lambda lines: [json.dumps(change(json.loads(line))).encode() for line in lines]


@pytest.mark.parametrize(
    "change",
    [
        lambda said: {"body": said["body"], "status_code": "200"},
        lambda said: {"body": said["body"]},
        lambda said: {"body": json.dumps(said["body"]), "status_code": 200},
        lambda said: said["body"],
    ],
)
def test_answers_of_another_shape_are_read(
    tmp_path: Path, server: BatchingServer, change: Callable[[Body], Body]
) -> None:
    server.arrange = each_line(lambda line: {**line, "response": change(line["response"])})
    assert run(configured(tmp_path, server), tmp_path / "out").answered == 20
    assert len(server.batches) == 1


def test_answers_that_nobody_can_read_are_bought_once(
    tmp_path: Path, server: BatchingServer
) -> None:
    server.arrange = each_line(lambda line: {**line, "response": {"body": {"outputs": []}}})
    with pytest.raises(ModelError, match="is not a chat completion"):
        run(configured(tmp_path, server), tmp_path / "out")
    assert len(server.batches) == 1


def test_lines_of_another_api_are_paid_for(tmp_path: Path, server: BatchingServer) -> None:
    """Anthropic's have a result: what they cost was forgotten."""
    said = {"type": "succeeded", "message": {"content": [{"type": "text", "text": "Ann"}]}}
    server.arrange = lambda lines: [
        json.dumps({"custom_id": json.loads(line)["custom_id"], "result": said}).encode()
        for line in lines
    ]
    with pytest.raises(ModelError, match=r"no answer yet, and 20 .* answers lack it"):
        run(configured(tmp_path, server), tmp_path / "out")
    assert read_manifest(tmp_path / "out")["served"]["spent"]["output_tokens"] == 20 * 4
    assert len(server.batches) == 1


def test_more_than_may_wait_is_asked_later(tmp_path: Path, server: BatchingServer) -> None:
    server.ends = lambda number: "failed" if number == 1 else "completed"
    server.problem = {"code": "token_limit_exceeded", "message": "too many tokens are waiting"}
    config = configured(tmp_path, server, batch={"max_requests": 10})
    assert run(config, tmp_path / "out").answered == 20
    assert [batch.status for batch in server.batches.values()] == [
        "completed", "failed", "completed",
    ]  # fmt: skip
    server.ends = lambda number: "failed"
    with pytest.raises(ModelError, match="answered nothing"):
        run(config, tmp_path / "never")


@pytest.mark.parametrize(
    ("end", "spelling", "requests"),
    [
        ("completed", str.upper, [20]),  # Together's
        ("expired", {"expired": "TIMEOUT_EXCEEDED"}.get, [20, 10]),
    ],
)
def test_ends_of_batches_as_others_write_them(
    tmp_path: Path, server: BatchingServer, end: str, spelling: Any, requests: list[int]
) -> None:
    server.ends = lambda number: end if number == 0 else "completed"
    server.spelling = lambda status: spelling(status) or status
    assert run(configured(tmp_path, server), tmp_path / "out").answered == 20
    assert [len(batch.requests) for batch in server.batches.values()] == requests


def test_a_batch_that_someone_cancelled(tmp_path: Path, server: BatchingServer) -> None:
    server.ends = lambda number: "cancelled" if number == 0 else "completed"
    with pytest.raises(ModelError, match="was cancelled"):
        run(configured(tmp_path, server), tmp_path / "out")
    assert len(server.batches) == 1
    assert run(configured(tmp_path, server), tmp_path / "out").resumed == 10
    assert set(server.answered.values()) == {1}


# A failing server.

UNWELL = {
    "500": FAULTS["500"],
    "429": FAULTS["429"],
    "cut": Fault(cut=True),
    "closed": Fault(close=True),
    "closed within": Fault(206, close=True),
}


@pytest.mark.parametrize("fault", UNWELL.values(), ids=UNWELL)
def test_a_step_whose_answer_is_lost(tmp_path: Path, server: BatchingServer, fault: Fault) -> None:
    """What was created without a reply is found, not created again."""
    server.after = lambda step, number: fault if number == 0 else None
    assert run(configured(tmp_path, server), tmp_path / "out").answered == 20
    assert len(server.batches) == 1
    assert set(server.answered.values()) == {1}
    assert [server.steps[step] for step in ("upload", "create", "list")] == [2, 1, 2]


def test_a_step_that_fails_is_made_again(tmp_path: Path, server: BatchingServer) -> None:
    faults = [FAULTS["500"], FAULTS["503"], Fault(502)]
    server.before = lambda step, number: faults[number] if number < 3 else None
    assert run(configured(tmp_path, server), tmp_path / "out").answered == 20
    assert len(server.batches) == 1
    assert [server.steps[step] for step in ("upload", "create", "retrieve")] == [4, 4, 4]


def test_a_server_that_stays_unwell(tmp_path: Path, server: BatchingServer) -> None:
    server.before = lambda step, number: FAULTS["500"] if step == "retrieve" else None
    with pytest.raises(ModelError, match="batches keep running"):
        run(configured(tmp_path, server, example_deadline=0.2), tmp_path / "out")
    server.before = lambda step, number: None
    assert run(configured(tmp_path, server), tmp_path / "out").answered == 20
    assert len(server.batches) == 1


def test_a_server_that_is_not_there_is_not_waited_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aqa.backends.openai_api.batch.server.FIRST_CONTACT", 0.1)
    nowhere = BatchingServer(url="http://127.0.0.1:9/v1")
    with pytest.raises(ModelError, match=r"nothing listens there\); is backend.base_url right"):
        run(configured(tmp_path, nowhere, example_deadline=300), tmp_path / "out")


def test_a_server_without_batches(tmp_path: Path, server: BatchingServer) -> None:
    server.before = lambda step, number: Fault(404, failure("Not Found"))
    with pytest.raises(ModelError, match="no Batch API"):
        run(configured(tmp_path, server), tmp_path / "out")


def test_answers_that_the_server_no_longer_has(tmp_path: Path, server: BatchingServer) -> None:
    server.after = lambda step, number: (
        Fault(404, failure("expired")) if step == "content" and number < GONE else None
    )
    config = configured(tmp_path, server, price={"input": 1, "output": 2})
    with pytest.raises(ModelError, match="no longer has the answers"):
        run(config, tmp_path / "out")
    spent = read_manifest(tmp_path / "out")["served"]["spent"]
    assert spent["usd"] > server.cost(1, 2) / 2
    assert run(config, tmp_path / "out").answered == 20


@pytest.mark.parametrize("odd", ["\x1b[2J", "../files", "", 7])
def test_odd_ids_are_not_taken(tmp_path: Path, server: BatchingServer, odd: object) -> None:
    server.after = lambda step, number: Fault(200, {"id": odd, "status": "completed"})
    with pytest.raises(ModelError, match="no valid id"):
        run(configured(tmp_path, server, example_deadline=0.05), tmp_path / "out")


# Caps.


def test_a_cap_is_never_passed_and_the_run_goes_on(tmp_path: Path, server: BatchingServer) -> None:
    price = {"input": 1, "output": 2}
    run(configured(tmp_path, server, 100, live=True), tmp_path / "whole")
    cap = server.cost(1, 2) / 4
    server.prompt_tokens = server.answer_tokens = 0
    server.answered.clear()
    with pytest.raises(StoppedError, match="--max-cost") as error:
        run(configured(tmp_path, server, 100, price=price, max_cost=cap), tmp_path / "out")
    assert error.value.exit_code == 3
    assert 0 < server.cost(1, 2) / 2 <= cap
    manifest = read_manifest(tmp_path / "out")
    assert manifest["status"] == "stopped"
    assert 20 < manifest["counts"]["answered"] == len(server.answered) < 50
    assert len(server.batches) == 1 + 5  # the first tries the server
    assert run(configured(tmp_path, server, 100, price=price), tmp_path / "out").answered == 100
    assert set(server.answered.values()) == {1}


def test_a_server_that_heeds_no_limit_passes_no_cap(tmp_path: Path, server: BatchingServer) -> None:
    """A first batch shows it; what is known of it, such as OpenAI, needs none."""
    server.answer = lambda body: "word " * 1000
    notes: list[str] = []
    config = capped(tmp_path, server, 0.06)
    with pytest.raises(StoppedError, match="--max-cost"):
        run(config, tmp_path / "out", notes=notes)
    assert 0.05 < server.cost(1, 2) / 2 <= 0.06
    assert [len(batch.requests) for batch in server.batches.values()] == [10, 37, 9, 2]
    assert "10 requests first" in "".join(notes)
    options = Gpt4Options.model_validate({"base_url": "https://api.openai.com/v1", "max_cost": 1})
    assert not Ledger(options).is_untried
    assert Ledger(options.model_copy(update={"base_url": server.url})).is_untried


def test_nor_does_a_first_batch_or_an_answer_longer_than_any_before(
    tmp_path: Path, server: BatchingServer
) -> None:
    """As many are tried as the cap has room for if they all reach the end of the context."""
    lengths = iter([8, *[1000] * 99])
    server.answer = lambda body: "word " * next(lengths)
    notes: list[str] = []
    config = capped(tmp_path, server, 0.0045)
    for _ in range(2):
        with pytest.raises(StoppedError, match="--max-cost"):
            run(config, tmp_path / "out", notes=notes)
        assert 0.001 < server.cost(1, 2) / 2 <= 0.0045
    assert [len(batch.requests) for batch in server.batches.values()] == [3, 1, 1]
    assert "3 requests first" in "".join(notes)


def capped(folder: Path, server: BatchingServer, cap: float) -> RunConfig:
    price = {"input": 1, "output": 2}
    limits = {"max_seq_length": 1200, "reasoning_tokens": 0, "max_cost": cap}
    return configured(folder, server, 100, price=price, **limits)


def test_other_runs_know_of_what_is_collected_before_this_one_ends(
    tmp_path: Path, server: BatchingServer
) -> None:
    config = configured(tmp_path, server, price={"input": 1, "output": 2})
    questions = check(config, SilentProgress())
    rows = kept_answers(questions, tmp_path / "out", SilentProgress())
    with closing(rows):
        costs = [next(rows)["spent"]["cost"] for _ in range(6)]
        found = spent_in(tmp_path / "out").cost
    assert found is not None
    assert found >= sum(costs) * (1 - 1e-9) > 0


def test_a_cap_with_no_room_asks_nothing(tmp_path: Path, server: BatchingServer) -> None:
    with pytest.raises(StoppedError, match="--max-tokens-total"):
        run(configured(tmp_path, server, max_tokens_total=20), tmp_path / "out")
    assert not server.steps


def test_a_lower_cap_holds_for_what_was_planned(tmp_path: Path, server: BatchingServer) -> None:
    server.before = lambda step, number: Fault(400, failure("no"))
    with pytest.raises(ModelError, match="refuses batches: no"):
        run(configured(tmp_path, server), tmp_path / "out")
    server.before = lambda step, number: None
    with pytest.raises(StoppedError, match="--max-tokens-total"):
        run(configured(tmp_path, server, max_tokens_total=20), tmp_path / "out")
    assert not server.batches


# Live and batch requests in one run; cancelling.


def test_begun_live_and_finished_by_batch(tmp_path: Path, server: BatchingServer) -> None:
    server.script = lambda number, body: BAD_KEY if number >= 12 else None
    with pytest.raises(ModelError):
        run(configured(tmp_path, server, live=True, max_concurrency=2), tmp_path / "out")
    found = run(configured(tmp_path, server), tmp_path / "out")
    assert (found.answered, found.resumed) == (20, 12)
    assert len(server.batches["batch_1"].requests) == 8
    assert set(server.answered.values()) == {1}


def interrupted(config: RunConfig, folder: Path, server: BatchingServer) -> None:
    """Begin a run and interrupt it while its batch is at the server."""
    server.before = lambda step, number: (
        Fault(400, failure("broken off")) if step == "retrieve" else None
    )
    with pytest.raises(ModelError, match="broken off"):
        run(config, folder)
    server.before = lambda step, number: None


def test_an_open_batch_is_collected_before_anything_is_asked_live(
    tmp_path: Path, server: BatchingServer
) -> None:
    interrupted(configured(tmp_path, server), tmp_path / "out", server)
    server.batches["batch_1"].end = "expired"
    notes: list[str] = []
    found = run(configured(tmp_path, server, live=True), tmp_path / "out", notes=notes)
    assert (found.answered, len(server.batches)) == (20, 1)
    assert "batches of this run are still open" in notes[0]
    assert set(server.answered.values()) == {1}


def test_a_run_with_open_batches_does_not_begin_anew(
    tmp_path: Path, server: BatchingServer
) -> None:
    config = configured(tmp_path, server)
    interrupted(config, tmp_path / "out", server)
    with pytest.raises(RunError, match="--cancel"):
        run(config, tmp_path / "out", Resume(fresh=True))
    assert run(config, tmp_path / "out").answered == 20
    assert run(config, tmp_path / "out", Resume(fresh=True)).answered == 20
    assert len(server.batches) == 2


def test_a_lower_limit_loses_no_answer_of_an_open_batch(
    tmp_path: Path, server: BatchingServer
) -> None:
    config = configured(tmp_path, server)
    interrupted(config, tmp_path / "out", server)
    few = config.model_copy(update={"data": config.data.model_copy(update={"limit": 5})})
    assert run(few, tmp_path / "out").answered == 5
    assert list(predictions(tmp_path / "out")) == [f"q{n}" for n in range(5)]
    spent = read_manifest(tmp_path / "out")["served"]["spent"]
    assert spent["input_tokens"] == server.prompt_tokens
    result = run(config, tmp_path / "out")
    assert (result.answered, result.resumed, len(server.batches)) == (20, 20, 1)


def test_failures_that_were_asked_again_are_not_resumed(
    tmp_path: Path, server: BatchingServer
) -> None:
    config = configured(tmp_path, server, 4)
    server.line = lambda body: FILTERED if body["messages"][-1]["content"] == "who 3" else None
    run(config, tmp_path / "out")
    server.line = lambda body: None
    server.before = lambda step, number: Fault(400, failure("off")) if step == "retrieve" else None
    with pytest.raises(ModelError):
        run(config, tmp_path / "out", Resume(retry_errors=True))
    server.before = lambda step, number: None
    found = run(config, tmp_path / "out")
    assert (found.answered, found.resumed) == (4, 3)


@pytest.mark.parametrize("fresh", [False, True])
def test_what_never_reached_the_server_binds_nobody(
    tmp_path: Path, server: BatchingServer, fresh: bool
) -> None:
    server.before = lambda step, number: Fault(400, failure("no such deployment"))
    with pytest.raises(ModelError, match="refuses batches"):
        run(configured(tmp_path, server, model="wrong"), tmp_path / "out")
    server.before = lambda step, number: None
    config = configured(tmp_path, server, model="right")
    assert run(config, tmp_path / "out", Resume(fresh=fresh)).answered == 20
    (batch,) = server.batches.values()
    assert {line["body"]["model"] for line in batch.requests} == {"right"}


def test_a_run_with_open_batches_is_not_another_one(tmp_path: Path, server: BatchingServer) -> None:
    interrupted(configured(tmp_path, server), tmp_path / "out", server)
    with pytest.raises(RunError, match=r"holds another run: reader\.model"):
        run(configured(tmp_path, server, model="other"), tmp_path / "out")
    assert run(configured(tmp_path, server), tmp_path / "out").answered == 20


def test_cancelling_keeps_what_was_answered(tmp_path: Path, server: BatchingServer) -> None:
    config = configured(tmp_path, server)
    interrupted(config, tmp_path / "out", server)
    server.looks = 3
    found = end(config, tmp_path / "out")
    assert (found.examples, found.answered, found.failed) == (20, 10, 0)
    manifest = read_manifest(tmp_path / "out")
    assert manifest["status"] == "cancelled"
    assert manifest["served"]["batches"][0]["status"] == "cancelled"
    for name in ("out", "other"):
        with pytest.raises(RunError, match="nothing to cancel"):
            end(config, tmp_path / name)
    assert read_manifest(tmp_path / "out")["status"] == "cancelled"
    assert not (tmp_path / "other").exists()
    assert run(config, tmp_path / "out").resumed == 10
    assert set(server.answered.values()) == {1}


def test_cancelling_what_has_ended_or_is_gone(tmp_path: Path, server: BatchingServer) -> None:
    config = configured(tmp_path, server)
    interrupted(config, tmp_path / "ended", server)
    server.finish(server.batches["batch_1"], "completed")
    assert end(config, tmp_path / "ended").answered == 20
    interrupted(config, tmp_path / "gone", server)
    server.batches.clear()
    with pytest.raises(ModelError, match="give it up with --cancel"):
        run(config, tmp_path / "gone")
    assert end(config, tmp_path / "gone").answered == 0
    assert run(config, tmp_path / "gone").answered == 20


def test_cancelling_before_the_id_was_known(tmp_path: Path, server: BatchingServer) -> None:
    server.looks = 3
    config = configured(tmp_path, server, example_deadline=0.1)
    server.after = lambda step, number: Fault(close=True) if step in ("create", "list") else None
    with pytest.raises(ModelError, match="gave up"):
        run(config, tmp_path / "out")
    server.after = lambda step, number: None
    assert len(server.batches) == 1
    assert end(config, tmp_path / "out").answered == 10
    assert server.batches["batch_1"].status == "cancelled"


def test_an_id_is_found_among_many(tmp_path: Path, server: BatchingServer) -> None:
    server.page = 2
    config = configured(tmp_path, server, example_deadline=0.1)
    server.after = lambda step, number: Fault(close=True) if step in ("create", "list") else None
    with pytest.raises(ModelError, match="gave up"):
        run(config, tmp_path / "out")
    server.after = lambda step, number: None
    for other in range(3):
        run(configured(tmp_path, server), tmp_path / f"other{other}")
    assert run(config, tmp_path / "out").answered == 20
    assert len(server.batches) == 4


def test_where_it_can_not_be_told_nothing_is_sent_again(
    tmp_path: Path, server: BatchingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in range(2):
        run(configured(tmp_path, server), tmp_path / f"other{other}")
    server.page = 1
    monkeypatch.setattr("aqa.backends.openai_api.batch.server.PAGES", 1)
    server.after = lambda step, number: (
        Fault(close=True) if step == "create" and number == 2 else None
    )
    before = server.create

    def create_and_more(body: dict[str, Any]) -> dict[str, Any]:
        """Another run's batch is created after ours."""
        made = before(body)
        before(body | {"metadata": {}, "input_file_id": "file-1"})
        return made

    server.create = create_and_more  # type: ignore[method-assign]
    with pytest.raises(ModelError, match="may be among the server's"):
        run(configured(tmp_path, server), tmp_path / "out")
    assert len(server.batches) == 4


def test_a_local_reader_has_no_batches(tmp_path: Path, call_aqa: Call) -> None:
    write_questions(tmp_path, 2)
    words = ["predict", "stub", "-d", "questions.jsonl"]
    done = call_aqa(*words, "--cancel")
    assert (done.returncode, "has none" in done.stderr) == (2, True)
    done = call_aqa(*words, "--batch-api")
    assert (done.returncode, "--batch-api is for other" in done.stderr) == (2, True)
    done = call_aqa(*words, "--cancel", "--fresh")
    assert (done.returncode, "with --cancel" in done.stderr) == (2, True)


def test_a_broken_record_is_told_of(tmp_path: Path, server: BatchingServer) -> None:
    config = configured(tmp_path, server)
    run(config, tmp_path / "out")
    record = tmp_path / "out" / "batches" / "record.json"
    record.write_text(record.read_text()[:-20])
    with pytest.raises(AqaError, match="not a record of batches"):
        run(config, tmp_path / "out")


# The command line.


def command(server: BatchingServer, *more: str) -> list[str]:
    words = ["predict", "gpt4", "-d", "questions.jsonl", "-o", "out", "--batch-api"]
    settings = [f"backend.base_url={server.url}", "backend.batch.poll_seconds=0.01"]
    return [*words, *(word for text in settings for word in ("--set", text)), *more]


def test_the_key_is_nowhere(
    tmp_path: Path,
    server: BatchingServer,
    call_aqa: Call,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    caplog.set_level("DEBUG")
    write_questions(tmp_path, 12)
    server.answer = lambda body: f"it is {KEY} [bold]red[/] \x1b[2J"
    server.line = at_first(Fault(400, failure(f"bad {KEY}")))
    server.before = lambda step, number: Fault(401, failure(f"bad {KEY}"))
    stopped = call_aqa(*command(server), code=1)
    server.before = lambda step, number: None
    done = call_aqa(*command(server), code=0)
    files = [path.read_text(encoding="utf-8") for path in tmp_path.rglob("*") if path.is_file()]
    streams = [text for call in (stopped, done) for text in (call.stdout, call.stderr)]
    for text in [*files, *streams, caplog.text]:
        assert KEY not in text
    assert "\x1b[2J" not in "".join(streams)
    assert "***" in (tmp_path / "out" / JOURNAL).read_text(encoding="utf-8")


@pytest.mark.slow
def test_ctrl_c_leaves_the_batch_at_the_server(
    tmp_path: Path, server: BatchingServer, call_aqa: Call
) -> None:
    write_questions(tmp_path, 12)
    server.looks = 10**6
    process = start_aqa(*command(server), folder=tmp_path)
    wait_until(lambda: server.steps["retrieve"] >= 3, process)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate()
    assert process.returncode == 130
    assert "the batch keeps running at the server (batch_1)" in told
    assert "--cancel" in told
    assert not {"Traceback", "Warning", "never"} & set(told.split())
    manifest = read_manifest(tmp_path / "out")
    assert manifest["status"] == "interrupted"
    assert manifest["served"]["batches"] == [{"id": "batch_1", "status": "open", "requests": 12}]
    ended = call_aqa(*command(server), "--cancel", "--json", "--quiet")
    assert json.loads(ended.stdout) == {
        "cancelled": True, "examples": 12, "answered": 6, "failed": 0,
    }  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    ("step", "fault", "told"),
    [
        ("upload", Fault(413), r"no file that large \(status 413\); set backend.batch.max_bytes"),
        ("retrieve", Fault(404, failure("gone")), r"not know the batch batch_1 \(gone\); use the"),
    ],
)
def test_what_a_refused_step_says(
    tmp_path: Path, server: BatchingServer, step: str, fault: Fault, told: str
) -> None:
    server.before = lambda name, number: fault if name == step else None
    with pytest.raises(ModelError, match=told):
        run(configured(tmp_path, server), tmp_path / "out")
