"""The application: its commands hold their signatures, gather their words and call their verbs."""

from typing import Annotated

import typer

from aqa.cli import evaluate, predict, preview, train

app = typer.Typer(
    name="aqa",
    help="Fine-tune, run and compare generative readers on the same evidence.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (train, predict, evaluate, preview):
    app.add_typer(command.app)


@app.callback(invoke_without_command=True)
def about(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    """Fine-tune, run and compare generative readers on the same evidence."""
    if version:
        from aqa.version import __version__

        typer.echo(__version__)
