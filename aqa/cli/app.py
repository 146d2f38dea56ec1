"""The Typer application, to which each command adds its signature and calls its verb.

Command-line words must go through `prepare_words` before they are parsed.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from aqa.cli import evaluate, predict, preview, train
from aqa.config.paths import expand_home
from aqa.errors import UsageError

NO_VALUE = re.compile(r"--[a-z][a-z-]*=")
SURROGATE = re.compile(r"[\ud800-\udfff]")  # from bytes that the locale can't decode
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


def prepare_words(words: Sequence[str]) -> Iterator[str]:
    """Yield each word, expanding a ~ that the shell left: in quotes or after =.

    Raises:
        UsageError: a word is empty, as from an unset variable (an empty path would mean the
            current folder), or its bytes are not text.
    """
    for before, word in zip(["aqa", *words], words, strict=False):
        if not word or NO_VALUE.fullmatch(word):
            what = word or f"the word after {before}"
            raise UsageError(f"{what} is empty; give a value, or check that its variable is set")
        if SURROGATE.search(word):
            raise UsageError(
                f"{word!r} is not UTF-8; set LC_ALL=C.UTF-8, or rename the file if that is its name"
            )
        match = HOME.fullmatch(word)
        yield f"{match[1] or ''}{expand_home(match[2])}" if match else word
