"""The one config that a command's flags, its files and --set make."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aqa.backends.base import Backend
    from aqa.config.backend_options import RawConfig
    from aqa.config.options import RunConfig


def configure(
    backend: str,
    config: str | None,
    flags: dict[str, Any],
    settings: list[str] | None,
    fields: list[str] | None,
) -> "tuple[RunConfig, type[Backend]]":
    """Merge a run folder's config, a config file, flags and --set into one checked config."""
    from aqa.backends import find_backend
    from aqa.backends.base import Remote
    from aqa.config.load import build_config, find_config, parse_assignment, read_config, set_value
    from aqa.runs.folder import inherited_config

    reader_type = find_backend(backend)
    layers: list[RawConfig] = []
    inherited: RawConfig = {}
    if flags.get("backend.model"):
        inherited = inherited_config(Path(flags["backend.model"]))
        if issubclass(reader_type, Remote):
            # The server has the weights, under the name of their folder; what they were trained
            # to be asked, and how, is needed here.
            inherited.pop("backend", None)
    if config is not None:
        layers.append(read_config(find_config(config)))
    spoken: RawConfig = {}
    for key, value in flags.items():
        if value is not None:
            set_value(spoken, key, value)
    for text in settings or ():
        set_value(spoken, *parse_assignment(text))
    for ours, column in column_names(fields).items():
        set_value(spoken, f"data.fields.{ours}", column)
    return build_config(reader_type.Options, [*layers, spoken], inherited), reader_type


def column_names(fields: list[str] | None) -> dict[str, str]:
    """Read the pairs of --field: our name to the file's column."""
    from aqa.errors import UsageError

    pairs = {}
    for text in fields or ():
        ours, equals, column = text.partition("=")
        if not (ours and equals and column):
            raise UsageError(f"--field {text}: write it as OURS=COLUMN, such as question=Question")
        pairs[ours] = column
    return pairs
