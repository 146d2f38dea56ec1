"""Numbers and words that both flags and Python keywords accept."""

from collections.abc import Collection, Mapping, Sequence
from math import inf
from numbers import Integral, Real
from os import PathLike
from typing import NamedTuple

from aqa.errors import UsageError


class Range(NamedTuple):
    """Numbers from `least` to `most` (None: no limit); whole numbers if `least` is an int."""

    least: float
    most: float | None = None

    @property
    def is_whole(self) -> bool:
        """Whether only whole numbers count."""
        return isinstance(self.least, int)

    @property
    def metavar(self) -> str:
        """What --help shows as the value."""
        return "INTEGER" if self.is_whole else "FLOAT"

    def __str__(self) -> str:
        number = "a whole number" if self.is_whole else "a number"
        if self.most is None:
            return f"{number} of at least {self.least:g}"
        return f"{number} from {self.least:g} to {self.most:g}"

    def holds(self, value: object) -> bool:
        """Whether a value is in the range."""
        is_number = isinstance(value, Integral if self.is_whole else Real)
        is_number &= not isinstance(value, bool)
        most = inf if self.most is None else self.most
        return is_number and self.least <= float(value) <= most  # type: ignore[arg-type]

    def read(self, text: str) -> float | None:
        """Parse a number from the command line; None if it is not in the range."""
        try:
            number = int(text) if self.is_whole else float(text)
        except ValueError:
            return None
        return number if self.holds(number) else None

    def check(self, name: str, value: object) -> None:
        """Raise UsageError unless a keyword is in the range or None."""
        if value is not None and not self.holds(value):
            raise UsageError(f"{name}={value!r}: give {self}")


class Choice(NamedTuple):
    """One of several words."""

    words: Sequence[str]

    @property
    def metavar(self) -> str:
        """What --help shows as the value."""
        return "|".join(self.words)

    def __str__(self) -> str:
        *others, last = map(repr, self.words)
        return f"one of {', '.join(others)} or {last}"

    def read(self, text: str) -> str | None:
        """Return a word from the command line; None if it is not a choice."""
        return text if text in self.words else None

    def check(self, name: str, value: object) -> None:
        """Raise UsageError unless a keyword is one of the words."""
        if value not in self.words:
            raise UsageError(f"{name}={value!r}: give {self}")


POINTS = Range(0.01, 100.0)  # points of a score
LEVEL = Range(50.0, 99.9)  # confidence level in %
LABELS = Range(4)  # number of answers to label
PROMPTS = Range(1)  # number of prompts to show


def check_list(name: str, value: object) -> None:
    """Refuse anything but a list of texts or paths: a bare text would be read letter by letter."""
    many = isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping)
    if many and all(isinstance(item, str | PathLike) for item in value):  # type: ignore[attr-defined]
        return
    like = f", [{value!r}]" if isinstance(value, str) else " of texts"
    raise UsageError(f"{name}={value!r}: give a list{like}")


def check_kind(name: str, value: object, kinds: tuple[type, ...], wanted: str) -> None:
    """Raise UsageError unless a keyword has one of these types, described by `wanted`."""
    if not isinstance(value, kinds):
        raise UsageError(f"{name} is {type(value).__name__}; give {wanted}")
