"""How the evidence of a stress test is changed."""

from pydantic import Field, field_validator

from aqa.config.conditions import CONDITIONS, unknown_condition
from aqa.config.section import Section


class StressOptions(Section):
    """How the evidence is changed; see `aqa.prompting.stress`.

    The seed is not the run's, so that readers of any seed are asked under the same evidence.
    """

    condition: str | None = None  # one of CONDITIONS; None leaves the evidence as it is
    passages: int = Field(20, ge=2)  # among which `position` moves the gold one
    seed: int = Field(0, ge=0)  # of what is drawn: passages, answers, sides

    @field_validator("condition")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        if value is not None and value not in CONDITIONS:
            raise ValueError(unknown_condition(value, CONDITIONS))
        return value
