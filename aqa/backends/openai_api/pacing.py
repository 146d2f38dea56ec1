"""When a request may start: as many at a time, and as many a minute, as the server bears."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping

from aqa.backends.openai_api.waits import seconds_until

FIRST = 16  # requests at a time to begin with
GROWTH = 3  # more at a time for each answer, until the server first slows us down
SHORT = 0.125  # of the time that an answer has: then GROWTH more may start
LONG = 0.5  # of that time: from here on no more at a time
BURST = 1.0  # seconds of a rate that may be used at once
Sleep = Callable[[float], Awaitable[None]]


class Bucket:
    """A rate of so many units a minute: what is taken comes back evenly."""

    def __init__(self, per_minute: float | None) -> None:
        self.given = per_minute is not None  # by the user, whom headers don't overrule
        self.set_rate(per_minute)

    def set_rate(self, per_minute: float | None) -> None:
        """Take over a rate; None where there is no limit."""
        self.per_second = per_minute / 60 if per_minute else None
        self._level = 0.0  # below 0: to be waited for
        self._seen = time.monotonic()

    def wait(self) -> float:
        """Seconds until something may be taken."""
        if self.per_second is None:
            return 0.0
        now = time.monotonic()
        self._level = min(
            self._level + (now - self._seen) * self.per_second, self.per_second * BURST
        )
        self._seen = now
        return max(0.0, -self._level / self.per_second)

    def take(self, amount: float) -> None:
        """Take; what is not there yet has to be waited for by the next one."""
        self._level -= amount


class Pace:
    """Lets requests start, one after another.

    Concurrency is four times as high after every round of answers until the server first slows us
    down, which halves it; from then on it grows by one a round.
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
        self.turn = asyncio.Lock()  # held by the one that starts next
        self._freed = asyncio.Event()
        self.requests = Bucket(requests_per_minute)
        self.tokens = Bucket(tokens_per_minute)

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return max(1, int(self._limit))

    async def start(self, tokens: float, sleep: Sleep = asyncio.sleep) -> float:
        """Wait until a request of so many tokens may go; give the time. The turn must be held.

        `sleep` may raise what ends the wait.
        """
        while True:
            self._freed.clear()
            if self.active >= self.limit:
                await self._freed.wait()
                continue
            now = time.monotonic()
            held = max(self._hold_until - now, self.requests.wait(), self.tokens.wait())
            if held <= 0:
                break
            await sleep(held)
        self.active += 1
        self.requests.take(1)
        self.tokens.take(tokens)
        return time.monotonic()

    async def one_less(self) -> None:
        """Wait until a request has ended."""
        self._freed.clear()
        await self._freed.wait()

    def end(self, reserved: float, used: float) -> None:
        """A request has ended; it took `used` tokens instead of what was reserved."""
        self.active -= 1
        self.tokens.take(used - reserved)
        self._freed.set()

    def answered(self, waited: float) -> None:
        """An answer came, which took this share of the time that it had: dare more.

        A server that answers one after another would else be asked for more than it can do in
        time, and what is given up when its time is over stays in its queue.
        """
        if waited < LONG:
            fast = self._growing_fast and waited < SHORT
            self._limit = min(self._most, self._limit + (GROWTH if fast else 1 / self._limit))

    def slow_down(self, started: float, wait: float | None) -> None:
        """The server had too much: halve, once for all that was under way; and wait if told to."""
        if started >= self._cut_at:
            self._limit = max(1.0, self._limit / 2)
            self._growing_fast = False
            self._cut_at = time.monotonic()
        if wait:
            self.hold(wait)

    def hold(self, seconds: float) -> None:
        """Let nothing start for so long."""
        self._hold_until = max(self._hold_until, time.monotonic() + seconds)

    def heed(self, headers: Mapping[str, str]) -> None:
        """Take over the limits that the server's `x-ratelimit-*` headers tell."""
        for name, bucket in (("requests", self.requests), ("tokens", self.tokens)):
            limit = _number(headers.get(f"x-ratelimit-limit-{name}"))
            if limit and not bucket.given and bucket.per_second != limit / 60:
                bucket.set_rate(limit)
            used_up = _number(headers.get(f"x-ratelimit-remaining-{name}")) == 0
            if limit and used_up and seconds_until(headers.get(f"x-ratelimit-reset-{name}")):
                self.hold(60 / limit)  # one unit of the rate suffices to go on


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and math.isfinite(value) and value >= 0 else None
