"""What was tried for one example, and how long to wait before the next attempt."""

import math
import random
from dataclasses import dataclass

from aqa.backends.openai_api.errors import Failure
from aqa.spent import Spent

ATTEMPTS = 8  # of an example, those that the server was too busy for not counted
TIMEOUTS = 2  # of an example: a thought that takes so long takes as long again, and is paid
DOUBTS = 2  # of an example: refusals that should concern every request
FIRST_BACK_OFF = 0.5  # seconds, doubled with every attempt
LONGEST_BACK_OFF = 30.0


@dataclass(slots=True)
class Attempts:
    """What was tried for one example, or one `sample` of its answer, and what it took."""

    spent: Spent
    sample: int = 0
    until: float = math.inf  # the end of its time
    reason: str = ""  # of the last failure
    failures: int = 0
    waits: int = 0
    misfits: int = 0
    doubts: int = 0
    timeouts: int = 0  # among the failures
    had_last: bool = False  # it was tried once more, since others were answered
    seconds: float = 0.0  # of the request that was answered

    @property
    def total(self) -> int:
        """Requests that came to nothing."""
        return self.failures + self.waits + self.misfits + self.doubts

    @property
    def are_over(self) -> bool:
        """Whether these are as many as make sense."""
        return self.failures >= ATTEMPTS or self.doubts >= DOUBTS or self.timed_out

    @property
    def timed_out(self) -> bool:
        """Whether the answer takes longer than a request may, however often it is asked for."""
        return self.timeouts >= TIMEOUTS

    def add(self, failure: Failure) -> float:
        """Count a failure; give the seconds to wait before the next attempt."""
        self.reason = failure.reason
        self.timeouts += failure.timed_out
        if failure.perhaps_alone:
            self.doubts += 1
        elif failure.unreachable or failure.kind == "slow":
            self.waits += 1
        else:
            self.failures += 1
        return max(failure.wait or 0.0, back_off(self.total - self.misfits))


def back_off(attempt: int) -> float:
    """Seconds to wait after an attempt, from 1: doubled each time, somewhere in the upper half."""
    longest = min(LONGEST_BACK_OFF, FIRST_BACK_OFF * 2.0 ** (attempt - 1))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  (no secret)
