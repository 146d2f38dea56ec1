"""JSON as Python parses it, but no key twice and no half of a surrogate pair."""

import json
import re
from collections import Counter
from typing import Any

_HALF_A_PAIR = re.compile("[\ud800-\udfff]")
_ESCAPED_PAIR = re.compile(r"\\u[dD][89a-fA-F]")  # both halves, as JSON may write them
_LONGEST_KEY = 60  # in messages


def one_line(text: object) -> str:
    """A name of a file's own for a message, however long it is and whatever it holds."""
    flat = " ".join(str(text).split())
    return flat if len(flat) <= _LONGEST_KEY else f"{flat[: _LONGEST_KEY - 3]}..."


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f'the key "{one_line(twice)}" appears twice in one object')
    return found


DECODER = json.JSONDecoder(object_pairs_hook=_distinct)


def parse(text: str) -> Any:
    """Parse one document.

    Raises:
        ValueError: it is not JSON; `reason_of` says why.
        RecursionError: it is nested too deeply.
    """
    return DECODER.decode(text)


def holds_half_a_pair(text: str, value: object) -> bool:
    """Whether a value, parsed from this text, holds half of a surrogate pair."""
    return bool(_ESCAPED_PAIR.search(text)) and bool(
        _HALF_A_PAIR.search(json.dumps(value, ensure_ascii=False))
    )


def reason_of(error: Exception) -> str:
    """Say in words why a text is not valid JSON."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        is_cut = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated")
        return "it ends too early" if is_cut else error.msg
    if "integer string conversion" in str(error):
        return "a number has more than 4,300 digits"
    return str(error)
