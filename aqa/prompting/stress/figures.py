"""Change the figures of an answer in place, so that its form and unit stay."""

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from random import Random

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
_NAME = rf"(?:{'|'.join((*MONTHS, 'Sept', *(name[:3] for name in MONTHS)))})\b"
_YEAR = r"(?<![$€£¥₩\d.,])(?:1\d|20)\d\d(?!\d|[.,]\d)"
_MONTH = (  # alone or next to a number: "may" and "march" are also verbs
    rf"(?i:\A{_NAME}\Z|\b{_NAME}(?=\.?,?\s(?:of\s)?\d)"
    rf"|(?:(?<=\d\s)|(?<=\d[srnt][tdh]\s)|(?<=\d[srnt][tdh]\sof\s)){_NAME})"
)
MONTH = re.compile(_MONTH)
# Patterns of the sorts of figures, the most specific first, then the range of those that have one.
SORTS = {
    "name": _MONTH,
    "decade": rf"{_YEAR}(?=s\b|\s*년대)",
    "year": rf"{_YEAR}(?:(?=\s*년|\s*[-–~/]|\s(?:to|and|or|until)\s\d)|(?!\s*(?:%|[a-z가-힣])))",
    "month": r"\d{1,2}(?=\s*월)",
    "day": r"\d{1,2}(?=\s*일(?!\s*(?:간|동안)))",
    "hour": r"\d{1,2}(?=\s*시(?!\s*간)|:\d\d(?!\d))",
    "minute": r"\d{1,2}(?=\s*[분초])|(?<=\d:)\d\d(?!\d)",
    "century": r"\d{1,2}(?=\s*세기|(?:st|nd|rd|th)[\s-]centur)",
    "share": r"(?<![\d.,])\d{1,3}(?=\s*(?:%|per ?cent|퍼센트))",
    "number": r"\d+(?:[.,]\d+)*",
}
RANGES = {"month": 12, "day": 28, "hour": 12, "minute": 59, "century": 20, "share": 99}
FIGURES = re.compile("|".join(f"(?P<{sort}>{pattern})" for sort, pattern in SORTS.items()))
LATEST, APART = 2025, 50  # the last year, and how far a new one is from the old one at most
ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)\b")
ENDINGS = {1: "st", 2: "nd", 3: "rd"}
TRIED = 100


def other_figures(text: str, random: Random) -> str | None:
    """Return a text with other figures, or None if there are none to change.

    The number of digits, trailing zeros and the order of sizes are kept, years stay near, and
    months and hours are possible ones. Equal figures stay equal.
    """
    matches = list(FIGURES.finditer(text))
    choices_of = {_key(match): _choices(match) for match in matches}
    for _ in range(TRIED if choices_of else 0):
        changed = {key: _draw(key[1], choices, random) for key, choices in choices_of.items()}
        if all(old != new for (_, old), new in changed.items()) and _keeps_order(changed):
            for match in reversed(matches):
                text = text[: match.start()] + changed[_key(match)] + text[match.end() :]
            return ORDINAL.sub(lambda match: _ordinal(int(match[1])), text)
    return None


def _key(match: re.Match[str]) -> tuple[str, str]:
    """The sort of the figures, and the figures; a short number next to a month's name is a day."""
    sort, old = match.lastgroup or "", match[0]
    is_day = sort == "number" and old.isdigit() and len(old) < 3 and MONTH.search(match.string)
    return "day" if is_day else sort, old


def _choices(match: re.Match[str]) -> Sequence[str]:
    """What may take the place of figures; nothing in particular for numbers."""
    sort, old = _key(match)
    if sort == "name":
        names = MONTHS if old.title() in MONTHS else [name[:3] for name in MONTHS if name != "May"]
        change = str.upper if old.isupper() else str.lower if old.islower() else str.title
        return list(map(change, names))
    if sort in ("year", "decade"):
        step = 10 if sort == "decade" and old.endswith("0") else 1
        years = range(int(old) - APART, int(old) + APART + 1, step)
        return [str(year) for year in years if 1000 <= year <= LATEST]
    width = len(old) if old.startswith("0") else 1
    return [f"{number:0{width}}" for number in range(1, RANGES.get(sort, 0) + 1)]


def _draw(old: str, choices: Sequence[str], random: Random) -> str:
    """Draw a replacement, of the same length if possible; the old figures if there is none."""
    if not choices:
        return _other_number(old, random)
    distance = {choice: abs(len(choice) - len(old)) for choice in choices if choice != old}
    least = min(distance.values(), default=0)
    return random.choice([choice for choice in distance if distance[choice] == least] or [old])


def _keeps_order(changed: Mapping[tuple[str, str], str]) -> bool:
    """Whether numbers of the same length are larger and smaller than each other as before."""
    return all(
        (old_a < old_b) == (new_a < new_b)
        for ((_, old_a), new_a), ((_, old_b), new_b) in combinations(changed.items(), 2)
        if old_a[0].isdigit() and old_b[0].isdigit() and len(old_a) == len(old_b)
    )


def _other_number(old: str, random: Random) -> str:
    """Draw a number with the same leading and trailing zeros and separators."""
    digits = "".join(filter(str.isdigit, old))
    first = min(len(digits) - 1, len(digits) - len(digits.lstrip("0")))
    last = max(first + 1, len(digits.rstrip("0")))
    new = [random.choice("0123456789") for _ in range(first, last)]
    # What is counted by one digit may be in the plural.
    new[0], new[-1] = (random.choice("123456789"[len(digits) == 1 :]) for _ in "12")
    replacement = iter([*digits[:first], *new, *digits[last:]])
    return "".join(next(replacement) if letter.isdigit() else letter for letter in old)


def _ordinal(number: int) -> str:
    return f"{number}{ENDINGS.get(number % 10, 'th') if number % 100 // 10 != 1 else 'th'}"
