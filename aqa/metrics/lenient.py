"""EM and F1 for Korean that ignore spaces, and a particle or copula at the end of an answer."""

import re
import string
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from aqa.errors import UsageError
from aqa.metrics.kiwi import Morpheme, analyse, kiwi_version, load_kiwi
from aqa.metrics.languages import HANGUL_LETTERS, KOREAN
from aqa.metrics.normalize import PROFILES, choose_profile, f1
from aqa.metrics.pairs import Pairs
from aqa.records import Score

_KORQUAD = PROFILES["korquad"]
_MARKS = string.punctuation + "。．…！？ "
_SPACE = re.compile(f"(?<=[{HANGUL_LETTERS}]) | (?=[{HANGUL_LETTERS}])")
# Particles that mark the answer's grammatical role, then those of place, time or recipient. All
# others (만, 도, 보다) change the meaning.
_PLAIN = ("이", "가", "께서", "은", "는", "을", "를", "의", "요")
_ROLES = (
    "에", "에서", "에게", "에게서", "한테", "한테서", "께", "로", "으로", "으로서", "로서", "부터",
    "까지", "와", "과", "랑", "이랑", "하고", "이라고", "라고", "로부터", "으로부터", "에서부터",
    "에게로",
)  # fmt: skip
# Verbs that may follow the copula: 이라고 한다, 인 것으로 알려져 있다.
_SAYING = ("하", "부르", "불리", "알려지", "칭하", "것", "있")
_COUNTED = ("SN", "SL", "SH", "SW", "NNB")  # digits, letters and counters don't end a name


@dataclass(frozen=True, slots=True)
class Reading:
    """A normalised answer without spaces next to Hangul, and the same without its ending.

    `stem` is None without an ending. `role` is the removed particle of place, time or direction,
    "" for others. `is_sure`: the removed ending can't be part of a name.
    """

    whole: str
    stem: str | None = None
    role: str = ""
    is_sure: bool = False


def lenient(name: str, pairs: Pairs) -> Score:
    """Score by `korquad` as EM or ("lenient_f1") F1, ignoring spaces and endings.

    A particle or copula is removed from predictions, and from references only if it can't be part
    of a name. If both have a particle of place or time, it must be the same one. Examples in
    other languages are compared by `squad`.

    Raises:
        UsageError: no example is Korean.
        MissingExtraError: Kiwi is not installed.
    """
    if KOREAN not in pairs.languages:
        raise UsageError(f"{name} is for Korean answers; use em and f1 for these")
    load_kiwi()
    is_graded = name == "lenient_f1"
    forgiving = _graded if is_graded else is_same
    strict = replace(pairs, profile=choose_profile("auto", pairs.languages))
    values = list(strict.agreement[is_graded])
    for index, (prediction, language) in enumerate(
        zip(pairs.predictions, pairs.languages, strict=True)
    ):
        if language == KOREAN and prediction and strict.agreement[0][index] < 100:
            agreements = (100.0 * forgiving(prediction, text) for text in strict.expected[index])
            values[index] = max([values[index], *agreements])
    details = f"profile:{strict.profile_counts}|particles:forgiven|kiwi:{kiwi_version()}"
    return pairs.score(name, values, details)


def _graded(prediction: str, reference: str) -> float:
    if is_same(prediction, reference):
        return 1.0
    stem, whole = parse_answer(prediction).stem, parse_answer(reference).whole
    return f1(_KORQUAD.overlap(stem, whole)) if stem and whole else 0.0


def is_same(prediction: str, reference: str) -> bool:
    """Whether two answers are the same apart from spaces and endings."""
    answered, expected = _closed(prediction), _closed(reference)
    if answered[:1] != expected[:1]:  # then no ending can make them equal
        return False
    answer, gold = parse_answer(prediction), parse_answer(reference)
    if answer.whole == gold.whole or answer.stem == gold.whole:
        return bool(gold.whole)
    if not gold.is_sure or gold.stem not in (answer.whole, answer.stem):
        return False
    return answer.whole == gold.stem or "" in (answer.role, gold.role) or answer.role == gold.role


@lru_cache(maxsize=1 << 17)
def parse_answer(text: str) -> Reading:
    """Parse an answer, finding the particles (J*) or copula (VCP) at its end.

    Text in decomposed Unicode is not parsed, since Kiwi needs composed letters.
    """
    answer = text.rstrip(_MARKS)
    whole = _closed(answer)
    if not whole or not unicodedata.is_normalized("NFC", answer):
        return Reading(whole)
    tokens = analyse(answer)
    end = copula = _before_copula(tokens)
    while end and tokens[end - 1].tag[0] == "J" and tokens[end - 1].form in (*_PLAIN, *_ROLES):
        end -= 1
    if not 0 < end < len(tokens):
        return Reading(whole)
    start = tokens[end].start
    stem, ending = _closed(answer[:start]), "".join(answer[start:].split())
    is_own_word = answer[:start] != answer[:start].rstrip()
    is_part_of_a_letter = tokens[end - 1].start + tokens[end - 1].len > start
    is_short = len(ending) < 2
    if not stem or is_part_of_a_letter or (is_short and (is_own_word or len(stem) < 2)):
        return Reading(whole)
    cut = [token.form for token in tokens[end:copula] if token.form in _ROLES]
    if cut and any(_ends_a_word(token, answer) for token in tokens[:end]):
        return Reading(whole)  # in 백두산에서 한라산까지, the particles belong together
    role = "".join(cut).replace("으로", "로")
    is_sure = not is_short or _is_sure(answer[:start].split(), *tokens[end - 1 : end + 1])
    return Reading(whole, stem, role, is_sure)


def _ends_a_word(token: Morpheme, answer: str) -> bool:
    """Whether a token is a particle of place or time before a space."""
    is_role = token.tag[0] == "J" and token.form in _ROLES
    return is_role and answer[token.start + token.len :][:1] == " "


def _is_sure(words: Sequence[str], last: Morpheme, particle: Morpheme) -> bool:
    """Whether a one-syllable particle after these words can't be part of a name."""
    is_long = len(words[-1]) > (2 if len(words) == 1 else 1)
    is_common = is_long and last.tag == "NNG" and particle.form in _PLAIN
    return is_common or last.tag in _COUNTED


def _before_copula(tokens: Sequence[Morpheme]) -> int:
    """Count the tokens before a final copula or verb of saying; all if there is none."""
    index, end = len(tokens), len(tokens)
    while index:
        token = tokens[index - 1]
        is_saying = token.form in _SAYING and token.tag in ("VV", "VX", "NNB")
        if token.tag == "VCP" or (is_saying and token.tag == "VV"):
            end = index - 1
        elif not (is_saying or token.tag[0] == "E" or _follows_a_noun(tokens, index - 1)):
            break
        index -= 1
    return end


def _follows_a_noun(tokens: Sequence[Morpheme], index: int) -> bool:
    """Whether a token is a particle after 것, or the polite 요."""
    if tokens[index].tag[0] != "J":
        return False
    return tokens[index].form == "요" or tokens[index - 1].form == "것"


def _closed(text: str) -> str:
    return _SPACE.sub("", _KORQUAD.normalize(text))
