"""Find another answer of the same form: other figures, or a name from another example."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from random import Random

from aqa.metrics.kiwi import analyse
from aqa.metrics.languages import has_hangul, language_of
from aqa.prompting.distractors import sample
from aqa.prompting.stress.figures import MONTH, other_figures
from aqa.records import Example

MOST = 5000  # answers kept
LONGEST = 60  # characters in an answer that can have a type
MOST_WORDS = 8
MOST_LETTERS = 12  # besides figures; a Hangul syllable counts twice
FIGURES, NAME, KOREAN = "figures", "name", "korean name"

HANGUL = re.compile("[가-힣]")
NOT_LETTERS = re.compile(r"[\W\d_]+")
KOREAN_DATE = re.compile(r"\d{3}\s*년|\d\s*월|\d\s*일(?!\s*(?:간|동안))")
MARKS = re.compile(r"""[,"'“”‘’《》〈〉「」『』()&/]|^the\b|\.$""", re.IGNORECASE)
WHO = re.compile(r"\b(?:who|whom|whose)\b|누구|누가|인물|사람")
WHERE = re.compile(
    r"\b(?:where|country|countries|city|cities|state|continent)\b|어디|나라|국가|도시|지역"
)
PREPOSITIONS = {
    "of", "in", "on", "at", "for", "to", "by", "from", "with", "under", "during", "after", "before",
    "between", "through", "near", "as",
}  # fmt: skip
SMALL_WORDS = PREPOSITIONS | {
    "the", "and", "de", "la", "le", "du", "des", "del", "da", "di", "van", "von", "der", "den",
    "al", "el", "bin", "ibn",
}  # fmt: skip
NOUNS = ("NN", "NP", "NR", "SL", "SH", "SN", "XPN", "XSN", "SS", "SP", "SO", "SW", "W_")


@dataclass(frozen=True, slots=True)
class Kind:
    """The type of an answer; for a name also its form, and what the question asks for."""

    name: str
    form: str = ""
    goal: str = ""


def kind_of(answer: str, question: str) -> Kind | None:
    """Recognise figures, such as a date or an amount, and names; None for any other phrase."""
    kind = _likely_kind(answer, question)
    return None if kind is None or (kind.name == KOREAN and not is_noun(answer)) else kind


def _likely_kind(answer: str, question: str) -> Kind | None:
    """The same without Kiwi: any Korean phrase without digits may be a name."""
    text = " ".join(answer.split()).rstrip(".")
    if not text or len(text) > LONGEST or len(text.split()) > MOST_WORDS:
        return None
    if text.count("(") != text.count(")"):
        return None  # a fragment
    if MONTH.fullmatch(text):
        return Kind(FIGURES)
    is_name = _is_name(text)
    if any(map(str.isdigit, text)):
        letters = len(NOT_LETTERS.sub("", text)) + len(HANGUL.findall(text))
        is_date = MONTH.search(text) or KOREAN_DATE.search(text)
        return Kind(FIGURES) if is_name or is_date or letters <= MOST_LETTERS else None
    is_korean = has_hangul((text,))
    if not is_korean and not is_name:
        return None
    question = question.lower()
    goal = "who" if WHO.search(question) else "where" if WHERE.search(question) else ""
    return Kind(KOREAN if is_korean else NAME, _form(answer.strip()), goal)


def _form(name: str) -> str:
    """Describe the number of words, scripts, all-capitals, and marks such as &."""
    letters = sorted(filter(None, {language_of(letter) for letter in name}))
    size = ["large"] if name.isupper() else []
    return " ".join([str(len(name.split())), *letters, *size, *MARKS.findall(name.lower())])


def _is_name(text: str) -> bool:
    """Whether all words are capitalised or numbers, except small words."""
    words = [word.strip("\"'()“”‘’,") for word in text.split()]
    if words[0].lower() in PREPOSITIONS:
        return False
    large = [word for word in words if word.lower() not in SMALL_WORDS]
    capital = [word[:1].isupper() for word in large]
    return any(capital) and all(
        is_capital or word[:1].isdigit() for is_capital, word in zip(capital, large, strict=True)
    )


@lru_cache(maxsize=1 << 14)
def is_noun(text: str) -> bool:
    """Whether a Korean phrase consists of nouns, at least one of them a proper noun."""
    tags = [token.tag for token in analyse(text)]
    return "NNP" in tags and all(tag.startswith(NOUNS) for tag in tags)


class OtherAnswers:
    """A sample of the distinct names among the answers of all examples, by form."""

    def __init__(self, examples: Iterable[Example]) -> None:
        rows = ((example.answers[0], example.question) for example in examples if example.answers)
        likely = ((answer, _likely_kind(answer, question)) for answer, question in rows)
        named = ((text.casefold(), (text, kind)) for text, kind in likely if kind and kind.form)
        self._by_form: dict[str, dict[str, list[str]]] = {}
        for answer, kind in sample(named, MOST):
            self._by_form.setdefault(kind.form, {}).setdefault(kind.goal, []).append(answer)

    def like(self, answer: str, kind: Kind, random: Random, most: int) -> Iterator[str]:
        """Draw answers of its form; names up to twice `most`, those asked for alike first."""
        if kind.name == FIGURES:
            changed = (other_figures(answer, random) for _ in range(most))
            yield from filter(None, changed)
            return
        names = self._by_form.get(kind.form, {})
        others = [name for goal, group in names.items() if goal != kind.goal for name in group]
        for candidates in (names.get(kind.goal, []), others):
            drawn = random.sample(candidates, min(4 * most, len(candidates)))
            nouns = filter(is_noun, drawn) if kind.name == KOREAN else drawn
            yield from islice(nouns, most)
