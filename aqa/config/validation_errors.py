"""Explain pydantic's validation errors in our own words."""

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from aqa.config.legacy import FLAT_KEYS
from aqa.config.options import RunConfig
from aqa.errors import ConfigError

# What a value should have been, by pydantic's error type.
MISSED: Mapping[str, str] = {
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_parsing", "float_type"), "a number"),
    "finite_number": "a finite number",
    **dict.fromkeys(("bool_parsing", "bool_type"), "true or false"),
    "string_type": "text",
    "list_type": "a list",
    **dict.fromkeys(("dict_type", "model_type"), "a mapping of keys to values"),
    "greater_than": "above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "below {lt:g}",
    "less_than_equal": "at most {le:g}",
}


def explain(
    error: ValidationError, options: type[BaseModel], of_backend: bool = False
) -> ConfigError:
    """Explain the first error of a config, or of its backend's `options`.

    For an unknown key, this suggests known ones.
    """
    model = options if of_backend else RunConfig
    errors = error.errors()
    first = next((fault for fault in errors if fault["type"] == "extra_forbidden"), errors[0])
    path = list(_path(first["loc"], model))
    key = ".".join(["backend"] * of_backend + path)
    if first["type"] == "extra_forbidden":
        known = [*_keys(RunConfig), *_keys(options, "backend.")]
        near = _near(key, known) or _near(key, FLAT_KEYS)
        listed = ", ".join(sorted(_section_at(model, path[:-1]).model_fields))
        hint = f"did you mean {' or '.join(near)}?" if near else f"known here: {listed}"
        return ConfigError(f"unknown config key {key}; {hint}", key)
    if first["type"] == "missing":
        return ConfigError(f"config key {key} is missing", key)
    alike = [fault for fault in errors if list(_path(fault["loc"], model)) == path]
    if text := not_what(alike):
        return ConfigError(f"config key {key}: {text}", key)
    message = (first["msg"][0].lower() + first["msg"][1:]).removeprefix("value error, ")
    value = "" if isinstance(first["input"], dict) else f" = {first['input']!r}"
    return ConfigError(f"config key {key}{value}: {message}", key)


def not_what(errors: Sequence[ErrorDetails]) -> str:
    """Say what a value should have been, by all its errors; "" if one has no description."""
    missed = [_missed(fault["type"], fault.get("ctx", {})) for fault in errors]
    text = f"{errors[0]['input']!r} is not {', nor '.join(dict.fromkeys(missed))}"
    return text if all(missed) else ""


def _missed(kind: str, context: Mapping[str, Any]) -> str:
    if kind == "literal_error":
        expected: str = context["expected"]
        return f"one of {expected}" if " or " in expected else expected
    return MISSED.get(kind, "").format(**context)


def _path(location: Sequence[int | str], model: type[BaseModel]) -> Iterator[str]:
    """Yield the location without the names that pydantic adds for types of a union."""
    section: type[BaseModel] | None = model
    for number, key in enumerate(location, 1):
        yield str(key)
        field = section.model_fields.get(str(key)) if section else None
        section = field and _section(field)
        if field and not section and len(_types(field)) > 1:
            return
        if not section:
            yield from map(str, location[number:])
            return


def _types(field: FieldInfo) -> list[Any]:
    is_union = get_origin(field.annotation) in (Union, UnionType)
    types = get_args(field.annotation) if is_union else (field.annotation,)
    return [kind for kind in types if kind is not type(None)]


def _section(field: FieldInfo) -> type[BaseModel] | None:
    for kind in _types(field):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _section_at(model: type[BaseModel], path: Sequence[str]) -> type[BaseModel]:
    for part in path:
        field = model.model_fields.get(part)
        model = (field and _section(field)) or model
    return model


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of all options and sections."""
    for name, field in model.model_fields.items():
        yield prefix + name
        if section := _section(field):
            yield from _keys(section, f"{prefix}{name}.")


def _near(unknown: str, known: Iterable[str]) -> Sequence[str]:
    """Return the most similar key of the same section, and one of that name in another.

    If there are none, those that it abbreviates: `lr` is `learning_rate`, `epochs` is
    `num_train_epochs`, `lora_r` is `lora.r`.
    """
    places = {key: key.rpartition(".") for key in known}
    section, _, name = unknown.rpartition(".")
    siblings = {last: key for key, (place, _, last) in places.items() if place == section}
    close = [siblings[last] for last in difflib.get_close_matches(name, siblings, 1)]
    homes = [key for key, (_, _, last) in places.items() if last == name]
    if close or homes:
        return [*close, *sorted(homes, key=lambda key: key.count("."))[:1]]
    initials = [
        key
        for key, (_, _, last) in places.items()
        if name == "".join(w[0] for w in last.split("_"))
    ]
    words = {*name.split("_")}
    return initials or [key for key in places if words <= {*key.replace(".", "_").split("_")}][:1]
