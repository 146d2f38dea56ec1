"""Merge a run folder's config, a config file and explicit settings into one config."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from aqa.backends import find_backend
from aqa.backends.base import Remote
from aqa.config.backend_options import RawConfig
from aqa.config.load import (
    build_config,
    find_config,
    gives,
    keys_of,
    place_of,
    read_config,
    set_value,
)
from aqa.config.options import RunConfig
from aqa.errors import ConfigError, UsageError
from aqa.runs.folder import inherited_config

OF_TRAINING = ("training.", "backend.lora.", "evidence.train.", "data.dev_", "merge.", "export.")

Setting = tuple[str, Any]  # a dotted config key and its value


def refuse_training_options(settings: Iterable[Setting]) -> None:
    """Raise UsageError for an option that only a training reads."""
    for key, value in settings:
        inner = keys_of({key: value}) if isinstance(value, Mapping) else ()
        for name in (key, *inner):
            if f"{name}.".startswith(OF_TRAINING):
                raise UsageError(f"--set {name} has no effect without a training; leave it out")


def make_config(backend: str, config: str | None, settings: Iterable[Setting]) -> RunConfig:
    """Merge a run folder's config, a config file and settings; later ones win.

    The run folder is the one that `backend.model` names.

    Raises:
        AqaError: no such backend or file, or the config is not valid.
    """
    reader_type = find_backend(backend)
    path = None if config is None else find_config(config)
    read = {} if path is None else read_config(path)
    set_here: RawConfig = {}
    for key, value in settings:
        set_value(set_here, key, value)
    backend_set = set_here.get("backend")
    model = backend_set.get("model") if isinstance(backend_set, dict) else None
    inherited = inherited_config(Path(model)) if isinstance(model, str) else {}
    if issubclass(reader_type, Remote):
        # The server has the weights, named after their folder; only the prompt and evidence
        # that they were trained with matter here.
        inherited.pop("backend", None)
    try:
        return build_config(reader_type.Options, [read, set_here], inherited)
    except ConfigError as error:
        if path is None or gives(set_here, error.key) or not gives(read, error.key):
            raise
        raise ConfigError(f"{place_of(path, error.key)}: {error}", error.key) from error
