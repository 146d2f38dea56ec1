"""A section of the config; unknown keys are errors."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section of the config; unknown keys are errors."""

    # Numbers must be finite, since JSON (and so the manifest) has no others. Numbers given for
    # text options are taken as written, see `scalars`.
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        protected_namespaces=(),
        allow_inf_nan=False,
        coerce_numbers_to_str=True,
    )

    def idle(self) -> Mapping[str, str]:
        """Return the config's keys that have no effect with these values, and why."""
        return {}
