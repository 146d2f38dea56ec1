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
    runs = []
    for system in systems:
        stored = manifest_of(system).get(DECIDING)
        if stored is None:
            continue
        run = _read(system, stored)
        if run is None:
            raise RunError(
                f"{system.file}: its {MANIFEST} no longer says how --stop-when-decided was to stop"
                " the run; restore it, or predict again into another folder"
            )
        runs.append(run)
    return runs


def early_stops(systems: Sequence[System]) -> list[str]:
    """Note the systems whose runs stopped early, which their own scores chose the moment for."""
    return [
        f"{run.system.file} stopped when it was decided, perhaps when chance favoured it; a whole"
        " run is a better basis"
        for run in stopped_runs(systems)
        if run.result.get("asked", 0) < run.plan["questions"]
    ]


def check_whole(file: str, manifest: Mapping[str, Any], count: int) -> None:
    """Raise DataError for a run that stopped early, at a moment that its scores chose."""
    deciding = manifest.get(DECIDING)  # checked when the predictions were read
    if deciding is not None and count < (planned := deciding["plan"]["questions"]):
        raise DataError(
            f"{file} was stopped by its scores after {count:,} of {planned:,} questions, so they"
            " can't promise a share of wrong answers; run its command (see run.json) again without"
            " --stop-when-decided to ask the rest, and choose the threshold then"
        )


def _read(system: System, stored: Any) -> StoppedRun | None:
    try:
        run = StoppedRun(system, stored["plan"], stored.get("result") or {})
        counts = [run.plan[name] for name in ("largest_cluster", "clusters", "questions")]
        texts = [run.plan[name] for name in ("profile", "cluster", "method")]
        texts.append(run.plan["reference"]["name"])
    except (AttributeError, KeyError, TypeError):
        return None
    are_right = all(isinstance(count, int) and count > 0 for count in counts)
    are_right &= all(isinstance(text, str) for text in texts) and isinstance(run.result, dict)
    return run if are_right else None


def restrict_to_common(
    stopped: Sequence[StoppedRun], systems: list[System], expected: References
) -> tuple[list[System], References, list[str]]:
    """Restrict all systems to what every run was asked before it stopped or reached its limit.

    Also returns notes that say so.

    Raises:
        DataError: nothing is left of a system.
    """
    limited = {system.name: system for system in systems if _limit_of(system)}
    runs = {run.system.name: run.system for run in stopped} | limited
    if not runs:
        return systems, expected, []
    common = {key for key in expected if all(key in system.rows for system in runs.values())}
    left_out = expected.keys() - common
    restricted = [
        replace(system, rows={key: row for key, row in system.rows.items() if key not in left_out})
        for system in systems
    ]
    if not all(system.rows for system in restricted):
        raise DataError(
            f"a system lacks answers to what was asked in the run of {' and '.join(runs)}, which"
            " stopped early or had a limit; give predictions and data for the same questions"
        )
    notes = [run.note(len(common)) for run in stopped]
    if limited and left_out:
        limits = " and ".join(f"{name} {_limit_of(system):,}" for name, system in limited.items())
        notes.append(
            f"because of --limit not all questions were asked ({limits}), so only the"
            f" {len(common):,} that were asked of all count"
        )
    return restricted, {key: answers for key, answers in expected.items() if key in common}, notes


def _limit_of(system: System) -> int:
    """The limit on questions of a finished run; 0 for none."""
    manifest = manifest_of(system)
    config = manifest.get("config")
    data = config.get("data") if isinstance(config, dict) else None
    limit = data.get("limit") if isinstance(data, dict) else None
    is_finished = manifest.get("verb") == "predict" and manifest.get("status") == "done"
    return limit if is_finished and isinstance(limit, int) else 0
