"""The examples on which systems differ most: where a look at the answers pays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

MOST = 10  # that metrics.json names
_SECOND_SCORES = ("f1", "rouge_w")


@dataclass(frozen=True)
class Disagreement:
    """How far apart the systems' scores of each example are.

    `spreads` are the highest less the lowest value of the score per example, 0..100.
    """

    score: str
    ids: Sequence[str]
    spreads: Sequence[float]

    @cached_property
    def order(self) -> tuple[int, ...]:
        """The places of the examples that systems differ on, widest first, ties as in the data."""
        places = [place for place, spread in enumerate(self.spreads) if spread > 0]
        return tuple(sorted(places, key=lambda place: -self.spreads[place]))

    def to_json(self) -> dict[str, Any]:
        """Give what metrics.json holds."""
        most = [{"id": self.ids[at], "spread": self.spreads[at]} for at in self.order[:MOST]]
        return {"score": self.score, "n": len(self.order), "most": most}


def disagreement(
    ids: Sequence[str], values: Sequence[Mapping[str, Sequence[float]]]
) -> Disagreement | None:
    """Compare the systems example by example; None where there is but one.

    `values` holds each system's values per example by score. The profile's second score is taken
    where all have it, for it tells near misses from misses; else the first that they share, exact
    match last.
    """
    if len(values) < 2:
        return None
    shared = [name for name in values[0] if all(name in own for own in values)]
    if not shared:
        return None
    graded = [name for name in shared if name != "em"] or shared
    score = next((name for name in _SECOND_SCORES if name in shared), graded[0])
    columns = zip(*(own[score] for own in values), strict=True)
    return Disagreement(score, ids, [max(column) - min(column) for column in columns])
