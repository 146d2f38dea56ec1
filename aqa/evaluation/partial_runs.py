"""Choose questions and tests for runs that stopped when decided, or had a limit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aqa.errors import DataError, RunError
from aqa.evaluation.alignment import References, System, manifest_of
from aqa.runs.names import MANIFEST

DECIDING = "deciding"  # in a manifest


@dataclass(frozen=True, slots=True)
class StoppedRun:
    """A system whose run could stop early, with its plan and result."""

    system: System
    plan: Mapping[str, Any]
    result: Mapping[str, Any]

    @property
    def sequence(self) -> tuple[int, int]:
        """The parameters of its confidence sequence; see `Clusters`."""
        return self.plan["largest_cluster"], self.plan["clusters"]

    def settled(self, profile: str, cluster: str) -> tuple[str, str]:
        """Return the profile and clusters of its plan in place of `auto`."""
        return (
            self.plan["profile"] if profile == "auto" else profile,
            self.plan["cluster"] if cluster == "auto" else cluster,
        )

    def note(self, count: int) -> str:
        """Explain what this means for an evaluation on `count` questions."""
        verdict = self.result.get("verdict", "undecided")
        reference, questions = self.plan["reference"]["name"], self.plan["questions"]
        part = f"; of its {questions:,} questions only the {count:,} that were asked count"
        return (
            f"{self.system.name} was to stop as soon as it was decided ({verdict}, against"
            f" {reference}), so intervals and p values come from the same confidence sequence"
            f" ({self.plan['method']}); those of the calibration error and of people's labels"
            f" assume a fixed size, and are too narrow{part * (count < questions)}"
        )


def stopped_runs(systems: Sequence[System]) -> list[StoppedRun]:
    """Find the systems whose runs could stop early; RunError if a manifest was edited."""
    found = []
    for system in systems:
        stored = manifest_of(system).get(DECIDING)
        if stored is None:
            continue
        one = _read(system, stored)
        if one is None:
            raise RunError(
                f"{system.file}: its {MANIFEST} no longer says how --stop-when-decided was to stop"
                " the run; restore it, or predict again into another folder"
            )
        found.append(one)
    return found


def early_stops(systems: Sequence[System]) -> list[str]:
    """Note the systems whose runs stopped early, which their own scores chose the moment for."""
    return [
        f"{one.system.file} stopped when it was decided, perhaps when chance favoured it; a whole"
        " run is a better basis"
        for one in stopped_runs(systems)
        if one.result.get("asked", 0) < one.plan["questions"]
    ]


def check_whole(file: str, manifest: Mapping[str, Any], asked: int) -> None:
    """Raise DataError for a run that stopped early, at a moment that its scores chose."""
    deciding = manifest.get(DECIDING)  # checked when the predictions were read
    if deciding is not None and asked < (planned := deciding["plan"]["questions"]):
        raise DataError(
            f"{file} was stopped by its scores after {asked:,} of {planned:,} questions, so they"
            " can't promise a share of wrong answers; run its command (see run.json) again without"
            " --stop-when-decided to ask the rest, and choose the threshold then"
        )


def _read(system: System, stored: Any) -> StoppedRun | None:
    try:
        one = StoppedRun(system, stored["plan"], stored.get("result") or {})
        counts = [one.plan[name] for name in ("largest_cluster", "clusters", "questions")]
        texts = [one.plan[name] for name in ("profile", "cluster", "method")]
        texts.append(one.plan["reference"]["name"])
    except (AttributeError, KeyError, TypeError):
        return None
    are_right = all(isinstance(count, int) and count > 0 for count in counts)
    are_right &= all(isinstance(text, str) for text in texts) and isinstance(one.result, dict)
    return one if are_right else None


def restrict_to_common(
    stopped: Sequence[StoppedRun], systems: list[System], expected: References
) -> tuple[list[System], References, list[str]]:
    """Restrict all systems to what every run was asked before it stopped or reached its limit.

    Also returns notes that say so.

    Raises:
        DataError: nothing is left of a system.
    """
    limited = {system.name: system for system in systems if _limit_of(system)}
    runs = {one.system.name: one.system for one in stopped} | limited
    if not runs:
        return systems, expected, []
    asked = {key for key in expected if all(key in system.rows for system in runs.values())}
    left_out = expected.keys() - asked
    kept = [
        replace(system, rows={key: row for key, row in system.rows.items() if key not in left_out})
        for system in systems
    ]
    if not all(one.rows for one in kept):
        raise DataError(
            f"a system lacks answers to what was asked in the run of {' and '.join(runs)}, which"
            " stopped early or had a limit; give predictions and data for the same questions"
        )
    notes = [one.note(len(asked)) for one in stopped]
    if limited and left_out:
        limits = " and ".join(f"{name} {_limit_of(own):,}" for name, own in limited.items())
        notes.append(
            f"because of --limit not all questions were asked ({limits}), so only the"
            f" {len(asked):,} that were asked of all count"
        )
    return kept, {key: answers for key, answers in expected.items() if key in asked}, notes


def _limit_of(system: System) -> int:
    """The limit on questions of a finished run; 0 for none."""
    manifest = manifest_of(system)
    config = manifest.get("config")
    data = config.get("data") if isinstance(config, dict) else None
    limit = data.get("limit") if isinstance(data, dict) else None
    is_finished = manifest.get("verb") == "predict" and manifest.get("status") == "done"
    return limit if is_finished and isinstance(limit, int) else 0
