"""Parse JSON like Python, but refuse repeated keys and halves of surrogate pairs."""

import json
import re
from collections import Counter
from typing import Any

from aqa.errors import DataError

HALF_A_PAIR = "half of a surrogate pair is not a character; remove it"
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")
_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # an escaped one in JSON
_ALONE = re.compile(
    r"\\u(?:[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u)[dD][c-fC-F])"
)
_LONGEST_KEY = 60  # in messages


def one_line(text: object) -> str:
    """Shorten a name from a file to one line for a message."""
    flat = " ".join(str(text).split())
    return flat if len(flat) <= _LONGEST_KEY else f"{flat[: _LONGEST_KEY - 3]}..."


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f'the key "{one_line(twice)}" appears twice in one object')
    return members


DECODER = json.JSONDecoder(object_pairs_hook=_distinct)


def half_a_pair(text: str, value: object, start: int, end: int) -> int | None:
    """Return where a text has half a surrogate pair; None if its value has none."""
    if not _ESCAPED_HALF.search(text, start, end):
        return None
    if not _HALF_A_PAIR.search(json.dumps(value, ensure_ascii=False)):
        return None
    alone = _ALONE.search(text, start, end)
    return alone.start() if alone else start


def check_whole(text: str) -> None:
    """Raise DataError for a text with half a surrogate pair."""
    if not text.isascii() and (half := _HALF_A_PAIR.search(text)):
        near = text[max(0, half.start() - _LONGEST_KEY // 2) : half.end()]
        raise DataError(f"in {one_line(near)!a}: {HALF_A_PAIR}")
