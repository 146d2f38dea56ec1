"""How long to wait for a server: by its headers, an error's body, or the number of failures."""

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
LONGEST_WAIT = 900.0  # seconds; longer waits mean that today's quota is used up
FULL_AGAIN = 60.0  # the most seconds to wait until a limit is fully restored
DEPTH = 8  # levels of a body searched for a wait
EPOCH = 1e9  # higher values are times since 1970, not seconds to wait
MILLISECONDS = 1e11  # higher ones are in milliseconds or smaller units
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
# As OpenAI ("Please try again in 1m20s."), Azure, Google and Django put it, and in Korean.
ASKED = re.compile(
    rf"\b(?:try again|retry|wait|resets?|available)\b[^.\d]{{0,20}}{PERIOD}|{PERIOD}(?:후|뒤|이후)",
    re.IGNORECASE,
)
# Names in bodies, in any spelling; Hugging Face estimates when a model will be loaded.
ASKS = re.compile(r"(?:retry(?:delay|after)|x?ratelimitreset|estimatedtime)(?:in)?(s|seconds|ms)?")
HEADER = re.compile(r"^(?:x-|anthropic-)?rate-?limit\b.*\breset\b|^(?:x-)?ratelimit$")
SECONDS_LEFT = re.compile(r"\b(?:t|reset)=(\d+)")  # in the standard header
OF_A_DAY = re.compile(
    r"per[-_ ]?(?:day|week|month)|/ ?(?:day|month)\b|\b(?:daily|weekly|monthly|[rt]pd)\b"
    r"|일일|하루|월간",
    re.IGNORECASE,
)
OF_A_MINUTE = re.compile(r"\bon (?:requests|tokens)[\w ]* per min", re.IGNORECASE)


def asked_wait(headers: Mapping[str, str], error: object, message: str) -> float | None:
    """Return the seconds to wait by an error's headers, or else its body, or else its message.

    None if they ask for no wait, or it is over. Dates are compared with the server's clock (its
    `Date` header), since ours may be wrong.
    """
    now = _date(headers.get("date", ""))
    if wait := _retry_after(headers, now):
        return wait
    resets = [*_delays_in(error, now), seconds_until(headers.get("x-ratelimit-reset"), now=now)]
    if wait := max(filter(None, resets), default=None):
        return wait
    match = ASKED.search(message)
    return _sum(match[0]) if match else _until_full(headers, now)


def is_of_a_day(error: object, message: str) -> bool:
    """Whether a limit is per day or longer, so that waiting for minutes hardly helps."""
    if OF_A_MINUTE.search(message):
        return False
    body = json.dumps(error, default=str, ensure_ascii=False)
    return bool(OF_A_DAY.search(f"{message} {body}"))


def back_off(attempt: int) -> float:
    """Return seconds to wait after attempt 1, 2, ...: doubling, random in the upper half."""
    longest = min(LONGEST_BACK_OFF, FIRST_BACK_OFF * 2.0 ** (attempt - 1))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  (no secret)


def format_duration(seconds: float) -> str:
    """Format a wait for people."""
    if seconds < 120:
        return f"{seconds:,.0f} seconds"
    if seconds < 2 * 3600:
        return f"{seconds / 60:,.0f} minutes"
    return f"{seconds / 3600:,.0f} hours"


def _retry_after(headers: Mapping[str, str], now: float | None) -> float | None:
    """Return the wait in `retry-after-ms` or `Retry-After`: a number, a duration or a date.

    A server and a gateway in front of it may both have set it.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        waits = (seconds_until(part, unit, now) for part in headers.get(name, "").split(","))
        if wait := max(filter(None, waits), default=None):
            return wait
    return None


def _until_full(headers: Mapping[str, str], now: float | None) -> float | None:
    """Return the seconds until an exhausted limit is restored, by the rate limit headers."""
    waits = []
    for name, value in headers.items():
        left = headers.get(name.replace("reset", "remaining"), "0")
        if HEADER.search(name.lower()) and (left.strip() == "0" or left == value):
            standard = SECONDS_LEFT.search(value)
            waits.append(seconds_until(standard[1] if standard else value, now=now))
    return min(max((wait for wait in waits if wait is not None), default=0), FULL_AGAIN) or None


def _delays_in(value: object, now: float | None, depth: int = DEPTH) -> Iterator[float | None]:
    """Yield all waits named in a body, such as Google's `retryDelay`."""
    if not depth:
        return
    if isinstance(value, list):
        for part in value:
            yield from _delays_in(part, now, depth - 1)
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if asks := ASKS.fullmatch(re.sub(r"[^a-z]", "", str(name).lower())):
                yield seconds_until(inner, 1000.0 if asks[1] == "ms" else 1.0, now)
            else:
                yield from _delays_in(inner, now, depth - 1)


def seconds_until(value: object, unit: float = 1.0, now: float | None = None) -> float | None:
    """Return seconds until a value: a number of units, a duration ("38s") or a date.

    `unit` is the number of units per second. Numbers may count from 1970, as does `now`, by default
    this machine's clock.
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
    """Parse a date in the format of HTTP or ISO 8601, as seconds since 1970."""
    for read in (email.utils.parsedate_to_datetime, datetime.fromisoformat):
        try:
            then = read(text)
        except (TypeError, ValueError):
            continue
        return (then if then.tzinfo else then.replace(tzinfo=UTC)).timestamp()
    return None


def _sum(text: str) -> float | None:
    """Parse a duration such as 1m20s or 2 minutes, in seconds; None if it is not one."""
    parts = DURATION.findall(text)
    if not parts:
        return None
    return sum(float(number) * UNITS[_unit(name)] for number, name in parts)


def _unit(name: str) -> str:
    name = name.lower()
    return "ms" if name.startswith(("ms", "milli")) else name[0]
