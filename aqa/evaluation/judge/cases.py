"""An answer as a judge is shown it, and what the judge says of all."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from aqa.metrics.normalize import has_hangul
from aqa.metrics.verdicts import Verdict
from aqa.records import Evidence


@dataclass(frozen=True, slots=True)
class Case:
    """An answer to be judged, with all that the judge is shown.

    `system` and `id` name it; `references` () mean that there is no answer to give. `profile` is
    that of the scores.
    """

    system: str
    id: str
    question: str
    evidence: Evidence
    references: tuple[str, ...]
    answer: str
    profile: str

    @property
    def language(self) -> str:
        """That of the profile, "en" or "ko"; of a mixed one, that of references or question."""
        if self.profile != "mixed":
            return "en" if self.profile == "squad" else "ko"
        told = [text for text in self.references if text] or [self.question]
        return "ko" if has_hangul(told) else "en"


Cases = Callable[[], Iterable[Case]]  # the same ones each time


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdicts on each answer, by system and id, and what is worth telling of the judge."""

    verdicts: Mapping[tuple[str, str], tuple[Verdict, ...]]
    facts: Mapping[str, Any]
