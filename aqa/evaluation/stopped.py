"""Runs that stopped when they were decided: which questions they compare, and by which test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aqa.evaluation.alignment import References, System, manifest_of
from aqa.metrics.statistics.confidence_sequences import ConfidenceSequence

DECIDING = "deciding"  # of a manifest


@dataclass(frozen=True, slots=True)
class Stopped:
    """A system whose run looked at its results while it went on, and the plan that it kept."""

    system: System
    plan: Mapping[str, Any]
    result: Mapping[str, Any]

    @property
    def sequence(self) -> ConfidenceSequence:
        """What its difference from the reference was followed with."""
        return ConfidenceSequence(self.plan["largest_cluster"], self.plan["clusters"])

    def settled(self, profile: str, cluster: str) -> tuple[str, str]:
        """Give the profile and the clusters that it kept where `auto` leaves them open."""
        return (
            self.plan["profile"] if profile == "auto" else profile,
            self.plan["cluster"] if cluster == "auto" else cluster,
        )

    def note(self, count: int) -> str:
        """Say what that means for an evaluation by so many questions."""
        verdict = self.result.get("verdict", "undecided")
        reference = self.plan["reference"]["name"]
        return (
            f"{self.system.name} looked after each wave whether it is decided ({verdict}, against"
            f" {reference}), so differences and p values are those of the same confidence sequence"
            f" ({self.plan['method']}), not of a test of fixed size; {count:,} of its"
            f" {self.plan['questions']:,} questions were asked, and count alone"
        )


def stopped_runs(systems: Sequence[System]) -> list[Stopped]:
    """Find the systems whose runs stop by themselves, or would have."""
    found = []
    for system in systems:
        told = manifest_of(system).get(DECIDING)
        if isinstance(told, dict) and isinstance(told.get("plan"), dict):
            found.append(Stopped(system, told["plan"], told.get("result") or {}))
    return found


def asked_by_all(
    stopped: Sequence[Stopped], systems: Sequence[System], expected: References
) -> tuple[list[System], References]:
    """Leave out what a run that stopped was not asked any more, of all systems alike."""
    asked = {key for key in expected if all(key in one.system.rows for one in stopped)}
    left_out = expected.keys() - asked
    kept = [
        replace(system, rows={key: row for key, row in system.rows.items() if key not in left_out})
        for system in systems
    ]
    return kept, {key: answers for key, answers in expected.items() if key in asked}
