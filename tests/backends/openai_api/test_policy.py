"""Runs in which questions fail: one, several in a row, for a while, or all."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from calls import Call
from fault_server import FAULTS, NO_MODEL, QUOTA, Fault, Server, failure
from gpt4_runs import USAGE, command_line, completion, configured, predictions, run, write_questions

from aqa.backends.openai_api.attempts import Attempts
from aqa.backends.openai_api.failures import Failure
from aqa.backends.openai_api.pacing import Pace
from aqa.backends.openai_api.policy import ALIKE, PROBES, Policy
from aqa.errors import ModelError
from aqa.runs.folder import read_manifest
from aqa.runs.names import PREDICTIONS
from aqa.spent import Spent
from aqa.verbs.predict import Resume

pytestmark = pytest.mark.usefixtures("hurried")

Body = dict[str, Any]
Script = Callable[[int, Body], Fault | None]
CREDIT = Fault(402, failure("more credits are needed, or fewer max_tokens"))
FORBIDDEN = Fault(403, failure("forbidden"))
BUSY = Fault(529, failure("Overloaded"))
DAY = Fault(429, failure("Limit on requests per day (RPD). Try again in 7m."))
HOUR = Fault(503, failure("maintenance"), {"Retry-After": "3600"})
CUT = completion("", "length")
BLOCKED = Fault(200, {"choices": [], "model": "m", "usage": {**USAGE, "completion_tokens": 0}})
GOOD = '{"answer": "Ann", "passages": [], "answerable": true}'


def asked(body: Body) -> int:
    """The number of the question."""
    return int(body["messages"][-1]["content"].split()[-1])


def after(count: int, fault: Fault) -> Script:
    return lambda number, body: fault if number >= count else None


def of(questions: range, fault: Fault) -> Script:
    return lambda number, body: fault if asked(body) in questions else None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (FAULTS["502"], r"\d+ questions failed, and none was answered meanwhile: status 502"),
        (FAULTS["not json"], r"none was answered meanwhile: the server sent a web page"),
        (BUSY, "none was answered meanwhile: Overloaded"),
        (FAULTS["429"], "none was answered meanwhile: too many requests"),
        (Fault(200, {"error": {"message": "busy", "code": 429}}), "answered meanwhile: busy"),
        (DAY, r"the daily quota is used up \(Limit on requests per day"),
        (HOUR, r"the server asks to wait 60 minutes \(maintenance\)"),
        (CREDIT, "credit is used up"),
        (FORBIDDEN, "refuses access"),
        (NO_MODEL, "does not know this model"),
        (QUOTA, "quota is used up"),
        (Fault(200, {"error": {"message": "no", "code": 402}}), "credit is used up"),
    ],
)
@pytest.mark.parametrize("at_a_time", [1, 16])
def test_a_server_that_fails_from_now_on_stops_the_run(
    tmp_path: Path,
    server: Server,
    fault: Fault,
    sentence: str,
    at_a_time: int,
) -> None:
    """The next run asks failed questions again, without a flag."""
    server.script = after(5, fault)
    config = configured(tmp_path, server, 60, max_concurrency=at_a_time)
    with pytest.raises(ModelError, match=sentence) as told:
        run(config, tmp_path / "out")
    assert "run the same command again to resume" in str(told.value)
    counts = read_manifest(tmp_path / "out")["counts"]
    assert (counts["answered"], counts["failed"]) == (server.answered.total(), 0)
    assert server.requests <= 5 + 20 * 12
    server.script = lambda number, body: None
    result = run(config, tmp_path / "out")
    assert (result.answered, result.failed) == (60, 0)
    assert set(server.answered.values()) == {1}


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 5])
def test_those_that_a_busy_server_sent_away_are_not_tried_one_by_one(
    tmp_path: Path, server: Server, first: int
) -> None:
    """Each would wait again for as long as the server asks."""
    server.latency = 0.05  # so that all are in flight at the same time
    server.script = after(first, FAULTS["429"])
    with pytest.raises(ModelError, match=r"\d+ questions failed.*: too many requests; ") as told:
        run(configured(tmp_path, server, 60, max_concurrency=16), tmp_path / "out")
    assert ("try again later" in str(told.value)) == (first == 0)
    assert server.requests <= first + 2 * 16 + PROBES + ALIKE


@pytest.mark.parametrize("by_rate", [False, True])
def test_no_question_waits_beyond_its_deadline(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, by_rate: bool
) -> None:
    """Neither for what the server asks of another one, nor for the rate that the user allows."""
    slept: list[float] = []

    async def sleep(self: Policy, seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(min(seconds, 0.1))

    monkeypatch.setattr(Policy, "sleep", sleep)
    wait = Fault(429, failure("try again in 1m30s"))
    server.script = lambda number, body: wait if asked(body) and not by_rate else FAULTS["500"]
    rate = {"requests_per_minute": 1} if by_rate else {}
    config = configured(tmp_path, server, 1 if by_rate else 2, example_deadline=30, **rate)
    assert run(config, tmp_path / "out").failed == len(predictions(tmp_path / "out"))
    assert server.requests <= 2 + 6
    assert max(slept, default=0.0) < 30


def test_few_that_a_busy_server_sends_away_fail(tmp_path: Path, server: Server) -> None:
    server.script = of(range(3), FAULTS["429"])
    result = run(configured(tmp_path, server, 20), tmp_path / "out")
    assert (result.answered, result.failed) == (17, 3)


@pytest.mark.parametrize("fault", [CREDIT, FORBIDDEN, NO_MODEL, FAULTS["500"]])
@pytest.mark.parametrize("questions", [range(1), range(7, 9), range(9, 10)])
@pytest.mark.parametrize("at_a_time", [1, 16])
@pytest.mark.slow
def test_what_only_some_questions_meet_is_theirs(
    tmp_path: Path, server: Server, fault: Fault, questions: range, at_a_time: int
) -> None:
    """Whether they come first, last, or while the others take long."""

    def script(number: int, body: Body) -> Fault:
        return fault if asked(body) in questions else Fault(hang=0.05)

    server.script = script
    result = run(configured(tmp_path, server, 10, max_concurrency=at_a_time), tmp_path / "out")
    failed = len(questions)
    assert (result.answered, result.failed) == (10 - failed, failed)
    row = predictions(tmp_path / "out")[f"q{questions[0]}"]
    assert row["error"].startswith("gave up after")
    tries = 9 if fault is FAULTS["500"] else 3
    assert server.requests <= 10 - failed + tries * failed


def test_no_run_stops_for_ever_for_its_last_questions(tmp_path: Path, server: Server) -> None:
    """They fail, and so does the run, once; then it has predictions and asks nothing again."""
    server.script = of(range(12, 20), FORBIDDEN)
    config = configured(tmp_path, server, 20, max_concurrency=4)
    with pytest.raises(ModelError, match="refuses access"):
        run(config, tmp_path / "out")
    assert not (tmp_path / "out" / PREDICTIONS).exists()
    with pytest.raises(ModelError, match="with --retry-errors for what failed"):
        run(config, tmp_path / "out")
    before = server.requests
    result = run(config, tmp_path / "out")
    assert (result.answered, result.failed, server.requests) == (12, 8, before)


@pytest.mark.slow
def test_a_short_outage_fails_no_question(tmp_path: Path, server: Server) -> None:
    """Questions that had given up are retried once others are answered."""
    server.script = lambda number, body: FAULTS["500"] if 5 <= number < 5 + 4 + 8 else None
    config = configured(tmp_path, server, 20, max_concurrency=3)
    result = run(config, tmp_path / "out")
    assert (result.answered, result.failed) == (20, 0)


@pytest.mark.parametrize(
    "faults",
    [
        [FORBIDDEN, FORBIDDEN, FAULTS["429"]],  # its last attempt comes when the server is busy
        [FORBIDDEN, FORBIDDEN, BLOCKED],
        [completion("no object"), completion("no object")],  # before the first answer
    ],
)
def test_a_question_has_all_its_attempts(
    tmp_path: Path, server: Server, faults: list[Fault]
) -> None:
    left = iter(faults)

    def script(number: int, body: Body) -> Fault:
        answer = completion(GOOD)
        return replace(answer, hang=0.2) if asked(body) else next(left, answer)

    server.script = script
    result = run(configured(tmp_path, server, 4, structured=True), tmp_path / "out")
    assert (result.answered, result.failed) == (4, 0)


def test_questions_without_a_place_for_an_answer_fail(tmp_path: Path, server: Server) -> None:
    """Gemini's that are blocked stopped the run, and cost as much as the longest answers."""
    server.script = of(range(12, 20), BLOCKED)
    result = run(configured(tmp_path, server, 20, max_concurrency=4), tmp_path / "out")
    assert (result.answered, result.failed) == (12, 8)
    spent = read_manifest(tmp_path / "out")["served"]["spent"]
    assert spent["output_tokens"] == 12
    assert spent["input_tokens"] == server.prompt_tokens + 8 * 5 * USAGE["prompt_tokens"]


@pytest.mark.parametrize("is_back", [False, True])
def test_a_server_that_is_back_stops_nothing(is_back: bool) -> None:
    """A question whose time ended after it was refused a connection is only one that failed."""
    policy = Policy(Pace(1, None, None), lambda note: None, False, 120.0)
    tried = Attempts(Spent(), until=0.0, last=Failure("unreachable", "no connection"))

    async def ends() -> bool:
        assert tried.last is not None
        policy._observe(tried.last, 0.0)
        if is_back:
            policy.answered()
        waits = asyncio.create_task(policy.give_up(tried))
        await asyncio.sleep(0)
        policy.answered()
        return await waits

    if is_back:
        assert not asyncio.run(ends())
        policy.raise_if_stopped()
    else:
        with pytest.raises(ModelError, match="no connection; is backend"):
            asyncio.run(ends())


@pytest.mark.slow
def test_a_server_that_fails_all_is_asked_for_less(tmp_path: Path, server: Server) -> None:
    server.latency = 0.02
    server.script = after(40, FAULTS["502"])
    with pytest.raises(ModelError):
        run(configured(tmp_path, server, 400, max_concurrency=64), tmp_path / "out")
    assert server.requests <= 40 + 2 * 64 + 8 + 8


def test_empty_answers_stop_a_run_before_many_are_paid(tmp_path: Path, server: Server) -> None:
    server.script = lambda number, body: CUT
    with pytest.raises(ModelError, match=r"no answer yet, and \d+ .* no token was left") as told:
        run(configured(tmp_path, server, 400), tmp_path / "out")
    assert "generation.max_new_tokens" in str(told.value)
    assert server.requests <= 64
    assert read_manifest(tmp_path / "out")["counts"]["failed"] == 0


@pytest.mark.parametrize("fault", [CUT, Fault(400, failure("not that")), completion("no object")])
@pytest.mark.slow
def test_so_do_many_in_a_row_after_an_answer(tmp_path: Path, server: Server, fault: Fault) -> None:
    server.script = lambda number, body: fault if number >= 5 else completion(GOOD)
    options = {"structured": fault.status == 200 and fault is not CUT, "max_concurrency": 8}
    config = configured(tmp_path, server, 400, **options)
    with pytest.raises(ModelError, match=r"\d+ questions in a row failed with the same") as told:
        run(config, tmp_path / "out")
    assert "--retry-errors" in str(told.value)
    failed = read_manifest(tmp_path / "out")["counts"]["failed"]
    assert 40 <= failed < 40 + 20
    server.script = lambda number, body: completion(GOOD)
    result = run(config, tmp_path / "out", Resume(retry_errors=True))
    assert (result.answered, result.failed) == (400, 0)


def test_refusals_of_several_words_stop_nothing(tmp_path: Path, server: Server) -> None:
    """Nor do they keep the others from being asked."""

    def script(number: int, body: Body) -> Fault | None:
        place = asked(body)
        return Fault(400, failure(f"no {'abcdefghij'[place]}")) if place < 8 else None

    server.script = script
    result = run(configured(tmp_path, server, 20, max_concurrency=1), tmp_path / "out")
    assert (result.answered, result.failed) == (12, 8)


def test_a_server_without_a_schema_shows_what_it_said(tmp_path: Path, server: Server) -> None:
    server.answer = lambda body: "The bridge was opened in 1801."
    with pytest.raises(ModelError, match="does not match the schema reader_answer") as told:
        run(configured(tmp_path, server, 100, structured=True), tmp_path / "out")
    assert '(it said: "The bridge was opened in 1801.")' in str(told.value)
    assert server.requests <= 40


@pytest.mark.slow
def test_waits_of_minutes_are_shown(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aqa.backends.openai_api.policy.SHOWN_WAIT", 0.1)
    wait = Fault(429, failure("slow down"), {"Retry-After": "2"})
    server.script = lambda number, body: wait if number < 3 else None
    notes: list[str] = []
    assert run(configured(tmp_path, server, 9), tmp_path / "out", notes=notes).answered == 9
    assert notes == ["the server asks to wait 2 seconds: slow down"]


# The summary of failures at the end.


def test_a_run_without_an_answer_ends_with_1(
    tmp_path: Path, server: Server, call_aqa: Call
) -> None:
    write_questions(tmp_path, 3)
    words = command_line(server)
    server.script = lambda number, body: CUT
    done = call_aqa(*words, code=1)
    assert "none of 3 examples was answered: no token was left for the answer; raise" in done.stderr
    assert "most common failure (3 of 3): no token was left" in done.stdout
    assert (tmp_path / "out" / PREDICTIONS).exists()
    again = call_aqa(*words, "--json", code=1)
    assert json.loads(again.stdout)["commonest_failure"]["examples"] == 3


def test_failed_and_cut_ones_are_told(tmp_path: Path, server: Server, call_aqa: Call) -> None:
    write_questions(tmp_path, 9)
    replies = {1: CUT, 2: CUT, 3: Fault(400, failure("[red]no[/]")), 4: completion("An", "length")}
    server.script = lambda number, body: replies.get(asked(body))
    done = call_aqa(*command_line(server), code=0)
    assert "9 examples: 6 answered, 3 failed" in done.stdout
    assert "most common failure (2 of 3): no token was left" in done.stdout
    assert '1 answers reached the token limit and are marked "cut"' in done.stdout
    assert "failed 3" in done.stderr
    manifest = read_manifest(tmp_path / "out")
    assert manifest["counts"] == {"examples": 9, "answered": 6, "failed": 3, "cut": 1}
    assert manifest["commonest_failure"]["examples"] == 2


@pytest.mark.parametrize(
    "fault",
    [
        Fault(429, failure("Request too large for m: Limit 3, Requested 4")),
        Fault(403, {"error": {"message": "flagged", "metadata": {"flagged_input": "x"}}}),
        Fault(200, {"error": {"message": "no", "code": 400}}),
    ],
)
def test_what_each_question_meets_stops_the_run(
    tmp_path: Path, server: Server, fault: Fault
) -> None:
    server.script = lambda number, body: fault
    with pytest.raises(ModelError, match=r"no answer yet, and \d+ questions failed"):
        run(configured(tmp_path, server, 100), tmp_path / "out")
    assert server.requests <= 40
