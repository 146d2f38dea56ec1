"""The options of stress tests: how the evidence is changed."""

from pydantic import Field, field_validator

from aqa.config.backend_options import RawConfig
from aqa.config.section import Section
from aqa.config.stress_conditions import CONDITIONS, unknown_condition


class StressOptions(Section):
    """How the evidence is changed; see `aqa.prompting.stress`.

    The seed is not the run's, so that all readers get the same evidence.
    """

    condition: str | None = None  # one of CONDITIONS; None: unchanged evidence
    passages: int = Field(20, ge=2)  # that `position` shows, the gold one among them
    seed: int = Field(0, ge=0)  # for drawing answers and sides

    @field_validator("condition")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        if value is not None and value not in CONDITIONS:
            raise ValueError(unknown_condition(value, CONDITIONS))
        return value

    def plan(self) -> RawConfig:
        """Return what decides the evidence under this condition; {} if there is none."""
        family = (self.condition or "").partition("-")[0]
        used = {"position": {"passages"}, "conflict": {"seed"}, "two_sources": {"seed"}}
        wanted = {"condition", *used.get(family, ())}
        return self.model_dump(include=wanted) if self.condition else {}
