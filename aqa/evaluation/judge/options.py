"""Which models judge, and how, in the words of a user."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aqa.config.ranges import check_list


@dataclass(frozen=True, slots=True)
class JudgeOptions:
    """Who judges answers, and how.

    No `models` mean the default one, several make a panel. `max_cost` is in US dollars, for each
    judge. `repeats` is how often each answer is judged. `settings` are values of the judge's own
    config by dotted keys. `labels` is a file of people's verdicts.
    """

    models: Sequence[str] = ()
    max_cost: float | None = None
    repeats: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    labels: Path | str | None = None

    def __post_init__(self) -> None:
        check_list("models", self.models)
