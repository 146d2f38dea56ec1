"""Files of batches: where requests are split, and which line answers which request."""

import json
from pathlib import Path
from typing import Any

import pytest

from aqa.backends.openai_api.batch import lines as batch_lines
from aqa.backends.openai_api.batch.lines import (
    AnswerLines,
    RequestLines,
    request_line,
    write_requests,
)
from aqa.errors import RunError
from aqa.spent import Spent


@pytest.mark.parametrize(
    ("lengths", "max_requests", "max_bytes", "files"),
    [
        ([], 2, 100, []),
        ([10], 2, 100, [1]),
        ([10] * 4, 2, 100, [2, 2]),
        ([10] * 5, 2, 100, [2, 2, 1]),
        ([50, 50, 1], 9, 100, [2, 1]),
        ([99, 2, 100], 9, 100, [1, 1, 1]),
        ([40, 40, 40, 10], 3, 100, [2, 2]),
    ],
)
def test_requests_are_split(
    tmp_path: Path, lengths: list[int], max_requests: int, max_bytes: int, files: list[int]
) -> None:
    requests = [(b"x" * (n - 1) + b"\n", Spent(n, 1, 0, n / 8)) for n in lengths]
    sizes = write_requests(requests, lambda n: tmp_path / f"{n}", max_requests, max_bytes)
    assert [count for count, _ in sizes] == files
    assert sum((worst for _, worst in sizes), Spent()) == sum(
        (most for _, most in requests), Spent()
    )
    written = [(tmp_path / f"{n}").read_bytes() for n in range(len(files))]
    assert b"".join(written) == b"".join(line for line, _ in requests)
    assert len(list(tmp_path.iterdir())) == len(files)


def test_a_request_is_one_line_for_every_reader_of_lines() -> None:
    body = {"messages": [{"content": "서울 \u2028 is\u2029 a\x85 city\n{}"}]}
    line = request_line(7, "/v1/chat/completions", body)
    assert len(line.decode().splitlines()) == 1
    assert "서울" in line.decode()  # in 6 bytes instead of 12
    assert json.loads(line) == {
        "custom_id": "7", "method": "POST", "url": "/v1/chat/completions", "body": body,
    }  # fmt: skip


def test_what_was_asked_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "requests"
    path.write_bytes(b"".join(request_line(n, "u", {"n": n}) for n in (3, 12, 1)))
    asked = RequestLines(path)
    assert list(asked) == [3, 12, 1]
    assert (12 in asked, 2 in asked, len(asked)) == (True, False, 3)
    assert asked.body(12) == {"n": 12}
    with pytest.raises(RunError, match="is missing"):
        RequestLines(tmp_path / "no")


def line(custom_id: object, status: int | None, **more: Any) -> bytes:
    response = None if status is None else {"status_code": status}
    return json.dumps({"custom_id": custom_id, "response": response, **more}).encode()


A, B, BAD = line("1", 200, n="a"), line("1", 200, n="b"), line("1", 500, n="bad")
EXPIRED = line("1", None, n="expired")


@pytest.mark.parametrize(
    ("answers", "errors", "found"),
    [
        ([A], [], "a"),
        ([A, B], [], "a"),
        ([line(1, 200, n="by a number"), B], [], "by a number"),
        ([BAD, B, A], [], "b"),
        ([A], [BAD], "a"),
        ([], [EXPIRED, BAD], "expired"),
        ([b"[" * 100_000, b"", b"{", b"[1]", b"1", b"\xff", A], [], "a"),
        (
            [line("2", 200), line(True, 200), line("01", 200), line("x", 200), line("9" * 50, 200)],
            [],
            0,
        ),
        ([line("\u0661", 200)], [], 0),  # a digit, but not ASCII
        ([json.dumps({"response": 7, "custom_id": "1", "n": "odd"}).encode()], [], "odd"),
    ],
)
def test_the_line_that_counts(
    tmp_path: Path, answers: list[bytes], errors: list[bytes], found: object
) -> None:
    paths = [tmp_path / "answers", tmp_path / "errors", tmp_path / "not there"]
    for path, lines in zip(paths, (answers, errors), strict=False):
        path.write_bytes(b"\n".join(lines))
    got = AnswerLines(paths, [1]).get(1)
    assert (got or {"n": 0})["n"] == found


def test_a_line_without_end_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_lines, "LONGEST_LINE", 100)
    path = tmp_path / "answers"
    path.write_bytes(line("1", 200, n="x" * 900) + b"\n" + line("2", 200) + b"\n")
    found = AnswerLines([path], [1, 2])
    assert found.get(1) is None
    assert found.get(2) is not None
