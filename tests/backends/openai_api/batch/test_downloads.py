"""Broken downloads of answers are repeated, and no batch is bought twice because of them."""

import gzip
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gpt4_runs
import pytest
from fault_batches import Batch, BatchingServer
from fault_server import FILTERED, Body, Fault, failure, serving
from gpt4_runs import run

from aqa.config.options import RunConfig
from aqa.errors import ModelError
from aqa.progress import SilentProgress
from aqa.verbs.cancel import cancel

pytestmark = pytest.mark.usefixtures("hurried")

PAGE = b"<html><body>Please log in to the network</body></html>\n"
SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "a page": lambda content: PAGE,
    "an error": lambda content: json.dumps({"error": {"message": "internal"}}).encode(),
    "nothing": lambda content: b"",
    "cut at a line": lambda content: b"".join(content.splitlines(True)[:5]),
    "cut within a line": lambda content: content[: len(content) // 3],
    "other answers": lambda content: content.replace(b'"custom_id": "1', b'"custom_id": "77'),
    "null": lambda content: b"null\n",
    "half of a packed file": lambda content: gzip.compress(content)[:200],
    "a damaged packed file": lambda content: gzip.compress(content)[:15] + b"\xff" * 40,
}


@pytest.fixture
def server() -> Iterator[BatchingServer]:
    with serving(BatchingServer()) as found:
        assert isinstance(found, BatchingServer)
        yield found


def configured(folder: Path, server: BatchingServer, **backend: Any) -> RunConfig:
    options = {"batch": {"poll_seconds": 0.01}, "batch_api": True, "price": None, **backend}
    return gpt4_runs.configured(folder, server, 20, **options)


@pytest.mark.parametrize("times", [1, 2, 4])
@pytest.mark.parametrize("spoilt", SPOILT)
def test_what_is_no_file_of_answers_is_fetched_again(
    tmp_path: Path, server: BatchingServer, spoilt: str, times: int
) -> None:
    def spoil(number: int, content: bytes) -> bytes:
        # Slightly different each time, like accidental truncation.
        broken = SPOILT[spoilt](content) + b" " * number
        return broken if number <= times else content

    server.spoil = spoil
    assert run(configured(tmp_path, server), tmp_path / "out").answered == 20
    assert len(server.batches) == 1
    assert set(server.answered.values()) == {1}


@pytest.mark.parametrize("cancels", [False, True])
def test_a_packed_file_is_read(tmp_path: Path, server: BatchingServer, cancels: bool) -> None:
    server.spoil = lambda number, content: gzip.compress(content)
    config = configured(tmp_path, server)
    if cancels:
        server.before = lambda step, number: (
            Fault(400, failure("broken off")) if step == "retrieve" else None
        )
        with pytest.raises(ModelError, match="broken off"):
            run(config, tmp_path / "out")
        server.before, server.looks = lambda step, number: None, 3
        assert cancel(config, tmp_path / "out", SilentProgress()).answered == 10
    assert run(config, tmp_path / "out").answered == 20
    assert set(server.answered.values()) == {1}


@pytest.mark.parametrize("fault", ["a page", "cut within a line", "404"])
@pytest.mark.parametrize("end", ["expired", "cancelled"])
def test_answers_that_the_server_does_not_count_are_not_lost(
    tmp_path: Path, server: BatchingServer, end: str, fault: str
) -> None:
    shown = server.shown
    server.shown = lambda batch: {**shown(batch), "request_counts": None}  # type: ignore[method-assign]
    server.ends = lambda number: end if number == 0 else "completed"
    if fault == "404":
        server.before = lambda step, number: (
            Fault(404, failure("no such file")) if step == "content" and number == 0 else None
        )
    else:
        server.spoil = lambda number, content: content if number > 1 else SPOILT[fault](content)
    config = configured(tmp_path, server)
    if end == "cancelled":
        with pytest.raises(ModelError, match="was cancelled"):
            run(config, tmp_path / "out")
    assert run(config, tmp_path / "out").answered == 20
    assert set(server.answered.values()) == {1}


@pytest.mark.parametrize("status", [404, 405, 410])
@pytest.mark.parametrize("first", [0, 1])  # of the answers, or also of the errors
def test_a_file_that_is_late_is_waited_for(
    tmp_path: Path, server: BatchingServer, status: int, first: int
) -> None:
    server.line = lambda body: FILTERED if body["messages"][-1]["content"] == "who 3" else None
    server.before = lambda step, number: (
        Fault(status, failure("no such file"))
        if step == "content" and first <= number < first + 3
        else None
    )
    result = run(configured(tmp_path, server), tmp_path / "out")
    assert (result.answered, result.failed, len(server.batches)) == (19, 1, 1)


@pytest.mark.parametrize("spoilt", ["a page", "cut at a line"])
def test_errors_of_the_server_come_before_it(
    tmp_path: Path, server: BatchingServer, spoilt: str
) -> None:
    server.before = lambda step, number: (
        Fault(503, failure("try later")) if step == "content" and number < 2 else None
    )
    server.spoil = lambda number, content: SPOILT[spoilt](content) if number == 3 else content
    assert run(configured(tmp_path, server), tmp_path / "out").answered == 20
    assert len(server.batches) == 1


def unnamed_at_first(server: BatchingServer, times: int, *names: str) -> None:
    """For so many looks at a finished batch, omit the names of its files."""
    shown, left = server.shown, [times]

    def show(batch: Batch) -> Body:
        found = shown(batch)
        if batch.answers or batch.errors:
            left[0] -= 1
        return found if left[0] < 0 else {**found, **dict.fromkeys(names)}

    server.shown = show  # type: ignore[method-assign]


@pytest.mark.parametrize("end", ["completed", "expired"])
@pytest.mark.parametrize("names", [["output_file_id"], ["output_file_id", "error_file_id"]])
def test_files_that_are_not_named_yet_are_waited_for(
    tmp_path: Path, server: BatchingServer, names: list[str], end: str
) -> None:
    server.ends = lambda number: end if number == 0 else "completed"
    unnamed_at_first(server, 3, *names)
    assert run(configured(tmp_path, server), tmp_path / "out").answered == 20
    assert set(server.answered.values()) == {1}
    assert len(server.batches) == (1 if end == "completed" else 2)


def test_files_that_are_never_named_stop_the_run(tmp_path: Path, server: BatchingServer) -> None:
    unnamed_at_first(server, 1000, "output_file_id", "error_file_id")
    config = configured(tmp_path, server, example_deadline=0.3)
    with pytest.raises(ModelError, match="batch_1 hold 0 of the 20 answers that the server"):
        run(config, tmp_path / "out")
    assert len(server.batches) == 1
    patient = configured(tmp_path, server)
    assert cancel(patient, tmp_path / "out", SilentProgress()).answered == 0


@pytest.mark.parametrize("spoilt", ["a page", "nothing", "cut within a line"])
def test_a_server_that_never_gives_it_stops_the_run(
    tmp_path: Path, server: BatchingServer, spoilt: str
) -> None:
    server.spoil = lambda number, content: SPOILT[spoilt](content)
    config = configured(tmp_path, server, example_deadline=0.3)
    with pytest.raises(ModelError, match=r"batch_1 hold \d+ of the 20 answers that the server"):
        run(config, tmp_path / "out")
    server.spoil = lambda number, content: content
    assert run(config, tmp_path / "out").answered == 20
    assert len(server.batches) == 1


@pytest.mark.parametrize("other", [b"", b'"custom_id": null, ', b'"customId": "1", '])
def test_answers_to_nobody_knows_what_are_told_at_once(
    tmp_path: Path, server: BatchingServer, other: bytes
) -> None:
    server.spoil = lambda number, content: re.sub(rb'"custom_id": "\d+", ', other, content)
    config = configured(tmp_path, server)
    for _ in range(2):
        with pytest.raises(ModelError, match=r"batch_1 lack the custom_id .* --cancel"):
            run(config, tmp_path / "out")
    assert server.steps["content"] == len(server.batches) == 1
    assert cancel(config, tmp_path / "out", SilentProgress()).answered == 0
    server.spoil = lambda number, content: content
    assert run(config, tmp_path / "out").answered == 20


def test_cancelling_takes_what_there_is(tmp_path: Path, server: BatchingServer) -> None:
    server.spoil = lambda number, content: SPOILT["cut within a line"](content)
    config = configured(tmp_path, server, example_deadline=0.3)
    with pytest.raises(ModelError, match="--cancel"):
        run(config, tmp_path / "out")
    found = cancel(configured(tmp_path, server), tmp_path / "out", SilentProgress())
    assert 0 < found.answered < 20
    assert len(server.batches) == 1


@pytest.mark.parametrize("odd", [".", "..", "..."])
@pytest.mark.parametrize("key", ["id", "output_file_id"])
def test_dots_are_no_ids(tmp_path: Path, server: BatchingServer, key: str, odd: str) -> None:
    def fault(step: str, number: int) -> Fault | None:
        if step not in ("create", "retrieve", "list"):
            return None
        return Fault(200, {"id": "batch_1", "status": "completed", key: odd})

    server.after = fault
    with pytest.raises(ModelError, match=f"no valid {key}"):
        run(configured(tmp_path, server), tmp_path / "out")
    assert server.steps["content"] == 0
