"""The words of a command line, before any of them is understood."""

import re
from collections.abc import Iterator, Sequence

from aqa.config.paths import at_home
from aqa.errors import UsageError

NO_VALUE = re.compile(r"--[a-z][a-z-]*=")
SURROGATE = re.compile(r"[\ud800-\udfff]")  # of bytes that the locale has no character for
HOME = re.compile(r"(--[a-z][a-z-]*=)?(~/.*)", re.DOTALL)


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
