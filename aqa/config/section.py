"""A section of the config; unknown keys are errors."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

# The types of options that take text, and several texts.
OF_TEXT = (str, str | None, str | list[str])
OF_TEXTS = (list[str], dict[str, str])


def _as_text(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_text(part) for part in value]
    if isinstance(value, dict):
        return {name: _as_text(part) for name, part in value.items()}
    return str(value).lower() if isinstance(value, bool) else value


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

    @model_validator(mode="before")
    @classmethod
    def _truth_as_text(cls, values: Any) -> Any:
        """Take `true` and `false` as names in text options, also in lists and mappings."""
        fields = cls.model_fields if isinstance(values, Mapping) else {}
        words = {
            name: _as_text(values[name])
            for name, field in fields.items()
            if name in values
            and (
                field.annotation in OF_TEXT
                or (field.annotation in OF_TEXTS and not isinstance(values[name], bool))
            )
        }
        return {**values, **words} if words else values

    def idle(self) -> Mapping[str, str]:
        """Return the config's keys that have no effect with these values, and why."""
        return {}
