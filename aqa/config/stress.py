"""How the evidence of a stress test is changed."""

from pydantic import Field, field_validator

from aqa.config.backend_options import RawConfig
from aqa.config.conditions import CONDITIONS, unknown_condition
from aqa.config.section import Section


class StressOptions(Section):
    """How the evidence is changed; see `aqa.prompting.stress`.

    The seed is not the run's, so that readers of any seed are asked under the same evidence.
    """

    condition: str | None = None  # one of CONDITIONS; None leaves the evidence as it is
    passages: int = Field(20, ge=2)  # among which `position` moves the gold one
    seed: int = Field(0, ge=0)  # of the answers and sides that are drawn

    @field_validator("condition")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        if value is not None and value not in CONDITIONS:
            raise ValueError(unknown_condition(value, CONDITIONS))
        return value

    def plan(self) -> RawConfig:
        """What decides the evidence under this condition; nothing where there is none."""
        family = (self.condition or "").partition("-")[0]
        used = {"position": {"passages"}, "conflict": {"seed"}, "two_sources": {"seed"}}
        wanted = {"condition", *used.get(family, ())}
        return self.model_dump(include=wanted) if self.condition else {}
