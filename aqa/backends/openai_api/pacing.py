"""Decide when a request may start, by the server's concurrency and rate limits."""

import asyncio
import math
import time
from collections.abc import Mapping

from aqa.backends.openai_api.retry_delays import seconds_until

FIRST = 16  # concurrent requests at first
GROWTH = 3  # more concurrent requests per answer, until the server first slows us down
SHORT = 0.125  # share of an answer's time limit: GROWTH applies below it
LONG = 0.5  # the same: no more requests are added above it
BURST = 1.0  # seconds' worth of a rate that may be used at once


class Bucket:
    """A rate limit in units per minute: what is taken returns at a steady rate."""

    def __init__(self, per_minute: float | None) -> None:
        self.is_fixed = per_minute is not None  # by the user; headers do not override it
        self.set_rate(per_minute)

    def set_rate(self, per_minute: float | None) -> None:
        """Set the rate; None for no limit."""
        self.per_second = per_minute / 60 if per_minute else None
        self._level = 0.0  # below 0: the next one must wait
        self._updated = time.monotonic()

    def wait(self) -> float:
        """Return the seconds until something may be taken."""
        if self.per_second is None:
            return 0.0
        now = time.monotonic()
        self._level = min(
            self._level + (now - self._updated) * self.per_second, self.per_second * BURST
        )
        self._updated = now
        return max(0.0, -self._level / self.per_second)

    def take(self, amount: float) -> None:
        """Take an amount; what is missing makes the next one wait."""
        self._level -= amount


class Pace:
    """Lets requests start, one after another.

    Concurrency quadruples with every round of answers until the server first slows us down, which
    halves it; after that it grows by one per round.
    """

    def __init__(
        self, most: int, requests_per_minute: float | None, tokens_per_minute: float | None
    ) -> None:
        self._most = most
        self._limit = float(min(FIRST, most))
        self._growing_fast = True
        self.active = 0  # requests in flight
        self._cut_at = 0.0
        self._hold_until = 0.0
        self.turn = asyncio.Lock()  # held by the next one to start
        self._freed = asyncio.Event()
        self.requests = Bucket(requests_per_minute)
        self.tokens = Bucket(tokens_per_minute)

    @property
    def limit(self) -> int:
        """The number of requests that may be in flight now."""
        return max(1, int(self._limit))

    def wait(self) -> float:
        """Return the seconds until the rates allow another request; 0 or less if they do now."""
        held = self._hold_until - time.monotonic()
        return max(held, self.requests.wait(), self.tokens.wait())

    def start(self, tokens: float) -> None:
        """Note that a request starts, and how many tokens are reserved for it."""
        self.active += 1
        self.requests.take(1)
        self.tokens.take(tokens)

    async def one_less(self) -> None:
        """Wait until a request has ended."""
        self._freed.clear()
        await self._freed.wait()

    def end(self, reserved: float, used: float) -> None:
        """Note that a request ended, and took `used` tokens instead of those reserved."""
        self.active -= 1
        self.tokens.take(used - reserved)
        self._freed.set()

    def answered(self, waited: float) -> None:
        """Raise the limit after an answer that took this share of its time limit.

        A server that answers one request after another would otherwise get more than it can answer
        in time, and requests that time out stay in its queue.
        """
        if waited < LONG:
            fast = self._growing_fast and waited < SHORT
            self._limit = min(self._most, self._limit + (GROWTH if fast else 1 / self._limit))

    def slow_down(self, started: float) -> None:
        """Halve the limit, once for all requests in flight."""
        if started >= self._cut_at:
            self._limit = max(1.0, self._limit / 2)
            self._growing_fast = False
            self._cut_at = time.monotonic()

    def hold(self, seconds: float) -> None:
        """Let nothing start for this many seconds."""
        self._hold_until = max(self._hold_until, time.monotonic() + seconds)

    def apply_limits(self, headers: Mapping[str, str]) -> None:
        """Apply the limits in the server's `x-ratelimit-*` headers."""
        for name, bucket in (("requests", self.requests), ("tokens", self.tokens)):
            limit = _number(headers.get(f"x-ratelimit-limit-{name}"))
            if limit and not bucket.is_fixed and bucket.per_second != limit / 60:
                bucket.set_rate(limit)
            used_up = _number(headers.get(f"x-ratelimit-remaining-{name}")) == 0
            if limit and used_up and seconds_until(headers.get(f"x-ratelimit-reset-{name}")):
                self.hold(60 / limit)  # one unit is enough to continue


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and math.isfinite(value) and value >= 0 else None
