"""Output for programs: per-example scores, and limits that scores must reach."""

import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from aqa.config.paths import resolve_path
from aqa.errors import RunError, ScoreError, UsageError
from aqa.evaluation.contracts import KIND, named_number
from aqa.evaluation.predictions import OWN_SCORES
from aqa.evaluation.results import Report
from aqa.records import Score
from aqa.runs.files import atomic
from aqa.runs.names import JOURNAL, MANIFEST, PREDICTIONS

ROUNDING = 1e-9  # tolerance for sums of floats
SCORES_BESIDE = "scores"  # for scores without a flag, if --output names another file
ANEW = "scores and no contract"  # what --output and its neighbour hold
HOLDS = {"--report": "report", "--per-example": "scores of examples"}
OWN_REPORT = b'<meta name="generator" content="aqa '  # within the first bytes of our reports
OWN_EXAMPLE = {"id", "references", "systems"}  # keys of our lines
FIRST = 4096
OF_A_RUN = (MANIFEST, JOURNAL, PREDICTIONS)  # what an evaluation could not recreate


def write_per_example(path: Path, report: Report) -> None:
    """Write a line per example: each system's answer, scores and category.

    With two systems or more, also a `disagreement`: the spread of their scores.
    """
    with atomic(path, locked=False) as file:
        for index, (key, references) in enumerate(zip(report.ids, report.references, strict=True)):
            systems: dict[str, dict[str, Any]] = {}
            for system in report.systems:
                prediction = system.predictions[index]
                systems[system.name] = {
                    **({} if prediction is None else {"prediction": prediction}),
                    "scores": {
                        name: score.per_example[index]
                        for name, score in system.scores.items()
                        if score.per_example
                    },
                    "category": system.categories[index],
                }
                if system.verdicts is not None:
                    verdicts = [verdict.to_json() for verdict in system.verdicts.examples[index]]
                    systems[system.name]["verdicts"] = verdicts
            row: dict[str, Any] = {"id": key, "references": list(references), "systems": systems}
            if report.disagreement is not None:
                row["disagreement"] = report.disagreement.spreads[index]
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def parse_limits(words: Sequence[str]) -> dict[str, float]:
    """Parse `f1=70`; UsageError for anything else, or for two limits of one score."""
    limits: dict[str, float] = {}
    for word in words:
        name, limit = named_number(word)
        if not name or limit is None or not 0 <= limit <= 100:
            raise UsageError(
                f'--fail-under {word}: write a score and the worst it may be, such as "f1=70"'
            )
        if limits.setdefault(name, limit) != limit:
            raise UsageError(f"--fail-under {word}: {name} has another limit, too; give one")
    return limits


def check_limit_names(limits: Mapping[str, float], available: Collection[str] | None) -> None:
    """Raise UsageError for limits of scores that don't exist; `available` None skips the check."""
    for name in limits:
        if available is not None and name not in available:
            raise UsageError(
                f"--fail-under {name}: there is no such score; the scores are"
                f" {', '.join(available)}"
            )


def check_directions(limits: Mapping[str, float], report: Report) -> None:
    """Raise UsageError for limits of scores that don't exist or have no known direction."""
    scores = report.systems[0].scores
    check_limit_names(limits, [*scores, *(["judge"] if report.judge is not None else [])])
    for name in limits:
        if name in scores and not scores[name].better:
            raise UsageError(
                f"--fail-under {name}: it is not known whether a higher or a lower {name} is"
                " better; limit another score"
            )


def check_limits(limits: Mapping[str, float], report: Report) -> None:
    """Compare every system's scores with their limits.

    A limit is a minimum, or a maximum if lower is better.

    Raises:
        ScoreError: a score is worse than its limit, or missing because its judge failed.
    """
    failures = [
        f"{system.name}: {failure}"
        for system in report.systems
        for name, limit in limits.items()
        if (failure := _failure(name, system.scores.get(name), limit))
    ]
    if failures:
        raise ScoreError("; ".join(failures))


def _failure(name: str, score: Score | None, limit: float) -> str:
    if score is None:
        return f"there is no score {name}"
    sign, side = (1, "over") if score.better == "lower" else (-1, "under")
    if sign * (score.value - limit) <= ROUNDING:
        return ""
    # Enough digits to show on which side of the limit the value is.
    digits = next((n for n in range(2, 9) if sign * round(score.value, n) > sign * limit), 9)
    return f"{name} {score.value:.{digits}f} is {side} {limit:.10g}"


def check_places(written: Mapping[str, Path], read: Sequence[Path]) -> None:
    """Check that files can be written, before there is anything to write.

    `written` maps each file's flag to its path.

    Raises:
        RunError: a folder does not exist or is not writable, or a file would be overwritten
            that is needed or that an evaluation did not write.
    """
    taken = {resolve_path(path): str(path) for path in read}
    for folder in {path if path.is_dir() else path.parent for path in read}:
        if (folder / MANIFEST).is_file():
            taken |= {resolve_path(folder / name): str(folder / name) for name in OF_A_RUN}
    folders = {path.parent for path in read}
    for flag, path in written.items():
        if path.is_dir():
            raise RunError(f"{flag} {path}: that is a folder; name a file in it")
        folder = resolve_path(path).parent if path.is_symlink() else path.parent
        if folder not in folders and not folder.is_dir():
            raise RunError(f"{flag} {path}: there is no folder {folder}; make it first")
        target = path if path.exists() and not path.is_file() else folder  # e.g. a device
        if folder.is_dir() and not os.access(target, os.W_OK):
            raise RunError(f"{flag} {path}: no permission to write there; name another place")
        if (other := taken.setdefault(resolve_path(path), flag)) != flag:
            raise RunError(f"{flag} {path} would overwrite {other}; name another file")
    for flag, path in written.items():
        if not _may_be_overwritten(flag, path):
            what, named = HOLDS.get(flag, ANEW), flag if flag.startswith("--") else "--output"
            raise RunError(
                f"{path} would be overwritten, and holds no {what} by `aqa evaluate`; name another"
                f" file with {named}, or move this one away"
            )


def _may_be_overwritten(flag: str, path: Path) -> bool:
    """Whether the file is missing, empty, or an earlier result of the same flag.

    A sheet of answers to label may not be overwritten, since people may have filled it in.
    """
    if not path.is_file() or not path.stat().st_size:
        return True
    with path.open("rb") as file:
        if flag == "--report":
            return OWN_REPORT in file.read(FIRST)
        try:
            content = json.loads(file.readline() if flag == "--per-example" else file.read())
        except (ValueError, RecursionError):
            return False
    keys = OWN_EXAMPLE if flag == "--per-example" else OWN_SCORES
    return isinstance(content, dict) and (content.keys() >= keys or content.get("kind") == KIND)
