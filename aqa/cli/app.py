"""The application: its commands hold their signatures, gather their words and call their verbs.

No word of a command line is understood before it was `readied`.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from aqa.cli import evaluate, predict, preview, train
from aqa.config.paths import at_home
from aqa.errors import UsageError

NO_VALUE = re.compile(r"--[a-z][a-z-]*=")
SURROGATE = re.compile(r"[\ud800-\udfff]")  # of bytes that the locale has no character for
HOME = re.compile(r"(--[a-z][a-z-]*=)?(~/.*)", re.DOTALL)

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


def readied(words: Sequence[str]) -> Iterator[str]:
    """Give each word, with the home folder where a shell left a ~: in quotes, or behind a =.

    Raises:
        UsageError: one is empty, as variables are that are not set; a path would be that of the
            folder one works in. Or its bytes are no text.
    """
    for before, word in zip(["aqa", *words], words, strict=False):
        if not word or NO_VALUE.fullmatch(word):
            what = word or f"the word behind {before}"
            raise UsageError(f"{what} is empty; give a value, or check that its variable is set")
        if SURROGATE.search(word):
            raise UsageError(
                f"{word!r} is not UTF-8; set LC_ALL=C.UTF-8, or rename the file if that is its name"
            )
        found = HOME.fullmatch(word)
        yield f"{found[1] or ''}{at_home(found[2])}" if found else word
