"""One prediction, independent of its file's format."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import Any, Self

from aqa.metrics.pairs import Citation
from aqa.runs.journal_rows import finite
from aqa.runs.shelf import Shelf


class Shelved(Mapping[str, Any]):
    """The columns of one row, read from a shelf on access; a copy holds them in memory."""

    __slots__ = ("_offset", "_shelf")

    def __init__(self, shelf: Shelf, columns: Mapping[str, Any]) -> None:
        self._shelf, self._offset = shelf, shelf.put(columns)

    def __getitem__(self, name: str) -> Any:
        return self._columns()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns())

    def __len__(self) -> int:
        return len(self._columns())

    def get(self, name: str, default: Any = None) -> Any:
        """Return a column, or the default."""
        return self._columns().get(name, default)

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (self._columns(),)

    def _columns(self) -> dict[str, Any]:
        columns: dict[str, Any] = self._shelf.get(self._offset)
        return columns


@dataclass(frozen=True, slots=True)
class AnsweredRow:
    """One prediction. `prediction` is None if there is none; `failed` if it is an error.

    `answers` are the file's own references: () means unanswerable, None that it has none.
    `metadata` holds the other columns. `column` is where the answer was found: "" for none, None
    if its name or the user makes it certain to be the answer. `confidence` is None, and its kind
    "", if the file has no usable one.
    """

    id: str
    prediction: str | None
    answers: tuple[str, ...] | None = None
    failed: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    column: str | None = field(default="", compare=False)
    confidence: float | None = field(init=False, compare=False)
    confidence_kind: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        confidence = None if self.prediction is None else finite(self.metadata.get("confidence"))
        kind = None if confidence is None else self.metadata.get("confidence_kind")
        object.__setattr__(self, "confidence", confidence)
        object.__setattr__(self, "confidence_kind", intern(kind) if isinstance(kind, str) else "")

    def on(self, shelf: Shelf) -> Self:
        """Move the metadata to a shelf; return the row itself."""
        object.__setattr__(self, "metadata", Shelved(shelf, self.metadata))
        return self


def question_of(rows: Iterable[AnsweredRow | None]) -> str:
    """Return the question from the first row that has one; "" if none has."""
    questions = (row.metadata.get("question") for row in rows if row is not None)
    return next((str(text) for text in questions if isinstance(text, str | int) and text), "")


def evidence_of(row: AnsweredRow | None) -> Mapping[str, Any]:
    """Return what the row says about the evidence that its reader saw; may be empty.

    Any file may have a column of that name, so values that our journals would not have are
    ignored.
    """
    evidence = row.metadata.get("evidence") if row is not None else None
    if not isinstance(evidence, dict):
        return {}
    return {name: value for name, value in evidence.items() if _is_ours(name, value)}


def citation_of(row: AnsweredRow | None, is_answerable: bool) -> Citation | None:
    """Return the passages that the answer cites; None if the row does not say."""
    stored = row.metadata.get("evidence") if row is not None else None
    if not isinstance(stored, dict) or "named_ranks" not in stored:  # as of most readers
        return None
    evidence = evidence_of(row)
    named, gold = evidence.get("named_ranks"), evidence.get("gold_ranks")
    if named is None or (gold is None and is_answerable):
        return None
    read = evidence.get("ranks", gold)
    return Citation(frozenset(named), frozenset(gold or ()) & frozenset(read or ()))


def _is_ours(name: str, value: object) -> bool:
    """Whether an evidence field has the type that `aqa.runs.journal` writes."""
    if name in ("ranks", "gold_ranks", "named_ranks"):
        return isinstance(value, list) and all(type(rank) is int for rank in value)
    if name == "ids":
        return isinstance(value, list) and all(isinstance(key, str | None) for key in value)
    if name == "dropped":
        return isinstance(value, dict)
    return type(value) is (bool if name == "gold_in_evidence" else int)
