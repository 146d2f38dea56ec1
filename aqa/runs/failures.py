"""Why the examples of a run failed, and which of its answers were cut off."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

VARYING = re.compile(r"^gave up after \d+ attempts?: |[0-9a-f]{8,}|\d+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What a run fell short of: the commonest reason, as one example tells it.

    `failed_so` examples failed for it; `cut` answers end where their room did.
    """

    reason: str = ""
    failed_so: int = 0
    cut: int = 0

    def to_json(self) -> dict[str, str | int]:
        """The commonest reason as plain values."""
        return {"reason": self.reason, "examples": self.failed_so}


def shortfall(rows: Iterable[Mapping[str, Any]]) -> Shortfall:
    """Count the failures of finished examples by their words, whatever numbers they hold."""
    reasons: Counter[str] = Counter()
    first: dict[str, str] = {}
    cut = 0
    for row in rows:
        cut += bool(row.get("cut"))
        if reason := row.get("error"):
            key = VARYING.sub("#", reason)
            reasons[key] += 1
            first.setdefault(key, reason)
    if not reasons:
        return Shortfall(cut=cut)
    ((key, count),) = reasons.most_common(1)
    return Shortfall(first[key], count, cut)
