"""How alike two texts are, by the pairs of letters that they share."""

from collections import Counter

from aqa.data.columns import fold


def likeness(first: str, second: str) -> float:
    """Give the share of pairs of letters that two texts have in common, from 0 to 1 (Dice 1945)."""
    pairs, others = _pairs(first), _pairs(second)
    total = pairs.total() + others.total()
    return 2 * (pairs & others).total() / total if total else float(first == second)


def _pairs(text: str) -> Counter[str]:
    letters = fold(text)
    return Counter(letters[place : place + 2] for place in range(len(letters) - 1))
