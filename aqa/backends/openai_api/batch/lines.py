"""The files of the Batch API: requests split by its limits, answers fetched until all are there."""

import json
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from aqa.backends.openai_api.batch.server import Batch, BatchServer, NotThereError
from aqa.backends.openai_api.waits import back_off
from aqa.errors import ModelError, RunError
from aqa.runs.files import atomic, hash_files
from aqa.spent import Spent

CUSTOM_ID = re.compile(rb'\{"custom_id": "(\d+)"')
LONGEST_LINE = 1 << 24  # bytes of an answer, twice of what is read live; longer ones are not there
GONE = 6  # times that a file is not there before it is gone: new ones may be late
ALIKE = 3  # downloads of the same well-formed files, after which these are the server's own
# What some readers take for the end of a line.
ESCAPED = str.maketrans({"\u0085": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"})

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """One line of a file of requests, and the most that its answer may take."""

    line: bytes
    worst: Spent


def request_line(index: int, url: str, body: Json) -> bytes:
    """The request for the example at this place in the data; the answer comes with the same id."""
    line = {"custom_id": str(index), "method": "POST", "url": url, "body": body}
    return json.dumps(line, ensure_ascii=False).translate(ESCAPED).encode() + b"\n"


def write_requests(
    requests: Iterable[Request], path: Callable[[int], Path], max_requests: int, max_bytes: int
) -> list[tuple[int, Spent]]:
    """Write as many files as the limits ask for; `path` gives each one's by its number from 0.

    Gives the requests of each file and the most that they may take. No request may be longer than
    a file.
    """
    sizes: list[tuple[int, Spent]] = []
    waiting = iter(requests)
    first = next(waiting, None)
    while first is not None:
        count = length = 0
        worst = Spent()
        with atomic(path(len(sizes))) as file:
            for request in chain([first], waiting):
                if count == max_requests or length + len(request.line) > max_bytes:
                    first = request
                    break
                file.write(request.line)
                count += 1
                length += len(request.line)
                worst += request.worst
            else:
                first = None
        sizes.append((count, worst))
    return sizes


class Requests(dict[int, int]):
    """Where in a file its requests are, by the places of their examples in the data."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path, place = path, 0
        if not path.exists():
            raise RunError(
                f"{path} is missing: it records which questions a batch answers; restore it"
            )
        with path.open("rb") as file:
            for line in file:
                if match := CUSTOM_ID.match(line):
                    self[int(match[1])] = place
                place += len(line)

    def body(self, index: int) -> Json:
        """What was asked for this example."""
        body: Json = _read(self._path, self[index])["body"]
        return body


class Answers:
    """The lines of a batch's files of answers and errors, which stay on the disk.

    They come in any order. Of several lines on a request the first answer counts, or the first
    error where there is no answer; what is not JSON or was not asked is not there. `are_whole`
    tells whether each line names a request, `are_nameless` whether there are answers of none.
    """

    def __init__(self, paths: Iterable[Path], asked: Collection[int]) -> None:
        self._places: dict[int, tuple[Path, int]] = {}
        self.are_whole = True
        answered, named, are_answers = set[int](), False, False
        for path in paths:
            for place, line in _lines(path):
                has_name = _id_of(line) is not None
                self.are_whole &= has_name
                named, are_answers = named or has_name, are_answers or "response" in line
                index = _asked_index(line, asked)
                if index is None or index in answered:
                    continue
                good = (answer_of(line) or (0,))[0] == 200
                if good or index not in self._places:
                    self._places[index] = path, place
                if good:
                    answered.add(index)
        self.are_nameless = are_answers and not named

    def __len__(self) -> int:
        return len(self._places)

    def get(self, index: int) -> Json | None:
        """The line on the example at this place in the data; None where there is none."""
        found = self._places.get(index)
        return None if found is None else _read(*found)


def _id_of(line: Json) -> str | None:
    """The id that a line is for; some servers make a number of it."""
    found = line.get("custom_id")
    return str(found) if isinstance(found, str) or type(found) is int else None


def _asked_index(line: Json, asked: Collection[int]) -> int | None:
    """The index that a line's id means, written in the only way that we write it."""
    custom_id = _id_of(line) or ""
    if not custom_id.isdecimal() or len(custom_id) > 18:
        return None
    index = int(custom_id)
    return index if str(index) == custom_id and index in asked else None


def answer_of(line: Json) -> tuple[int, object] | None:
    """The status and the body of a line's answer; None where it has none.

    Some servers give the body alone, or as a text. Without a status it has to tell of itself.
    """
    response = line.get("response")
    if not isinstance(response, dict):
        return None
    told = str(response.get("status_code"))
    status = int(told) if told.isascii() and told.isdecimal() else 200
    return status, response.get("body", response)


def _read(path: Path, place: int) -> Json:
    with path.open("rb") as file:
        file.seek(place)
        line: Json = json.loads(file.readline())
    return line


def _lines(path: Path) -> Iterator[tuple[int, Json]]:
    """The objects of a file with their places, {} for lines that are none or are too long."""
    if not path.exists():
        return
    with path.open("rb") as file:
        place = 0
        while line := file.readline(LONGEST_LINE):
            if len(line) == LONGEST_LINE:
                while not line.endswith(b"\n") and (line := file.readline(LONGEST_LINE)):
                    pass
                line = b"null"
            if line.strip():
                yield place, _object(line)
            place = file.tell()


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
    asked: Collection[int],
    requests: int,
    any_will_do: bool,
) -> Answers:
    """Fetch what a batch answered to so many requests, unless it lies at the paths.

    What is no file of answers, such as a gateway's page, or is cut, or is not named yet, is fetched
    again for the server's patience: never is a batch asked twice for it. Where `any_will_do`, what
    is there by then is taken.

    Raises:
        NotThereError: the server no longer has the files.
        ModelError: it gives less than it counts.
    """
    expected = max(requests if batch.status == "completed" else 0, batch.finished)
    until, attempts, alike = time.monotonic() + server.patience, 0, 0
    seen: list[str] = []
    while True:
        is_complete = _download(server, batch, paths, attempts)
        found = Answers(paths, asked)
        if len(found) >= expected:
            return found
        if found.are_nameless and not any_will_do:
            raise ModelError(
                f"the answers of the batch {batch.id} lack the custom_id of their questions, so"
                " they can't be used; give the batch up with --cancel, and ask without --batch-api"
            )
        digests = [hash_files(path) for path in paths if path.exists()]
        alike = alike + 1 if digests == seen else 1
        seen = digests
        whole = is_complete and len(found) > 0 and found.are_whole
        if alike >= ALIKE and (whole or any_will_do):
            return found
        attempts += 1
        pause = back_off(attempts)
        if time.monotonic() + pause > until:
            raise ModelError(
                f"the files of the batch {batch.id} hold {len(found):,} of the {expected:,}"
                " answers that the server counts; they stay there, and the same command"
                " fetches them again; --cancel takes what they hold"
            )
        time.sleep(pause)
        batch = server.retrieve(batch.id)


def _download(server: BatchServer, batch: Batch, paths: tuple[Path, Path], attempts: int) -> bool:
    """Fetch a batch's files, at first what is not here; tell whether the server has all of them."""
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
