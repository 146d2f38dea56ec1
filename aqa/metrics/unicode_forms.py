"""Unicode normalisation of texts that look alike but differ, and warnings about them."""

import re
import unicodedata
from collections.abc import Callable, Iterator

from aqa.errors import UsageError
from aqa.metrics.pairs import Pairs

Form = Callable[[str], str]

# Characters without width or a glyph; then full-width digits and Latin letters (and ％＋－) and
# characters that stand for several: ², ½, Ⅳ, ①, ㈜, ㎞, half-width Katakana and Hangul.
_UNSEEN = re.compile("[\u00ad\u115f\u1160\u200b-\u200f\u2060-\u2064\ufeff]")
_WIDE = re.compile(
    "[\u00b2\u00b3\u00b9\u00bc-\u00be\u2103\u2150-\u217f\u2460-\u24ff\u3200-\u33ff"
    "\uff05\uff0b\uff0d\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\uff61-\uffdc]"
)


_FORMS: dict[str, Form] = {
    "none": lambda text: text,
    "nfc": lambda text: unicodedata.normalize("NFC", text),
    "nfkc": lambda text: _UNSEEN.sub("", unicodedata.normalize("NFKC", text)),
}


def unicode_form(name: str) -> Form:
    """Return the function that normalises a text.

    "none" leaves it unchanged; "nfc" composes letters; "nfkc" also makes full-width letters and
    digits plain and removes characters without width.
    """
    if name not in _FORMS:
        raise UsageError(f'unknown normalization "{name}"; use {", ".join(_FORMS)}')
    return _FORMS[name]


def form_warnings(pairs: Pairs) -> Iterator[str]:
    """Warn of examples whose prediction and reference differ invisibly."""
    for kind, problem in _KINDS.items():
        count = sum(_differ(pairs, index, kind) for index in range(len(pairs.references)))
        if count:
            examples = f"{count} example{'s' * (count != 1)}"
            yield f"in {examples} one of prediction and reference {problem}"


def _differ(pairs: Pairs, index: int, kind: Callable[[str], bool | None]) -> bool:
    """Whether all references of an example are of the other kind than its prediction."""
    prediction = pairs.predictions[index]
    is_kind = None if prediction is None else kind(prediction)
    kinds = set(map(kind, pairs.references[index]))
    return is_kind is not None and is_kind not in kinds and (not is_kind) in kinds


def _is_composed(text: str) -> bool | None:
    """Whether a text is NFC rather than NFD; None if it is both."""
    if text.isascii():
        return None
    if not unicodedata.is_normalized("NFC", text):
        return False
    return None if unicodedata.is_normalized("NFD", text) else True


def _is_plain(text: str) -> bool | None:
    """Whether a text has no characters that `nfkc` changes; None for an empty one."""
    if not text.strip():
        return None
    return text.isascii() or not (_UNSEEN.search(text) or _WIDE.search(text))


_KINDS = {
    _is_composed: "is in decomposed Unicode (NFD) and the other is not; compare with --normalize"
    " nfc",
    _is_plain: "has zero-width characters or full-width digits or letters and the other does not;"
    " compare with --normalize nfkc",
}
