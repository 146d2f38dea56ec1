"""Servers that go away, come back, refuse everything, or answer sequentially."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fault_server import BAD_KEY, FAULTS, Fault, Server, failure, serving
from gpt4_runs import configured, run

from aqa.errors import ModelError
from aqa.runs.folder import read_manifest
from aqa.runs.names import JOURNAL
from aqa.verbs.predict import PredictResult, Resume

pytestmark = pytest.mark.usefixtures("hurried")

QUESTIONS = 80


def count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@contextmanager
def leaving(folder: Path, **backend: object) -> Iterator[tuple[Server, "Future[PredictResult]"]]:
    """Start a run and stop its server, which answers only some, once a dozen were stored."""
    server = Server(script=lambda number, body: Fault(hang=3600) if number >= 24 else None)
    with ThreadPoolExecutor() as pool, socket.socket() as held:  # so that nobody takes its port
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        with serving(server, held.getsockname()[1]):
            config = configured(folder, server, QUESTIONS, max_concurrency=8, **backend)
            result = pool.submit(run, config, folder / "out")
            until = time.monotonic() + 300
            while count_lines(folder / "out" / JOURNAL) <= 12 and time.monotonic() < until:
                time.sleep(0.01)
        yield server, result


@pytest.mark.slow
def test_a_server_that_comes_back_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aqa.backends.openai_api.retry_delays.LONGEST_BACK_OFF", 0.5)
    with leaving(tmp_path) as (before, result):
        time.sleep(2)
        with serving(Server(), urlsplit(before.url).port or 0) as after:
            found = result.result(timeout=300)
    assert (found.answered, found.failed) == (QUESTIONS, 0)
    requests = read_manifest(tmp_path / "out")["served"]["requests"]
    assert requests["answered"] == QUESTIONS
    assert before.answered.total() + after.answered.total() <= QUESTIONS + 8  # 8 in flight
    # Of those that wait, only one at a time tries again.
    assert requests["sent"] <= 1.6 * QUESTIONS


@pytest.mark.slow
def test_a_server_that_stays_away_stops_the_run(tmp_path: Path) -> None:
    with (
        leaving(tmp_path, request_timeout=10) as (before, result),
        pytest.raises(ModelError, match=r"\(nothing listens there\) any more; what was answered"),
    ):
        result.result(timeout=300)
    counts = read_manifest(tmp_path / "out")["counts"]
    assert 12 <= counts["answered"] <= before.answered.total() < QUESTIONS
    assert counts["failed"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        Fault(400, {"detail": "Server is pinned to 'a'; requested 'b'."}),
        Fault(422, failure("Unexpected fields in the request")),
        FAULTS["500"],
    ],
)
def test_a_server_that_fails_every_question_stops_the_run(tmp_path: Path, fault: Fault) -> None:
    with serving(Server(script=lambda number, body: fault)) as server:
        config = configured(tmp_path, server, 200)
        with pytest.raises(ModelError, match=r"\d+ questions failed: ") as told:
            run(config, tmp_path / "out")
    assert "\n" not in str(told.value)
    assert read_manifest(tmp_path / "out")["counts"]["failed"] == 0
    assert server.requests <= 20 * 8  # all that were asked concurrently, in turn


def test_a_run_that_stops_waits_for_no_limit(tmp_path: Path) -> None:
    wait = Fault(429, failure("too fast"), {"Retry-After": "600"})
    began = time.monotonic()
    with serving(Server(script=lambda number, body: BAD_KEY if number else wait)) as server:
        config = configured(tmp_path, server, 40, max_concurrency=8)
        with pytest.raises(ModelError, match="refuses the key"):
            run(config, tmp_path / "out")
    assert time.monotonic() - began < 300


def test_failures_alike_after_an_answer_stop_nothing(tmp_path: Path) -> None:
    refused = Fault(400, failure("the prompt was filtered", "content_filter"))
    script = lambda number, body: refused if number else None  # noqa: E731
    with serving(Server(script=script)) as server:
        result = run(configured(tmp_path, server, 30, max_concurrency=1), tmp_path / "out")
    assert (result.answered, result.failed) == (1, 29)


def test_nor_after_an_answer_to_an_earlier_session(tmp_path: Path) -> None:
    refused = Fault(400, failure("the prompt was filtered", "content_filter"))
    script = lambda number, body: refused if number else None  # noqa: E731
    with serving(Server(script=script)) as server:
        config = configured(tmp_path, server, 30, max_concurrency=1)
        run(config, tmp_path / "out")
        result = run(config, tmp_path / "out", Resume(retry_errors=True))
    assert (result.answered, result.failed) == (1, 29)


@pytest.mark.slow
def test_a_server_that_answers_one_after_another_is_not_flooded(tmp_path: Path) -> None:
    """Timed-out requests stay in its queue, ahead of those that still wait."""
    work, free = 0.2, 0.0

    def script(number: int, body: object) -> Fault:
        nonlocal free
        now = time.monotonic()
        free = max(free, now) + work
        return Fault(hang=free - now)

    with serving(Server(script=script)) as server:
        config = configured(tmp_path, server, QUESTIONS, request_timeout=10)
        result = run(config, tmp_path / "out")
    assert result.answered == QUESTIONS
    assert server.requests <= 1.1 * QUESTIONS
