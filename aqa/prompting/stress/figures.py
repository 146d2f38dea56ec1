"""Replace the figures in an answer, keeping its form and unit."""

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from random import Random
from typing import NamedTuple

NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
SHORT = tuple(name[:3] for name in MONTHS)
_NAME = rf"(?:{'|'.join((*MONTHS, 'Sept', *SHORT))})\b"
# Alone or next to a number: "may" and "march" are also verbs.
MONTH = re.compile(
    rf"\A{_NAME}\Z|\b{_NAME}(?=\.?,?\s(?:of\s)?\d)"
    rf"|(?:(?<=\d\s)|(?<=\d[srnt][tdh]\s)|(?<=\d[srnt][tdh]\sof\s)){_NAME}",
    re.IGNORECASE,
)
DAY = re.compile(r"(?<![\d.,:$€£¥₩])\d{1,2}(?![.,:]?\d|\s*%)")  # next to a month
YEAR = re.compile(
    r"(?<![$€£¥₩\d.,])(?:1\d|20)\d\d(?!\d|[.,]\d)"
    r"(?:(?=s\b|\s*년|\s*[-–~/]|\s(?:to|and|or|until)\s\d)|(?!\s*(?:%|[a-z가-힣])))"
)
DECADE = re.compile(r"s\b|\s*년대")
LATEST, APART = 2025, 50  # the last year, and the greatest change of a year
# Other numbers with a minimum and maximum, by the text after them.
LIMITED = [
    (re.compile(pattern), low, high)
    for pattern, low, high in (
        (r"\d{1,2}(?=\s*월)", 1, 12),
        (r"\d{1,2}(?=\s*일(?!\s*(?:간|동안)))", 1, 28),
        (r"\d{1,2}(?=\s*시(?!\s*간))", 1, 12),
        (r"\d{1,2}(?=\s*[분초])|(?<=\d:)\d\d(?!\d)", 1, 59),
        (r"\d{1,2}(?=\s*세기|(?:st|nd|rd|th)[\s-]centur)", 2, 20),
        (r"(?<![\d.,])\d{1,3}(?=\s*(?:%|per ?cent|퍼센트))", 1, 99),
    )
]
ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)\b")
ENDINGS = {1: "st", 2: "nd", 3: "rd"}
TRIED = 100


class _Figures(NamedTuple):
    """A number or month to change, and its possible replacements; without `choices` any number."""

    old: str
    choices: tuple[str, ...] = ()

    def other(self, chance: Random) -> str:
        """Draw a replacement of the same length if possible; the old one if there is none."""
        if not self.choices:
            return _other_number(self.old, chance)
        others = [choice for choice in self.choices if choice != self.old]
        apart = [abs(len(choice) - len(self.old)) for choice in others]
        least = min(apart, default=0)
        fitting = [one for one, length in zip(others, apart, strict=True) if length == least]
        return chance.choice(fitting or [self.old])


def other_figures(text: str, chance: Random) -> str | None:
    """Return a text with other figures, or None if there are none to change.

    The number of digits, trailing zeros and the order of sizes are kept; years change little;
    months and hours stay valid. Equal figures stay equal.
    """
    places = _places(text)
    for _ in range(TRIED if places else 0):
        drawn = {figures: figures.other(chance) for figures in places.values()}
        if all(own.old != new for own, new in drawn.items()) and _keeps_order(drawn):
            for start, own in sorted(places.items(), reverse=True):
                text = text[:start] + drawn[own] + text[start + len(own.old) :]
            return ORDINAL.sub(lambda match: _ordinal(int(match[1])), text)
    return None


def _places(text: str) -> dict[int, _Figures]:
    """Find what to change, by position; more specific patterns win."""
    found: dict[int, _Figures] = {}
    taken: set[int] = set()

    def take(match: re.Match[str], choices: Sequence[str]) -> None:
        places = range(*match.span())
        if taken.isdisjoint(places):
            taken.update(places)
            found[match.start()] = _Figures(match[0], tuple(choices))

    for match in MONTH.finditer(text):
        take(match, _months_like(match[0]))
    limited = [(DAY, 1, 28), *LIMITED] if found else LIMITED
    for match in YEAR.finditer(text):
        take(match, _years_like(match[0], bool(DECADE.match(text, match.end()))))
    for pattern, low, high in limited:
        for match in pattern.finditer(text):
            width = len(match[0]) if match[0].startswith("0") else 1
            take(match, [f"{number:0{width}}" for number in range(low, high + 1)])
    for match in NUMBER.finditer(text):
        take(match, ())
    return found


def _keeps_order(drawn: Mapping[_Figures, str]) -> bool:
    return all(
        (one.old < other.old) == (drawn[one] < drawn[other])
        for one, other in combinations(drawn, 2)
        if one.old[0].isdigit() and other.old[0].isdigit() and len(one.old) == len(other.old)
    )


def _months_like(old: str) -> list[str]:
    names = MONTHS if old.title() in MONTHS else [name for name in SHORT if name not in MONTHS]
    change = str.upper if old.isupper() else str.lower if old.islower() else str.title
    return list(map(change, names))


def _years_like(old: str, is_decade: bool) -> list[str]:
    step = 10 if is_decade and old.endswith("0") else 1
    nearest = range(int(old) - APART, int(old) + APART + 1, step)
    return [str(year) for year in nearest if 1000 <= year <= LATEST]


def _other_number(old: str, chance: Random) -> str:
    """Draw a number with the same leading and trailing zeros and separators."""
    digits = "".join(filter(str.isdigit, old))
    first = len(digits) - len(digits.lstrip("0"))
    last = len(digits.rstrip("0"))
    if first >= last:  # zero
        first, last = len(digits) - 1, len(digits)
    new = [chance.choice("0123456789") for _ in range(first, last)]
    new[0], new[-1] = chance.choice("123456789"), chance.choice("123456789")
    if len(digits) == 1:
        new = [chance.choice("23456789")]  # not 1, since the noun may be plural
    drawn = iter([*digits[:first], *new, *digits[last:]])
    return "".join(next(drawn) if letter.isdigit() else letter for letter in old)


def _ordinal(number: int) -> str:
    return f"{number}{ENDINGS.get(number % 10, 'th') if number % 100 // 10 != 1 else 'th'}"
