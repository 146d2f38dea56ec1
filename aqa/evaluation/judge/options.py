"""The user's options for judging: which models, and how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aqa.config.ranges import check_list


@dataclass(frozen=True, slots=True)
class JudgeOptions:
    """Who judges answers, and how.

    Without `models`, the default one is used; several make a panel. `max_cost` is in US dollars
    per judge. `repeats` is how often each answer is judged. `settings` are config values of the
    judge by dotted key. `labels` is a file of people's verdicts.
    """

    models: Sequence[str] = ()
    max_cost: float | None = None
    repeats: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    labels: Path | str | None = None

    def __post_init__(self) -> None:
        check_list("models", self.models)
