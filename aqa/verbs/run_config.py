"""The one config that a run folder, a config file and what is asked for make."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aqa.backends import find_backend
from aqa.backends.base import Backend, Remote
from aqa.config.backend_options import RawConfig
from aqa.config.load import build_config, find_config, read_config, set_value
from aqa.config.options import RunConfig
from aqa.runs.folder import inherited_config

Setting = tuple[str, Any]  # a dotted key of the config, and its value


def make_config(
    backend: str, config: str | None, settings: Iterable[Setting]
) -> tuple[RunConfig, type[Backend]]:
    """Merge a run folder's config, a config file and settings, later ones winning, and check all.

    The run folder is one that `backend.model` names.

    Raises:
        AqaError: there is no such backend or file, or the config is not valid.
    """
    reader_type = find_backend(backend)
    layers = [] if config is None else [read_config(find_config(config))]
    given: RawConfig = {}
    for key, value in settings:
        set_value(given, key, value)
    layers.append(given)
    return build_config(reader_type.Options, layers, _inherited(given, reader_type)), reader_type


def _inherited(given: RawConfig, reader_type: type[Backend]) -> RawConfig:
    """What the weights of the run folder that is named as the model were trained with."""
    backend = given.get("backend")
    model = backend.get("model") if isinstance(backend, dict) else None
    if not isinstance(model, str):
        return {}
    inherited = inherited_config(Path(model))
    if issubclass(reader_type, Remote):
        # The server has the weights, under the name of their folder; what they were trained to be
        # asked, and how, is needed here.
        inherited.pop("backend", None)
    return inherited
