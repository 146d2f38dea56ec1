"""The files of the Batch API: requests split by its limits, answers found by their place."""

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from aqa.errors import RunError
from aqa.runs.files import atomic
from aqa.spent import Spent

CUSTOM_ID = re.compile(rb'\{"custom_id": "(\d+)"')
LONGEST_LINE = 1 << 24  # bytes of an answer, twice of what is read live; longer ones are not there
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
                good = _is_good(line)
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


def _is_good(line: Json) -> bool:
    answer = answer_of(line)
    return answer is not None and answer[0] == 200


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
