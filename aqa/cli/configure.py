"""Make the config from a command's flags, its files and --set."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aqa.config.flags import FLAGS

if TYPE_CHECKING:
    import typer

    from aqa.config.options import RunConfig


def configure(params: Mapping[str, Any], trains: bool = True) -> "RunConfig":
    """Make the config that a command's parameters ask for.

    Where nothing `trains`, --set of an option that only a training reads is an error; config files
    serve both.
    Uses the parameters that are config options, --config, --set and --field. Later sources win:
    run folder, config file, flags, --set.
    """
    from aqa.config.load import parse_assignment
    from aqa.errors import ConfigError, UsageError
    from aqa.processes import join_slurm_step
    from aqa.verbs.run_config import make_config, refuse_training_options

    join_slurm_step()
    values = {flag: params.get(flag.parameter) for flag in FLAGS}
    # None and False mean that a flag was not given; 0 is a value.
    given = {flag: v for flag, v in values.items() if v is not None and v is not False}
    settings = [(flag.key, str(v) if isinstance(v, Path) else v) for flag, v in given.items()]
    assigned = [*map(parse_assignment, params["settings"] or ())]
    if not trains:
        refuse_training_options(assigned)
    fields = column_names(params["fields"])
    settings += [*assigned, *((f"data.fields.{ours}", column) for ours, column in fields.items())]
    try:
        config = make_config(params["backend"], params["config"], settings)
    except ConfigError as error:
        at = f"{error.key}."
        if any(at.startswith(f"{key}.") or key.startswith(at) for key, _ in assigned):  # --set wins
            raise UsageError(error.of(f"--set {error.key}")) from error
        names = [flag.names[0] for flag in given if flag.key == error.key]
        if not names:
            raise
        if str(error).startswith("unknown"):
            backend = params["backend"]
            raise UsageError(f"{names[0]} is for other backends, not for {backend}") from error
        raise UsageError(error.of(names[0])) from error
    return config


def column_names(fields: list[str] | None) -> dict[str, str]:
    """Parse the pairs of --field: our name and the file's column."""
    from aqa.errors import UsageError

    pairs = {}
    for text in fields or ():
        ours, equals, column = text.partition("=")
        if not (ours and equals and column):
            raise UsageError(f"--field {text}: write it as OURS=COLUMN, such as question=Question")
        pairs[ours] = column
    return pairs


def refuse_idle(context: "typer.Context", names: Iterable[str], why: str) -> None:
    """Raise UsageError for parameters that were given but have no effect."""
    from aqa.errors import UsageError

    flags: dict[str | None, Any] = {param.name: param for param in context.command.params}
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            is_no = context.params[name] is False
            flag, *_ = (is_no and flags[name].secondary_opts) or flags[name].opts
            raise UsageError(f"{flag} has no effect {why}")
