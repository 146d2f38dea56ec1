"""The cases shown to a judge, and its verdicts on them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aqa.metrics.verdicts import Verdict
from aqa.records import Evidence


@dataclass(frozen=True, slots=True)
class Case:
    """An answer to judge, with everything that the judge is shown.

    `system` and `id` identify it; empty `references` mean that the question is unanswerable.
    `language` is "ko" or "en", that of the profile that compares the answer.
    """

    system: str
    id: str
    question: str
    evidence: Evidence
    references: tuple[str, ...]
    answer: str
    language: str


Cases = Callable[[], Iterable[Case]]  # the same ones on each call


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdicts on each answer, by system and id, and facts about the judge.

    Each answer was judged `repeats` times. For a panel, `judges` holds the same per judge.
    """

    verdicts: Mapping[tuple[str, str], tuple[Verdict, ...]]
    facts: Mapping[str, Any]
    repeats: int = 1
    judges: Mapping[str, "Judged"] = field(default_factory=dict)
