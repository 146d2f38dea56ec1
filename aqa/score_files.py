"""What an evaluation leaves for programs: scores per example, and limits that they must reach."""

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from aqa.atomic_files import atomic
from aqa.errors import ScoreError, UsageError
from aqa.scored import Report


def write_per_example(path: Path, report: Report) -> None:
    """Write a line for each example: what each system answered, how it scored, and its kind.

    Two systems or more also have a `disagreement`: the spread of their scores.
    """
    with atomic(path) as file:
        for place, (key, references) in enumerate(zip(report.ids, report.references, strict=True)):
            systems: dict[str, dict[str, Any]] = {}
            for system in report.systems:
                prediction = system.predictions[place]
                systems[system.name] = {
                    **({} if prediction is None else {"prediction": prediction}),
                    "scores": {
                        name: score.per_example[place]
                        for name, score in system.scores.items()
                        if score.per_example
                    },
                    "category": system.categories[place],
                }
                if system.verdicts is not None:
                    given = [verdict.to_json() for verdict in system.verdicts.examples[place]]
                    systems[system.name]["verdicts"] = given
            row: dict[str, Any] = {"id": key, "references": list(references), "systems": systems}
            if report.disagreement is not None:
                row["disagreement"] = report.disagreement.spreads[place]
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def parse_limits(words: Sequence[str]) -> dict[str, float]:
    """Read `f1=70`.

    Raises:
        UsageError: it is no score's name and a number.
    """
    limits = {}
    for word in words:
        name, _, text = word.partition("=")
        try:
            limit = float(text)
        except ValueError:
            limit = float("nan")
        if not name.strip() or not isfinite(limit) or not 0 <= limit <= 100:
            raise UsageError(
                f'--fail-under {word}: write a score and the least it may be, such as "f1=70"'
            )
        limits[name.strip()] = limit
    return limits


def check_limits(limits: Mapping[str, float], report: Report) -> None:
    """Compare every system's scores with the least they may be.

    Raises:
        UsageError: a limit is for a score that was not computed.
        ScoreError: a score is under its limit.
    """
    known = report.systems[0].scores
    for name in limits:
        if name not in known:
            raise UsageError(
                f"--fail-under {name}: there is no such score; there are {', '.join(known)}"
            )
    told = [
        f"{system.name}: {name} {system.scores[name].value:.2f} is under {limit:g}"
        for system in report.systems
        for name, limit in limits.items()
        if system.scores[name].value < limit
    ]
    if told:
        raise ScoreError("; ".join(told))
