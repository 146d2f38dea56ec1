"""Korean morphemes by Kiwi, which the extra `korean` brings."""

from functools import cache, lru_cache
from typing import Any

from aqa.errors import MissingExtraError


def has_kiwi() -> bool:
    """Tell whether Kiwi is installed."""
    from importlib.util import find_spec

    return find_spec("kiwipiepy") is not None


def kiwi_version() -> str:
    """Give the version, for signatures."""
    from importlib.metadata import version

    return version("kiwipiepy")


@cache
def load_kiwi() -> Any:
    """Load Kiwi's model once; it takes about a second.

    Raises:
        MissingExtraError: Kiwi is not installed.
    """
    try:
        from kiwipiepy import Kiwi
    except ImportError as error:
        raise MissingExtraError("kiwipiepy", "korean") from error
    return Kiwi(num_workers=1)


@lru_cache(maxsize=1 << 17)
def morphemes(text: str) -> tuple[str, ...]:
    """Part a text into morphemes; it is kept, for several metrics ask for the same texts."""
    return tuple(token.form for token in load_kiwi().tokenize(text))
