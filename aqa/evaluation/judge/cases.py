"""An answer as a judge is shown it, and what the judge says of all."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aqa.metrics.verdicts import Verdict
from aqa.records import Evidence


@dataclass(frozen=True, slots=True)
class Case:
    """An answer to be judged, with all that the judge is shown.

    `system` and `id` name it; `references` () mean that there is no answer to give. `language` is
    "ko" or "en", that of the profile that compares the answer.
    """

    system: str
    id: str
    question: str
    evidence: Evidence
    references: tuple[str, ...]
    answer: str
    language: str


Cases = Callable[[], Iterable[Case]]  # the same ones each time


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdicts on each answer, by system and id, and what is worth telling of the judge.

    Each answer was judged `repeats` times. Of a panel, `judges` hold the same of each, by its name.
    """

    verdicts: Mapping[tuple[str, str], tuple[Verdict, ...]]
    facts: Mapping[str, Any]
    repeats: int = 1
    judges: Mapping[str, "Judged"] = field(default_factory=dict)
