"""The Batch API's files: requests split by its limits, and answers fetched until complete."""

import json
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from aqa.backends.openai_api.batch.server import Batch, BatchServer, NotThereError
from aqa.backends.openai_api.retry_delays import back_off
from aqa.errors import ModelError, RunError
from aqa.runs.files import atomic, hash_files
from aqa.spent import Spent

CUSTOM_ID = re.compile(rb'\{"custom_id": "(\d+)"')
LONGEST_LINE = 1 << 24  # bytes of an answer, twice the limit for live ones; longer ones are ignored
GONE = 6  # times that a file is missing before it counts as gone: new ones may be late
ALIKE = 3  # identical well-formed downloads, after which the files are final
# Some readers treat these as the end of a line.
ESCAPED = str.maketrans({"\u0085": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})

Json = dict[str, Any]
Request = tuple[bytes, Spent]  # a line of a file of requests, and the most its answer may cost


def request_line(index: int, url: str, body: Json) -> bytes:
    """Return the request for the example with this index, which is its id in the answers."""
    line = {"custom_id": str(index), "method": "POST", "url": url, "body": body}
    return json.dumps(line, ensure_ascii=False).translate(ESCAPED).encode() + b"\n"


def write_requests(
    requests: Iterable[Request], path: Callable[[int], Path], max_requests: int, max_bytes: int
) -> list[tuple[int, Spent]]:
    """Write as many files as the limits require; `path` maps a file's number, from 0, to its path.

    Returns the number of requests in each file and the most they may cost. No request may exceed a
    file's limit.
    """
    sizes: list[tuple[int, Spent]] = []
    waiting = iter(requests)
    following = next(waiting, None)
    while following is not None:
        count, length, total = 0, 0, Spent()
        with atomic(path(len(sizes))) as file:
            while following and count < max_requests:
                line, worst = following
                length += len(line)
                if length > max_bytes:
                    break
                file.write(line)
                count, total = count + 1, total + worst
                following = next(waiting, None)
        sizes.append((count, total))
    return sizes


class RequestLines(dict[int, int]):
    """The offsets of requests in a file, by their examples' indices."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path, offset = path, 0
        if not path.exists():
            raise RunError(
                f"{path} is missing: it records which questions a batch answers; restore it"
            )
        with path.open("rb") as file:
            for line in file:
                if match := CUSTOM_ID.match(line):
                    self[int(match[1])] = offset
                offset += len(line)

    def body(self, index: int) -> Json:
        """Return the request body for this example."""
        body: Json = _read(self._path, self[index])["body"]
        return body


class AnswerLines:
    """The lines of a batch's files of answers and errors, which stay on disk.

    They come in any order. For each request the first answer counts, or else the first error; lines
    that are not JSON, or that nobody asked for, are ignored. `are_whole`: each line names a
    request; `are_nameless`: there are answers, but none names one.
    """

    def __init__(self, paths: Iterable[Path], indices: Collection[int]) -> None:
        self._offsets: dict[int, tuple[Path, int]] = {}
        self.are_whole = True
        names: dict[str | None, int] = {str(index): index for index in indices}
        answered, named, are_answers = set[int](), False, False
        for path in paths:
            for offset, line in _lines(path):
                name = _id_of(line)
                self.are_whole &= name is not None
                named |= name is not None
                are_answers |= "response" in line
                index = names.get(name)
                if index is None or index in answered:
                    continue
                good = (answer_of(line) or (0,))[0] == 200
                if good or index not in self._offsets:
                    self._offsets[index] = path, offset
                if good:
                    answered.add(index)
        self.are_nameless = are_answers and not named

    def __len__(self) -> int:
        return len(self._offsets)

    def get(self, index: int) -> Json | None:
        """Return the line for the example with this index; None if there is none."""
        position = self._offsets.get(index)
        return None if position is None else _read(*position)


def _id_of(line: Json) -> str | None:
    """Return the id of a line's request; some servers make it a number."""
    key = line.get("custom_id")
    return str(key) if isinstance(key, str) or type(key) is int else None


def answer_of(line: Json) -> tuple[int, object] | None:
    """Return the status and the body of a line's answer; None if it has none.

    Some servers send only the body, or a text. Without a status, the body must speak for itself.
    """
    response = line.get("response")
    if not isinstance(response, dict):
        return None
    code = str(response.get("status_code"))
    status = int(code) if code.isascii() and code.isdecimal() else 200
    return status, response.get("body", response)


def _read(path: Path, offset: int) -> Json:
    with path.open("rb") as file:
        file.seek(offset)
        line: Json = json.loads(file.readline())
    return line


def _lines(path: Path) -> Iterator[tuple[int, Json]]:
    """Yield a file's objects with their offsets; {} for lines that are not objects or too long."""
    if not path.exists():
        return
    with path.open("rb") as file:
        offset = 0
        while line := file.readline(LONGEST_LINE):
            if len(line) == LONGEST_LINE:
                while not line.endswith(b"\n") and (line := file.readline(LONGEST_LINE)):
                    pass
                line = b"null"
            if line.strip():
                yield offset, _object(line)
            offset = file.tell()


def _object(line: bytes) -> Json:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def fetch_answers(
    server: BatchServer,
    batch: Batch,
    paths: tuple[Path, Path],
    indices: Collection[int],
    requests: int,
    any_will_do: bool,
) -> AnswerLines:
    """Fetch a batch's answers to this many requests, unless they are at the paths already.

    If a file is incomplete, not listed yet, or not a file of answers (a gateway's page), it is
    fetched again while the server's patience lasts; the batch is never paid for twice. If
    `any_will_do`, whatever has arrived by then is accepted.

    Raises:
        NotThereError: the server no longer has the files.
        ModelError: it returns fewer answers than it counts.
    """
    expected = max(requests if batch.status == "completed" else 0, batch.finished)
    until, attempts, repeats = time.monotonic() + server.patience, 0, 0
    last: list[str] = []
    while True:
        is_complete = _download(server, batch, paths, attempts)
        answers = AnswerLines(paths, indices)
        # Without a count, the files must speak for themselves.
        if len(answers) >= expected and (expected or (is_complete and answers.are_whole)):
            return answers
        if answers.are_nameless and not any_will_do:
            raise ModelError(
                f"the answers of the batch {batch.id} lack the custom_id of their questions, so"
                " they can't be used; give the batch up with --cancel, and ask without --batch-api"
            )
        digests = [hash_files(path) for path in paths if path.exists()]
        repeats = repeats + 1 if digests == last else 1
        last = digests
        is_whole = is_complete and len(answers) > 0 and answers.are_whole
        if repeats >= ALIKE and (is_whole or any_will_do):
            return answers
        attempts += 1
        pause = back_off(attempts)
        if time.monotonic() + pause > until:
            raise ModelError(
                f"the files of the batch {batch.id} hold {len(answers):,} of the {expected:,}"
                " answers that the server counts; run the same command again to fetch the rest, or"
                " with --cancel to keep only these"
            )
        time.sleep(pause)
        batch = server.retrieve(batch.id)


def _download(server: BatchServer, batch: Batch, paths: tuple[Path, Path], attempts: int) -> bool:
    """Fetch a batch's files, at first only missing ones; return whether all exist at the server."""
    named = zip((batch.answers, batch.errors), paths, strict=True)
    files = [(id_, path) for id_, path in named if id_ is not None]
    try:
        if attempts or not all(path.exists() for _, path in files):
            for id_, path in files:
                server.download(id_, path)
    except NotThereError:
        if attempts + 1 >= GONE:
            raise
        return False
    return batch.answers is not None or not batch.answered
