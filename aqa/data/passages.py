"""Passages, and which of them are gold, in all the shapes that rows have them in."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from aqa.data.json_stream import describe
from aqa.data.literals import LIST_OPENING, read_literal
from aqa.errors import DataError

PASSAGE_TEXT = ("text", "context", "contents")
PASSAGE_ID = ("id", "document_id", "docid", "passage_id")
GOLD_MARKS = ("isgold", "is_gold")
GOLD_IDS = ("gold_ids", "positive_ids")
GOLD_PASSAGES = ("positive_passages", "positive_ctxs")

HIGHEST_RANK = 1 << 53  # above it floating point numbers are not exact


@dataclass(frozen=True, slots=True)
class Listed:
    """A passage as a row lists it; `text` is None where only its id stands there."""

    text: str | None = None
    title: str = ""
    id: str | None = None
    score: float | None = None
    rank: int | None = None
    gold: bool = False


def list_passages(
    value: object, place: str, only: Listed | None = None, ids_suffice: bool = False
) -> list[Listed]:
    """Read passages: texts, objects, an object of lists, or a single one of these.

    `only` holds what the row says of a passage that is its only one: its title, its id. Where
    `ids_suffice`, an object needs no text, and what is no object is a passage's id.
    """
    if isinstance(value, dict):
        value = _transposed(value, place)
    elif isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        if value is None:
            return []
        raise DataError(f"{place}: {describe(value)} where passages are needed")
    only = only if only is not None and len(value) == 1 else Listed()
    passages = []
    for number, item in enumerate(value, 1):
        if isinstance(item, dict):
            passages.append(_listed(item, number, place, only, ids_suffice))
        elif ids_suffice and isinstance(item, str | int):
            passages.append(Listed(id=str(item)))
        elif isinstance(item, str):
            passages.append(Listed(item, only.title, only.id))
        else:
            raise DataError(f"{place}: passage {number} is {describe(item)}, not a text")
    return passages


def read_written(value: object, what: str, place: str) -> object:
    """Read passages, or their ids, that were written into a text as a list or an object.

    A passage whose own text is an object or a list of something else stays a text.
    """
    found = read_literal(value, what, place, LIST_OPENING)
    items = found if isinstance(found, list) else [found]
    are_passages = all(
        not isinstance(item, dict) or first(item, (*PASSAGE_TEXT, *PASSAGE_ID)) is not None
        for item in items
    )
    return found if are_passages else value


def find_gold(
    row: Mapping[str, object], passages: Sequence[Listed], place: str
) -> tuple[list[Listed], tuple[str, ...]]:
    """Give a row's gold passages, and the ids of gold passages, as far as it says which they are.

    Passages are gold that stand in a column of positive ones, else those marked or named as such.
    """
    named = read_literal(first(row, GOLD_IDS), "the list of gold ids", place)
    ids = [_id(item, place) for item in (named if isinstance(named, list) else [named])]
    gold: list[Listed] = []
    for column in GOLD_PASSAGES:
        value = read_written(row.get(column), f'"{column}"', place)
        gold = gold or list_passages(value, f'{place}, "{column}"', ids_suffice=True)
    gold = gold or [passage for passage in passages if passage.gold]
    if not any(ids):
        ids = [passage.id for passage in gold]
    known = tuple(dict.fromkeys(filter(None, ids)))
    return gold or [passage for passage in passages if passage.id in known], known


def read_score(value: object, what: str, place: str) -> float | None:
    """Read a score; DataError where it is not finite or no number."""
    if value is None:
        return None
    try:
        if isinstance(value, int | float | str) and math.isfinite(score := float(value)):
            return score
    except ValueError:
        pass
    raise DataError(f"{place}: the {what} is {value!r:.40}, which is no number")


def read_rank(value: object, what: str, place: str) -> int | None:
    """Read a rank; DataError where it is no whole number."""
    if value is None:
        return None
    try:
        number = float(value) if isinstance(value, int | float | str) else None
    except (ValueError, OverflowError):
        number = None
    if number is not None and number.is_integer() and abs(number) <= HIGHEST_RANK:
        return int(number)
    raise DataError(f"{place}: the {what} is {value!r:.40}, which is no whole number")


def _listed(
    item: Mapping[str, object], number: int, place: str, only: Listed, ids_suffice: bool
) -> Listed:
    text, passage_id = first(item, PASSAGE_TEXT), first(item, PASSAGE_ID)
    title = item.get("title")
    if not isinstance(text, str) and (not ids_suffice or text is not None or passage_id is None):
        raise DataError(
            f"{place}: passage {number} has no text under {', '.join(PASSAGE_TEXT)}; "
            f"it has {', '.join(item)}"
        )
    return Listed(
        text if isinstance(text, str) else None,
        title if isinstance(title, str) else only.title,
        only.id if passage_id is None else str(passage_id),
        read_score(item.get("score"), f"score of passage {number}", place),
        read_rank(item.get("rank"), f"rank of passage {number}", place),
        any(is_true(item.get(mark)) for mark in GOLD_MARKS),
    )


def _id(value: object, place: str) -> str | None:
    if value is None or isinstance(value, str | int):
        return None if value is None else str(value)
    raise DataError(f"{place}: {describe(value)} among the ids of gold passages; write texts")


def is_true(value: object) -> bool:
    """Tell whether a value of a file means yes."""
    return value is True or value in (1, "1", "true", "True")


def first(item: Mapping[str, object], columns: Iterable[str]) -> object:
    """Give the value of the first of these columns that has one, else None."""
    return next((item[column] for column in columns if item.get(column) is not None), None)


def _transposed(columns: Mapping[str, object], place: str) -> list[object]:
    """Make one object per passage from an object of lists, as data sets on the hub have it."""
    lists = {column: value for column, value in columns.items() if isinstance(value, list)}
    if not isinstance(first(columns, PASSAGE_TEXT), list):
        return [columns]
    if len({len(values) for values in lists.values()}) > 1:
        lengths = ", ".join(f"{len(values)} of {column}" for column, values in lists.items())
        raise DataError(f"{place}: lists of passages that differ in length, {lengths}")
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]
