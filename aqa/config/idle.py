"""Options that would change nothing: refused where somebody asks for them."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from aqa.config.backend_options import RawConfig
from aqa.config.options import RunConfig
from aqa.config.section import Section
from aqa.errors import ConfigError
from aqa.processes import process_count


def check_idle(config: RunConfig, asked: RawConfig) -> None:
    """Refuse what is asked for and no part of the run reads, by a ConfigError."""
    sections = [each for _, each in (*config, *config.evidence) if isinstance(each, Section)]
    idle = {key: reason for section in sections for key, reason in section.idle().items()}
    if config.workers.count > 1 or process_count() > 1:
        idle.pop("generation.window", None)  # it is what each of them takes at a time
    for key in keys_of(asked):
        for name, reason in idle.items():
            if key == name or key.startswith(f"{name}."):
                value, default = _value_and_default(config, key)
                if value != default:
                    text = f"config key {key} = {value!r} has no effect: {reason}"
                    raise ConfigError(text, key)


def keys_of(asked: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted keys of nested mappings."""
    for name, value in asked.items():
        if isinstance(value, Mapping):
            yield from keys_of(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _value_and_default(config: RunConfig, key: str) -> tuple[Any, Any]:
    *sections, name = key.split(".")
    section: BaseModel = config
    for part in sections:
        if isinstance(getattr(section, part), dict):  # an option that is a mapping by itself
            name = part
            break
        section = getattr(section, part)
    field = type(section).model_fields[name]
    default = field.get_default(call_default_factory=True, validated_data=section.model_dump())
    return getattr(section, name), default
