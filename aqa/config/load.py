"""Read, merge and check the configuration of a run.

Later sources win: a run folder's config, a YAML or JSON file, flags, `--set KEY=VALUE`. The
predecessor's keys are accepted, see `legacy`.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from aqa.config.backend_options import ALIASES, BackendOptions, RawConfig
from aqa.config.legacy import FLAT_KEYS, translate
from aqa.config.options import RunConfig
from aqa.config.paths import expand_home
from aqa.config.scalars import read_json, read_yaml
from aqa.config.section import Section
from aqa.config.shipped import find_shipped, shipped_names
from aqa.config.validation_errors import explain
from aqa.errors import ConfigError, UsageError
from aqa.processes import process_count
from aqa.syntax import json_fault, yaml_fault

KEY = re.compile(r"\w+(?:\.\w+)+")


def read_config(path: Path) -> RawConfig:
    """Read a YAML or JSON file, with flat keys moved to sections; ConfigError if not a mapping."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        # PyYAML refuses tabs, which may indent JSON.
        raw = read_json(text) if path.suffix == ".json" and text else read_yaml(text)
    except OSError as error:
        raise ConfigError(f"{path}: can't read this config: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ConfigError(f"{path}, {where}: not valid JSON: {json_fault(error)}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{path}{where}: not valid YAML: {yaml_fault(error)}") from error
    if raw is None:
        raise ConfigError(f"{path}: the config is empty")
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: a config is a mapping of keys to values, not a {_kind(raw)}")
    config: RawConfig = {}
    try:
        for key, value in translate(raw):
            set_value(config, key, value)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return config


def find_config(name: str) -> Path:
    """Return the path of a config file, or of a shipped config by name; ConfigError if neither."""
    path = expand_home(name)
    shipped = None
    if path.parent in (Path(), Path("configs")) and path.suffix in ("", ".yaml"):
        shipped = find_shipped("configs", f"{path.stem}.yaml")
    if path.is_file() or (shipped is None and path.exists()):
        return path
    if shipped is None:
        names = ", ".join(Path(file).stem for file in shipped_names("configs"))
        raise ConfigError(f"{name}: no such config; name a file, or one of {names}")
    return shipped


def place_of(path: Path, key: str) -> str:
    """Return a config file's name, with the line of a key if found."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader)
    except (OSError, ValueError, yaml.YAMLError):  # JSON may be indented with tabs
        return str(path)
    line = dict(_lines(node)).get(key)
    return str(path) if line is None else f"{path}, line {line}"


def _lines(node: yaml.Node | None, prefix: str = "") -> Iterator[tuple[str, int]]:
    for name, value in node.value if isinstance(node, yaml.MappingNode) else ():
        key = FLAT_KEYS.get(f"{prefix}{name.value}", f"{prefix}{name.value}")
        yield key, name.start_mark.line + 1
        yield from _lines(value, f"{key}.")


def gives(config: RawConfig, key: str) -> bool:
    """Whether a config has a dotted key, or a value that is not a mapping above it."""
    first, _, rest = key.partition(".")
    if first not in config:
        return False
    inner = config[first]
    return not rest or not isinstance(inner, dict) or gives(inner, rest)


def parse_assignment(text: str, flag: str = "--set") -> tuple[str, Any]:
    """Split `a.b=c`; the value is read as YAML, but separators such as " | " literally.

    Raises:
        UsageError: there is no `=`, or the value is not valid YAML.
    """
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not key:
        raise UsageError(f"{flag} {text}: write it as key=value, such as evidence.top_k=5")
    if not value:
        raise UsageError(
            f"{flag} {text} has no value; give one (null for none), or check that its variable is"
            " set"
        )
    try:
        parsed = value if _is_separator(value) else read_yaml(value)
    except yaml.YAMLError as error:
        fault = yaml_fault(error)
        raise UsageError(f"{flag} {text}: the value is not valid YAML: {fault}") from error
    return FLAT_KEYS.get(key, key), parsed


def _is_separator(value: str) -> bool:
    """Whether a value is only punctuation and spaces, which YAML would misread."""
    text = value.strip()
    if text[:1] in ("#", "|", ">"):
        return True
    is_yaml = text == "~" or text[:1] in tuple("\"'[{")
    return not is_yaml and not any(map(str.isalnum, text))


def set_value(config: RawConfig, key: str, value: Any) -> None:
    """Set a dotted key in place; mappings are merged."""
    first, _, rest = key.partition(".")
    if rest:
        if config.get(first) is None:
            config[first] = {}
        inner = config[first]
        if not isinstance(inner, dict):
            raise ConfigError(f"{key}: {first} is a {_kind(inner)}, so it has no {rest}")
        set_value(inner, rest, value)
    elif isinstance(value, dict) and isinstance(config.get(first), dict):
        for name, part in value.items():
            set_value(config[first], str(name), part)
    else:
        config[first] = value


def build_config(
    options: type[BackendOptions],
    layers: Iterable[RawConfig],
    inherited: RawConfig = {},  # noqa: B006  (it is only read)
) -> RunConfig:
    """Merge layers, later ones winning, over a run's `inherited` config, and check the result.

    The last layer is from the call, those before it from config files.

    Raises:
        ConfigError: an unknown key, a wrong value, one without effect, or a config of another
            backend.
    """
    layers = list(layers)
    values = _merge(layers)
    merged = _merge([inherited, values])
    # An empty section counts as absent.
    merged = {key: value for key, value in merged.items() if value is not None}
    backend = merged.pop("backend", {})
    if not isinstance(backend, dict):
        raise ConfigError(f"backend is a mapping of options, not a {_kind(backend)}")
    name = options.model_fields["name"].default
    for_backend = str(backend.get("name", name))
    if ALIASES.get(for_backend, for_backend) != name:
        raise ConfigError(
            f"this config is for the backend {for_backend}, not {name}; name that one, or"
            " another config"
        )
    backend["name"] = name
    if options.model_fields["model"].is_required() and not backend.get("model"):
        _refuse_unknown_keys(backend, options, of_backend=True)  # perhaps a misspelt model
        _refuse_unknown_keys(merged, options)
        raise ConfigError(
            "no model is named; give --model NAME or --config FILE (a shipped one:"
            f" {options.shipped_config})"
        )
    try:
        checked = options.model_validate(backend)
    except ValidationError as error:
        raise explain(error, options, of_backend=True) from error
    merged.setdefault("prompt", options.default_prompt)
    try:
        config = RunConfig.model_validate({**merged, "backend": checked})
    except ValidationError as error:
        raise explain(error, options) from error
    called = frozenset(keys_of(layers[-1] if layers else {}))
    check_idle(config, values, called)
    config.note_asked(keys_of(values), (*keys_of(inherited), *called))
    return config


def _refuse_unknown_keys(
    values: RawConfig, options: type[BackendOptions], of_backend: bool = False
) -> None:
    try:
        (options if of_backend else RunConfig).model_validate(values)
    except ValidationError as error:
        if any(fault["type"] == "extra_forbidden" for fault in error.errors()):
            raise explain(error, options, of_backend) from error


def _merge(layers: Iterable[RawConfig]) -> RawConfig:
    merged: RawConfig = {}
    for layer in layers:
        for key, value in layer.items():
            set_value(merged, key, _at_home(value))
    return merged


def _at_home(value: Any) -> Any:
    """Copy a value, replacing a leading ~ in texts by the home folder."""
    if isinstance(value, str) and value.startswith("~/"):
        return str(expand_home(value))
    if isinstance(value, dict):
        return {key: _at_home(item) for key, item in value.items()}
    return [_at_home(item) for item in value] if isinstance(value, list) else deepcopy(value)


def as_raw(config: RunConfig) -> RawConfig:
    """Return the resolved config as plain values, with all defaults."""
    return json.loads(config.model_dump_json())  # type: ignore[no-any-return]


def _kind(value: object) -> str:
    names = {"list": "list", "dict": "mapping", "str": "text"}
    return names.get(type(value).__name__, type(value).__name__)


def check_idle(config: RunConfig, values: RawConfig, called: Set[str]) -> None:
    """Raise ConfigError if a given option would have no effect.

    The keys `called` may switch off what a config file sets: those that the reason names.
    """
    sections = [part for _, part in (*config, *config.evidence) if isinstance(part, Section)]
    idle = {key: reason for section in sections for key, reason in section.idle().items()}
    if config.workers.count > 1 or process_count() > 1:
        idle.pop("generation.window", None)  # how many prompts a process takes at a time
    for key in keys_of(values):
        for name, reason in idle.items():
            switched_off = key not in called and called & frozenset(KEY.findall(reason))
            if (key == name or key.startswith(f"{name}.")) and not switched_off:
                value, default = _value_and_default(config, key)
                if value != default:
                    text = f"config key {key} = {value!r} has no effect: {reason}"
                    raise ConfigError(text, key)


def keys_of(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of nested mappings."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from keys_of(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _value_and_default(config: RunConfig, key: str) -> tuple[Any, Any]:
    *sections, name = key.split(".")
    section: BaseModel = config
    for part in sections:
        if isinstance(getattr(section, part), dict):  # an option that is itself a mapping
            name = part
            break
        section = getattr(section, part)
    field = type(section).model_fields[name]
    default = field.get_default(call_default_factory=True, validated_data=section.model_dump())
    return getattr(section, name), default
