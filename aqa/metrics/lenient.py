"""EM and F1 for Korean that forgive a particle or a copula at the end of an answer."""

import string
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from aqa.errors import UsageError
from aqa.metrics.base import MetricOptions
from aqa.metrics.kiwi import kiwi_version, load_kiwi
from aqa.metrics.languages import KOREAN
from aqa.metrics.pairs import Pairs
from aqa.records import Score

_MARKS = string.punctuation + "。．…！？ "


class Lenient:
    """Exact match by the profile korquad, without the particle or copula of the last word."""

    name = "lenient"
    second = False

    def __init__(self, options: MetricOptions) -> None:
        """Need no option."""

    def score(self, pairs: Pairs) -> Score:
        """Score every pair.

        Raises:
            UsageError: no example is Korean.
            MissingExtraError: Kiwi is not installed.
        """
        if KOREAN not in pairs.languages:
            raise UsageError(f"{self.name} is for Korean answers; take em and f1 for these")
        load_kiwi()
        predictions: list[str | None] = []
        references: list[Sequence[str]] = []
        for text, expected in zip(pairs.predictions, pairs.references, strict=True):
            # Of a missing answer, or one that is right to the letter, nothing need be cut.
            is_settled = text is None or text in expected
            predictions.append(text if is_settled else without_particle(text or ""))
            references.append(expected if is_settled else list(map(without_particle, expected)))
        stripped = Pairs(predictions, references, "korquad")
        details = f"profile:korquad|particles:off|kiwi:{kiwi_version()}"
        return pairs.score(self.name, stripped.agreement[self.second], details)


class LenientF1(Lenient):
    """F1 over characters, with the same forgiveness."""

    name = "lenient_f1"
    second = True


@lru_cache(maxsize=1 << 17)
def without_particle(text: str) -> str:
    """Cut the particles (J*) or the copula (VCP with its ending) off the last word.

    Only what follows another morpheme without a space goes: 이도 in `세종대왕 이도` is a name. Text
    in decomposed Unicode stays as it is, for Kiwi reads composed letters.
    """
    answer = text.rstrip(_MARKS)
    if not answer or not unicodedata.is_normalized("NFC", answer):
        return text
    tokens = list(load_kiwi().tokenize(answer))
    word = len(answer) - len(answer.split()[-1])
    kept = len(tokens)
    while kept and tokens[kept - 1].tag.startswith("J"):
        kept -= 1
    if kept == len(tokens):
        kept = _before_copula([token.tag for token in tokens])
    if kept == len(tokens) or not kept or tokens[kept].start <= word:
        return text
    return answer[: tokens[kept].start]


def _before_copula(tags: list[str]) -> int:
    """Count the tokens before a final copula; all of them where there is none."""
    place = len(tags)
    while place and tags[place - 1] in ("EF", "EC", "EP"):
        place -= 1
    is_copula = 0 < place < len(tags) and tags[place - 1] == "VCP"
    return place - 1 if is_copula else len(tags)
