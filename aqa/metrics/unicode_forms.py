"""Composed and decomposed Unicode: Korean from macOS looks the same and is not equal."""

import unicodedata
from collections.abc import Callable

from aqa.errors import UsageError
from aqa.metrics.pairs import Pairs

Form = Callable[[str], str]
_FORMS: dict[str, Form] = {
    "none": lambda text: text,
    "nfc": lambda text: unicodedata.normalize("NFC", text),
}


def unicode_form(name: str) -> Form:
    """Give the function that puts a text in the form: "none" leaves it as it is, or "nfc"."""
    if name not in _FORMS:
        raise UsageError(f'there is no normalization "{name}"; use none or nfc')
    return _FORMS[name]


def count_mixed(pairs: Pairs) -> int:
    """Count the examples in which one side is composed (NFC) and the other decomposed (NFD)."""
    return sum(
        prediction is not None
        and {_is_composed(prediction), *map(_is_composed, texts)} >= {True, False}
        for prediction, texts in zip(pairs.predictions, pairs.references, strict=True)
    )


def _is_composed(text: str) -> bool | None:
    """Tell NFC from NFD; None for a text that is the same in both."""
    if not unicodedata.is_normalized("NFC", text):
        return False
    return None if unicodedata.is_normalized("NFD", text) else True
