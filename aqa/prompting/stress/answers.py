"""Other examples' answers by type, to replace a date by a date or a name by a name."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from random import Random

from aqa.metrics.kiwi import analyse
from aqa.metrics.languages import has_hangul
from aqa.prompting.other_passages import sample
from aqa.records import Example

MOST = 5000  # answers kept
LONGEST = 60  # characters in an answer that can have a type
MOST_WORDS, LETTERS_OF_UNIT = 8, 12
KOREAN = "korean name"

NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
BEGINS_AS_NUMBER = re.compile(r"[-+~≈$€£¥₩]*\d")
NOT_LETTERS = re.compile(r"[\W\d_]+")
MONTH = re.compile(
    r"\b(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b"
)
KOREAN_DATE = re.compile(r"\d{3}\s*년|\d\s*월|\d\s*일(?!\s*(?:간|동안))")
YEAR = re.compile(r"(?:1\d|20)\d\d")
WHO = re.compile(r"\b(?:who|whom|whose)\b|누구|누가|인물|사람")
WHERE = re.compile(
    r"\b(?:where|country|countries|city|cities|state|continent)\b|어디|나라|국가|도시|지역"
)
SMALL_WORDS = {
    "of", "the", "and", "de", "la", "le", "du", "des", "del", "da", "di", "van", "von", "der",
    "den", "al", "el", "bin", "ibn", "in", "on", "at", "for", "to",
}  # fmt: skip
NOUNS = ("NN", "NP", "NR", "SL", "SH", "SN", "XPN", "XSN", "SS", "SP", "SO", "SW", "W_")


@dataclass(frozen=True, slots=True)
class Kind:
    """The type of an answer and its form: how a number is written, or what kind of name it is."""

    name: str
    form: str


def kind_of(answer: str, question: str) -> Kind | None:
    """Recognise a date, a number or a name, Korean or not; None for any other phrase."""
    kind = _likely_kind(answer, question)
    return None if kind is None or (kind.name == KOREAN and not is_noun(answer)) else kind


def _likely_kind(answer: str, question: str) -> Kind | None:
    """The same without Kiwi: any Korean phrase without digits may be a name."""
    text = " ".join(answer.split()).rstrip(".")
    if not text or len(text) > LONGEST or len(text.split()) > MOST_WORDS:
        return None
    if text.count("(") != text.count(")"):
        return None  # a fragment
    lower = text.lower()
    if YEAR.fullmatch(lower) or MONTH.fullmatch(lower):
        return Kind("date", "year" if lower[0].isdigit() else "month")
    if NUMBER.search(lower):
        form = MONTH.sub("month", NUMBER.sub("0", lower))
        if MONTH.search(lower) or KOREAN_DATE.search(lower):
            return Kind("date", form)
        if BEGINS_AS_NUMBER.match(lower) and len(NOT_LETTERS.sub("", lower)) <= LETTERS_OF_UNIT:
            return Kind("number", form)
    question = question.lower()
    form = "who" if WHO.search(question) else "where" if WHERE.search(question) else ""
    if has_hangul((text,)):
        return Kind(KOREAN, form)
    return Kind("name", form) if _is_name(text) else None


def _is_name(text: str) -> bool:
    """Whether all words are capitalised, except small words and numbers after the first."""
    words = [word.strip("\"'()“”‘’,") for word in text.split()]
    first = words[1:2] if words[0].lower() == "the" else words[:1]
    large = [word for word in words if word.lower() not in SMALL_WORDS]
    are_right = all(word[:1].isupper() or word[:1].isdigit() for word in large)
    # "In 1066" is not a name.
    return are_right and bool(large) and all(word[:1].isupper() for word in (*first, large[0]))


@lru_cache(maxsize=1 << 14)
def is_noun(text: str) -> bool:
    """Whether a Korean phrase consists of nouns, at least one of them a proper noun."""
    tags = [each.tag for each in analyse(text)]
    return "NNP" in tags and all(tag.startswith(NOUNS) for tag in tags)


class OtherAnswers:
    """A sample of the distinct answers of all examples, by type."""

    def __init__(self, examples: Iterable[Example]) -> None:
        found = ((each.answers[0], each.question) for each in examples if each.answers)
        likely = ((answer, _likely_kind(answer, question)) for answer, question in found)
        typed = ((each[0].casefold(), each) for each in likely if each[1] is not None)
        self._by_kind: dict[str, dict[str, list[str]]] = {}
        for answer, kind in sample(typed, MOST):
            assert kind is not None, "others are left out"
            self._by_kind.setdefault(kind.name, {}).setdefault(kind.form, []).append(answer)

    def like(self, kind: Kind, chance: Random, most: int) -> Iterator[str]:
        """Draw up to twice `most` answers of that type, those of the same form first."""
        forms = self._by_kind.get(kind.name, {})
        others = [answer for form, own in forms.items() if form != kind.form for answer in own]
        for answers in (forms.get(kind.form, []), others):
            drawn = chance.sample(answers, min(4 * most, len(answers)))
            yield from islice((a for a in drawn if kind.name != KOREAN or is_noun(a)), most)
