"""How long to leave a server alone: by its headers, an error's body, or how often it failed."""

import email.utils
import json
import math
import random
import re
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

FIRST_BACK_OFF = 0.5  # seconds, doubled with every attempt
LONGEST_BACK_OFF = 30.0
LONGEST_WAIT = 900.0  # seconds; a server that asks for more has no more for today
FULL_AGAIN = 60.0  # seconds at most of a reset that tells when a limit is whole again
DEPTH = 8  # of a body in which a wait is looked for
EPOCH = 1e9  # from here on a reset is a time of day, not a number of seconds
MILLISECONDS = 1e11  # from here on that time is in milliseconds, or in parts of these
UNITS = {
    "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0,
    "초": 1.0, "분": 60.0, "시": 3600.0, "일": 86400.0,
}  # fmt: skip
NUMBER = r"\d+(?:\.\d+)?"
UNIT = (
    r"(?:(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?![a-z])"
    r"|초|분|시간|일)"
)
DURATION = re.compile(rf"({NUMBER})\s*({UNIT})", re.IGNORECASE)
PERIOD = rf"((?:{NUMBER}\s*{UNIT}(?:[\s,]|and\b)*)+)"
# As OpenAI ("Please try again in 1m20s."), Azure, Google and Django say it, and as it is in Korean.
ASKED = re.compile(
    rf"\b(?:try again|retry|wait|resets?|available)\b[^.\d]{{0,20}}{PERIOD}|{PERIOD}(?:후|뒤|이후)",
    re.IGNORECASE,
)
# Names in bodies, whatever their spelling; Hugging Face estimates when a model is loaded.
ASKS = re.compile(r"(?:retry(?:delay|after)|x?ratelimitreset|estimatedtime)(?:in)?(s|seconds|ms)?")
HEADER = re.compile(r"^(?:x-|anthropic-)?rate-?limit\b.*\breset\b|^(?:x-)?ratelimit$")
SECONDS_LEFT = re.compile(r"\b(?:t|reset)=(\d+)")  # in the standard's header
OF_A_DAY = re.compile(
    r"per[-_ ]?(?:day|week|month)|/ ?(?:day|month)\b|\b(?:daily|monthly|[rt]pd)\b|일일|하루|월간",
    re.IGNORECASE,
)
OF_A_MINUTE = re.compile(r"\bon (?:requests|tokens)[\w ]* per min", re.IGNORECASE)


def asked_wait(headers: Mapping[str, str], error: object, message: str) -> float | None:
    """Seconds to wait by an error's headers, or else by its body, or else by its words.

    None where they ask for no wait, or for one that is over. Dates are by the server's clock, which
    its `Date` tells: ours may be wrong.
    """
    now = _date(headers.get("date", ""))
    if wait := _retry_after(headers, now):
        return wait
    resets = [*_found(error, now), seconds_until(headers.get("x-ratelimit-reset"), now=now)]
    if wait := max(filter(None, resets), default=None):
        return wait
    asked = ASKED.search(message)
    return _sum(asked[0]) if asked else _until_full(headers, now)


def is_of_a_day(error: object, message: str) -> bool:
    """Whether a limit is one of a day or more, so that waiting for minutes helps little."""
    if OF_A_MINUTE.search(message):
        return False
    body = json.dumps(error, default=str, ensure_ascii=False)
    return bool(OF_A_DAY.search(f"{message} {body}"))


def back_off(attempt: int) -> float:
    """Seconds to wait after an attempt, from 1: doubled each time, somewhere in the upper half."""
    longest = min(LONGEST_BACK_OFF, FIRST_BACK_OFF * 2.0 ** (attempt - 1))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  (no secret)


def in_words(seconds: float) -> str:
    """A wait as people say it."""
    if seconds < 120:
        return f"{seconds:,.0f} seconds"
    if seconds < 2 * 3600:
        return f"{seconds / 60:,.0f} minutes"
    return f"{seconds / 3600:,.0f} hours"


def _retry_after(headers: Mapping[str, str], now: float | None) -> float | None:
    """Seconds to wait by `retry-after-ms` or `Retry-After`: a number, a duration or a date.

    A server and a gateway before it may both have said so.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        waits = (seconds_until(part, unit, now) for part in headers.get(name, "").split(","))
        if wait := max(filter(None, waits), default=None):
            return wait
    return None


def _until_full(headers: Mapping[str, str], now: float | None) -> float | None:
    """Seconds until a limit that is used up is whole again, by the headers on rates."""
    waits = []
    for name, value in headers.items():
        left = headers.get(name.replace("reset", "remaining"), "0")
        if HEADER.search(name.lower()) and (left.strip() == "0" or left == value):
            standard = SECONDS_LEFT.search(value)
            waits.append(seconds_until(standard[1] if standard else value, now=now))
    return min(max((wait for wait in waits if wait is not None), default=0), FULL_AGAIN) or None


def _found(value: object, now: float | None, depth: int = DEPTH) -> Iterator[float | None]:
    """All waits that a body names, such as Google's `retryDelay`."""
    if not depth:
        return
    if isinstance(value, list):
        for part in value:
            yield from _found(part, now, depth - 1)
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if asks := ASKS.fullmatch(re.sub(r"[^a-z]", "", str(name).lower())):
                yield seconds_until(inner, 1000.0 if asks[1] == "ms" else 1.0, now)
            else:
                yield from _found(inner, now, depth - 1)


def seconds_until(value: object, unit: float = 1.0, now: float | None = None) -> float | None:
    """Seconds until then: of a number, so many to a second, of a duration ("38s"), or of a date.

    Numbers may count from 1970; so does `now`, by default this machine's clock.
    """
    now = time.time() if now is None else now
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        seconds = float(value) / unit
    except ValueError:
        then = _date(str(value))
        return _sum(str(value)) if then is None else max(then - now, 0.0)
    if not math.isfinite(seconds):
        return None
    while seconds >= MILLISECONDS:
        seconds /= 1000
    return max(seconds - now if seconds >= EPOCH else seconds, 0.0)


def _date(text: str) -> float | None:
    """The time since 1970 of a date as HTTP or as ISO 8601 writes it."""
    for read in (email.utils.parsedate_to_datetime, datetime.fromisoformat):
        try:
            then = read(text)
        except (TypeError, ValueError):
            continue
        return (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp()
    return None


def _sum(text: str) -> float | None:
    """The seconds of a duration such as 1m20s or 2 minutes; None where it is none."""
    parts = DURATION.findall(text)
    if not parts:
        return None
    return sum(float(number) * UNITS[_unit(name)] for number, name in parts)


def _unit(name: str) -> str:
    name = name.lower()
    return "ms" if name.startswith(("ms", "milli")) else name[0]
