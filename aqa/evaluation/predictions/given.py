"""Predictions at hand, taken apart as a file of them is."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aqa.data.given import plain
from aqa.data.strict_json import one_line
from aqa.errors import DataError
from aqa.evaluation.predictions.documents import members
from aqa.evaluation.predictions.entries import Entry
from aqa.records import Prediction
from aqa.runs.files import known


@dataclass(frozen=True, slots=True)
class NamedPredictions:
    """Predictions under a name of their own: a file, or answers at hand.

    Answers at hand are texts or `Prediction`s by id, a stream of `Prediction`s, or rows as files
    have them.
    """

    name: str
    found: Path | Mapping[Any, Any] | Iterable[Any]


def given_entries(name: str, given: Mapping[Any, Any] | Iterable[Any]) -> list[Entry]:
    """Give each prediction with its place, for messages; DataError for what no file could hold."""
    if isinstance(given, Mapping):
        plain = {str(key): _plain(value) for key, value in given.items()}
        if any(isinstance(value, Prediction) for value in given.values()):
            return list(_by_id(name, plain))
        is_simple = all(isinstance(value, str | int | float | None) for value in plain.values())
        return list(_by_id(name, plain)) if is_simple else members(Path(name), plain)
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise DataError(
            f"{name}: {type(given).__name__} where a path, a mapping of ids to answers, or a stream"
            " of aqa.Prediction is needed"
        )
    return members(Path(name), [_plain(value) for value in given])


def _by_id(name: str, given: Mapping[str, Any]) -> Iterator[Entry]:
    for key, value in given.items():
        if isinstance(value, dict):
            value = {**value, "id": key}
        yield Entry(f'{name}, id "{one_line(key)}"', value, key)


def _plain(value: Any) -> Any:
    """A prediction as a row of a run folder has it; what else there is stays as it is."""
    if isinstance(value, Prediction):
        parts = {name: getattr(value, name) for name in ("error", "confidence")}
        parts["confidence_kind"] = value.confidence_kind or None
        return {"id": value.id, "predicted_answer": value.text, **known(parts)}
    return plain(value)
