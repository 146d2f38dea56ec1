"""One prediction, as everything after its file knows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aqa.metrics.pairs import Citation


@dataclass(frozen=True, slots=True)
class AnsweredRow:
    """One prediction. `prediction` is None where there is none, `failed` where it is an error.

    `answers` are the references that the file itself gives: () means unanswerable, None that it
    gives none. `metadata` holds the other columns. `column` is where the answer stood:
    "" where in none, None where it is sure to be the answer, by its name or a user's word.
    """

    id: str
    prediction: str | None
    answers: tuple[str, ...] | None = None
    failed: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    column: str | None = field(default="", compare=False)


def evidence_of(row: AnsweredRow | None) -> Mapping[str, Any]:
    """What the row tells of the evidence that its reader saw; empty where it tells nothing.

    Any file may have a column of that name: what is not as our journals have it is left out.
    """
    found = row.metadata.get("evidence") if row is not None else None
    if not isinstance(found, dict):
        return {}
    return {name: value for name, value in found.items() if _is_ours(name, value)}


def citation_of(row: AnsweredRow | None, is_answerable: bool) -> Citation | None:
    """What the row tells of the passages that its answer goes by; None where it tells nothing."""
    evidence = evidence_of(row)
    named, gold = evidence.get("named_ranks"), evidence.get("gold_ranks")
    if named is None or (gold is None and is_answerable):
        return None
    seen = evidence.get("ranks", gold)
    return Citation(frozenset(named), frozenset(gold or ()) & frozenset(seen or ()))


def _is_ours(name: str, value: object) -> bool:
    """Tell whether a fact of the evidence has the type that `aqa.runs.journal` writes it in."""
    if name in ("ranks", "gold_ranks", "named_ranks"):
        return isinstance(value, list) and all(type(rank) is int for rank in value)
    if name == "ids":
        return isinstance(value, list) and all(isinstance(key, str | None) for key in value)
    if name == "dropped":
        return isinstance(value, dict)
    return type(value) is (bool if name == "gold_in_evidence" else int)
