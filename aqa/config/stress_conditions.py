"""Conditions of a stress test: the same questions asked under changed evidence."""

from collections.abc import Iterable
from difflib import get_close_matches

from aqa.errors import UsageError

PLAIN = "plain"  # the evidence as it is
PLACES = ("first", "middle", "last")
NOISE = (0, 2, 5, 10, 20)  # hard passages around the gold ones
FAMILIES = {
    "position": tuple(f"position-{place}" for place in PLACES),
    "noise": tuple(f"noise-{number}" for number in NOISE),
    "missing": ("missing",),
    "conflict": ("conflict",),
    "two_sources": ("two_sources",),
    "duplicate": ("duplicate",),
}
CONDITIONS = tuple(name for family in FAMILIES.values() for name in family)


def parse_conditions(text: str) -> list[str]:
    """Parse `position,noise,missing` (conditions or families) without duplicates; or UsageError."""
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError(f"--stress names no condition; choose among {', '.join(FAMILIES)}")
    return list(dict.fromkeys(condition for name in names for condition in _members(name)))


def _members(name: str) -> Iterable[str]:
    if name in FAMILIES:
        return FAMILIES[name]
    if name in CONDITIONS:
        return (name,)
    raise UsageError(f"--stress: {unknown_condition(name, (*FAMILIES, *CONDITIONS))}")


def unknown_condition(name: str, conditions: Iterable[str]) -> str:
    """Say that a condition is unknown, and which one was probably meant."""
    names = list(dict.fromkeys(conditions))
    near = get_close_matches(name.replace(" ", "_"), names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"choose among {', '.join(names)}"
    return f"there is no condition {name!r}; {hint}"
