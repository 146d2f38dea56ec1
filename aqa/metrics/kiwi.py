"""Korean morphemes by Kiwi, from the extra `korean`."""

from functools import cache, lru_cache
from typing import Any, Protocol

from aqa.errors import MissingExtraError
from aqa.metrics.languages import is_of_a_word


def has_kiwi() -> bool:
    """Whether Kiwi is installed."""
    from importlib.util import find_spec

    return find_spec("kiwipiepy") is not None


def kiwi_version() -> str:
    """Return Kiwi's version, for signatures."""
    from importlib.metadata import version

    return version("kiwipiepy")


@cache
def load_kiwi() -> Any:
    """Load Kiwi's model once, in about a second; MissingExtraError if it is not installed."""
    try:
        from kiwipiepy import Kiwi
    except ImportError as error:
        raise MissingExtraError("kiwipiepy", "korean") from error
    return Kiwi(num_workers=1)


class Morpheme(Protocol):
    """A morpheme found by Kiwi: its text, part of speech and position."""

    form: str
    tag: str
    start: int
    len: int


def analyse(text: str) -> list[Morpheme]:
    """Find the morphemes of a text."""
    return list(load_kiwi().tokenize(text))


@lru_cache(maxsize=1 << 17)
def morphemes(text: str) -> tuple[str, ...]:
    """Split a text into morphemes; cached, since several metrics use the same texts.

    Punctuation is dropped unless there is nothing else. Some names of several words are one
    morpheme and lose their spaces.
    """
    forms = tuple(token.form.replace(" ", "") for token in analyse(text))
    return drop_punctuation(forms)


def drop_punctuation(tokens: tuple[str, ...]) -> tuple[str, ...]:
    """Drop punctuation unless there is nothing else."""
    return tuple(part for part in tokens if any(map(is_of_a_word, part))) or tokens
