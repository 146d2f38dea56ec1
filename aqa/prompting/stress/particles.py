"""Make Korean particles agree with the word before them, by Kiwi's rules."""

import re
from functools import lru_cache

from aqa.metrics.kiwi import analyse, load_kiwi

# Well-known nouns stand in for the word before a particle: only its ending matters, and Kiwi
# never mistakes a particle for part of these.
NO_CONSONANT, RIEUL, CONSONANT = "나무", "서울", "사람"
FIRST, SYLLABLES, FINALS, FINAL_RIEUL = 0xAC00, 11172, 28, 8  # of composed Hangul in Unicode
DIGITS = {  # 0 also ends 십, 백, 천 and 만, which agree like 영
    **dict.fromkeys("036", CONSONANT),
    **dict.fromkeys("178", RIEUL),
    **dict.fromkeys("2459", NO_CONSONANT),
}
LATIN = {  # lower-case letters end foreign words; capitals are read by name
    **dict.fromkeys("lLR", RIEUL),
    **dict.fromkeys("mnkptcgbMN", CONSONANT),
}
LETTER = re.compile(r"[^\W_]")
PARTICLES = ("JKS", "JKC", "JKG", "JKO", "JKB", "JKV", "JKQ", "JX", "JC", "VCP", "E")
PLURAL = ("들", "XSN")


def agreeing(ending: str, old: str, new: str) -> str | None:
    """Return the particles of `ending`, which followed `old`, in the form that follows `new`.

    None if `ending` is neither particles nor a copula, but part of a longer word.
    """
    return _agreeing(ending, _like(old), _like(new)) if ending else ""


@lru_cache(maxsize=4096)
def _agreeing(ending: str, old: str, new: str) -> str | None:
    tokens = analyse(old + ending)
    first, rest = tokens[:1], tokens[1:]
    if not rest or first[0].form != old or rest[0].start != len(old):
        return None
    if not all(part.tag.startswith(PARTICLES) or (part.form, part.tag) == PLURAL for part in rest):
        return None
    if old == new:
        return ending
    morphemes = [(new, "NNG"), *((part.form, part.tag) for part in rest)]
    joined: str = load_kiwi().join(morphemes)
    return joined.removeprefix(new) if joined.startswith(new) else None


def _like(word: str) -> str:
    """Return the noun that ends in the same kind of sound as a word."""
    letters = LETTER.findall(word)
    last = letters[-1] if letters else ""
    if 0 <= (code := ord(last or " ") - FIRST) < SYLLABLES:
        final = code % FINALS
        if final == FINAL_RIEUL:
            return RIEUL
        return CONSONANT if final else NO_CONSONANT
    return DIGITS.get(last) or LATIN.get(last, NO_CONSONANT)
