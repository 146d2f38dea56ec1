"""What members answered, as an ensemble takes it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any

from aqa.spent import Spent

Candidate = tuple[str, float | None]  # a text and how sure its reader is of it


@dataclass(frozen=True, slots=True)
class MemberAnswer:
    """A member's answer to one question: `candidates` are texts, the best first, () of a failure.

    `spent` is what it took, `tokens` are those of its prompt and answer; `is_new` tells that this
    run asked for it.
    """

    candidates: tuple[Candidate, ...] = ()
    error: str = ""
    spent: Spent | None = None
    tokens: tuple[int, int] = (0, 0)
    is_new: bool = False


def read_answer(text: str | None, row: Mapping[str, Any], is_new: bool = False) -> MemberAnswer:
    """Take the answer of a journal's line, or of a row of any file of predictions."""
    tokens, spent = row.get("tokens"), row.get("spent")
    counts = tokens if isinstance(tokens, dict) else {}
    return MemberAnswer(
        () if text is None else tuple(_candidates(text, row)),
        str(row.get("error") or ""),
        _spent(spent) if isinstance(spent, dict) else None,
        (counts.get("prompt", 0), counts.get("answer", 0)),
        is_new,
    )


def candidates_of(answers: Sequence[MemberAnswer | None], most: int) -> list[Candidate | None]:
    """The candidates of all members to one question, so many of each; None where there is none."""
    found: list[Candidate | None] = []
    for answer in answers:
        own = () if answer is None else answer.candidates[:most]
        found += [*own, *[None] * (most - len(own))]
    return found


def _candidates(text: str, row: Mapping[str, Any]) -> Iterator[Candidate]:
    """The answer itself, then what else the reader would have said."""
    yield text, _number(row.get("confidence"))
    others = row.get("nbest")
    is_left_out = False  # the answer itself, which is among them
    for other in others if isinstance(others, list) else ():
        said = other.get("answer") if isinstance(other, dict) else None
        if said == text and not is_left_out:
            is_left_out = True
        elif isinstance(said, str):
            yield said, _number(other.get("score"))


def _spent(found: Mapping[str, Any]) -> Spent:
    """Read what it took; other tools' files may hold something else under that name."""
    numbers = {field.name: _number(found.get(field.name)) for field in fields(Spent)}
    cost = numbers.pop("cost")
    return Spent(cost=cost, **{name: int(number or 0) for name, number in numbers.items()})


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if isfinite(value) else None
    except OverflowError:  # a whole number that no float holds
        return None
