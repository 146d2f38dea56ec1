"""A part of the configuration, in which an unknown key is an error."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

# What options of text are declared as, and those of several texts.
OF_TEXT = (str, str | None, str | list[str])
OF_TEXTS = (list[str], dict[str, str])


def _as_text(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_text(part) for part in value]
    if isinstance(value, dict):
        return {name: _as_text(part) for name, part in value.items()}
    return str(value).lower() if isinstance(value, bool) else value


class Section(BaseModel):
    """A part of the configuration in which an unknown key is an error."""

    # No number is infinite: JSON, and so no manifest, knows such ones. Numbers for options of text
    # are taken as they were written, see `scalars`.
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
        """A name that reads `true` or `false` is that name, in lists and mappings of names too."""
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
        """Keys of the config that change nothing beside these values, and why or what to do."""
        return {}
