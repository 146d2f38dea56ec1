"""Make flags: their names, help, panels, limits and shell completions."""

from typing import Any

import typer

from aqa.cli.completion import Complete, offering
from aqa.config.flags import BY_KEY
from aqa.config.ranges import Choice, Range


def option(
    names: str,
    text: str,
    metavar: str | None = None,
    panel: str | None = None,
    limits: Range | Choice | None = None,
    offered: Complete | None = None,
) -> Any:
    """Make a flag; with limits it takes such a number, with our own error message."""

    def read(word: Any) -> float | str:
        assert limits is not None
        value = limits.read(str(word))
        if value is None:
            raise typer.BadParameter(f"{word!r} is not {limits}")
        return value

    kind: dict[str, Any] = {"metavar": metavar, "autocompletion": offered}
    if limits is not None:
        kind |= {"metavar": metavar or limits.metavar, "parser": read}
    if isinstance(limits, Choice):
        words = limits.words
        kind["autocompletion"] = offering(lambda: words)
    return typer.Option(*names.split(), help=text, rich_help_panel=panel, **kind)


def of_config(
    key: str,
    limits: Range | Choice | None = None,
    offered: Complete | None = None,
) -> Any:
    """Make the flag of a config option, described as it is there."""
    flag = BY_KEY[key]
    return option(" ".join(flag.names), flag.help, flag.metavar, flag.panel, limits, offered)
