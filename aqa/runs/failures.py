"""Summarise a run's rows: why examples failed, how many answers were cut off, tokens used."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

VARYING = re.compile(r"^gave up after \d+ attempts?: |[0-9a-f]{8,}|\d+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FailureSummary:
    """The most common reason for failures, in the words of one example.

    `failed_so` examples failed for that reason; `cut` answers reached the token limit. `tokens`
    are those of all prompts and answers.
    """

    reason: str = ""
    failed_so: int = 0
    cut: int = 0
    tokens: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, str | int]:
        """Return the most common reason as plain values."""
        return {"reason": self.reason, "examples": self.failed_so}


def shortfall(rows: Iterable[Mapping[str, Any]]) -> FailureSummary:
    """Count failures by message, ignoring the numbers in them, and sum the tokens."""
    reasons: Counter[str] = Counter()
    first: dict[str, str] = {}
    cut, tokens = 0, {"prompt": 0, "answer": 0}
    for row in rows:
        cut += bool(row.get("cut"))
        for name, count in row.get("tokens", {}).items():
            tokens[name] += count
        if reason := row.get("error"):
            key = VARYING.sub("#", reason)
            reasons[key] += 1
            first.setdefault(key, reason)
    if not reasons:
        return FailureSummary(cut=cut, tokens=tokens)
    ((key, count),) = reasons.most_common(1)
    return FailureSummary(first[key], count, cut, tokens)
