"""How long a server asks to be left alone: by its headers, or by what an error's body says."""

import email.utils
import json
import math
import re
import time
from collections.abc import Iterator, Mapping

LONGEST_WAIT = 900.0  # seconds; a server that asks for more has no more for today
DEPTH = 8  # of a body in which a wait is looked for
EPOCH = 1e9  # from here on a reset is a time of day, not a number of seconds
MILLISECONDS = 1e11  # from here on that time is in milliseconds
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
NUMBER = r"\d+(?:\.\d+)?"
UNIT = r"ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?"
DURATION = re.compile(rf"({NUMBER})\s*({UNIT})(?![a-z])", re.IGNORECASE)
# As OpenAI ("Please try again in 1m20s."), Azure and Google say it.
ASKED = re.compile(
    rf"\b(?:try again|retry|wait)\b[^.\d]{{0,20}}((?:{NUMBER}\s*(?:{UNIT})(?![a-z])[\s,]*)+)",
    re.IGNORECASE,
)
NAMES = {"retrydelay", "retryafter", "xratelimitreset"}  # in bodies, whatever their spelling
OF_A_DAY = re.compile(r"per[-_ ]?day|\bdaily\b|\b[rt]pd\b", re.IGNORECASE)
OF_A_MINUTE = re.compile(r"\bon (?:requests|tokens)[\w ]* per min", re.IGNORECASE)


def asked_wait(headers: Mapping[str, str], error: object, message: str) -> float | None:
    """Seconds to wait by an error's headers, or else by its body, or else by its words."""
    wait = retry_after(headers)
    if wait is not None:
        return wait
    resets = [*_found(error), _moment(headers.get("x-ratelimit-reset"))]
    waits = [wait for wait in resets if wait is not None]
    if waits:
        return max(waits)
    asked = ASKED.search(message)
    return _sum(asked[1]) if asked else None


def is_of_a_day(error: object, message: str) -> bool:
    """Whether a limit is one of a day, so that waiting for minutes helps little."""
    if OF_A_MINUTE.search(message):
        return False
    return bool(OF_A_DAY.search(f"{message} {json.dumps(error, default=str)}"))


def in_words(seconds: float) -> str:
    """A wait as people say it."""
    if seconds < 120:
        return f"{seconds:,.0f} seconds"
    if seconds < 2 * 3600:
        return f"{seconds / 60:,.0f} minutes"
    return f"{seconds / 3600:,.0f} hours"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by `retry-after-ms` or `Retry-After`, a number or a date."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = headers.get(name)
        if not text:
            continue
        try:
            seconds = float(text) / unit
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
            except (TypeError, ValueError):
                continue
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    return None


def _found(value: object, depth: int = DEPTH) -> Iterator[float | None]:
    """All waits that a body names, such as Google's `retryDelay`."""
    if not depth:
        return
    if isinstance(value, list):
        for part in value:
            yield from _found(part, depth - 1)
    if isinstance(value, Mapping):
        for name, inner in value.items():
            plain = re.sub(r"[^a-z]", "", str(name).lower())
            if plain in NAMES:
                yield _moment(inner)
            else:
                yield from _found(inner, depth - 1)


def _moment(message: object) -> float | None:
    """Seconds until then, of a duration ("38s"), of seconds, or of a time since 1970."""
    if isinstance(message, bool) or not isinstance(message, str | int | float):
        return None
    try:
        seconds = float(message)
    except ValueError:
        return _sum(str(message))
    if not math.isfinite(seconds):
        return None
    if seconds >= EPOCH:
        seconds = (seconds / 1000 if seconds >= MILLISECONDS else seconds) - time.time()
    return max(seconds, 0.0)


def _sum(text: str) -> float | None:
    """The seconds of a duration such as 1m20s or 2 minutes; None where it is none."""
    parts = DURATION.findall(text)
    if not parts:
        return None
    return sum(float(number) * UNITS[_unit(name)] for number, name in parts)


def _unit(name: str) -> str:
    name = name.lower()
    return "ms" if name.startswith(("ms", "milli")) else name[0]
