"""The one config that a command's flags, its files and --set make."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aqa.backends.base import Backend
    from aqa.config.options import RunConfig


def configure(
    backend: str,
    config: str | None,
    flags: dict[str, Any],
    settings: list[str] | None,
    fields: list[str] | None,
) -> "tuple[RunConfig, type[Backend]]":
    """Merge a run folder's config, a config file, flags and --set into one checked config."""
    from aqa.config.load import parse_assignment
    from aqa.verbs.run_config import make_config

    given = [(key, value) for key, value in flags.items() if value is not None]
    given += map(parse_assignment, settings or ())
    given += [(f"data.fields.{ours}", column) for ours, column in column_names(fields).items()]
    return make_config(backend, config, given)


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
