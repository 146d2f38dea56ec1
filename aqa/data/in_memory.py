"""Read data in memory as rows with the same columns as files."""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from aqa.config.in_memory_data import InMemoryData
from aqa.data.columns import COLUMNS, fold
from aqa.data.documents import rows_in
from aqa.data.files import Row
from aqa.data.json_stream import describe
from aqa.data.passages import GOLD_IDS, GOLD_PASSAGES
from aqa.data.rows import chosen_split
from aqa.data.strict_json import check_whole
from aqa.errors import DataError
from aqa.records import Example, Passage
from aqa.runs.files import filled


def read_in_memory(
    data: InMemoryData, split: str | None, fields: Mapping[str, str]
) -> Iterator[Row]:
    """Yield the rows; `fields` name columns as in `Source`.

    Raises:
        DataError: an item is neither an example nor an object with columns.
    """
    for number, item in enumerate(_items(data, split), 1):
        place = f"{data}, item {number}"
        yield place, _row(item, place, fields)


def hash_in_memory(data: InMemoryData, split: str | None) -> str:
    """Return the rows' SHA-256; examples and equal rows as objects have the same."""
    digest = hashlib.sha256()
    for _, row in read_in_memory(data, split, {}):
        text = json.dumps(row, ensure_ascii=False, sort_keys=True, default=repr)
        digest.update(text.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()


def _items(data: InMemoryData, split: str | None) -> Iterable[object]:
    """Return the rows or articles of one split, of a document or of a list."""
    items: Any = data.items
    if isinstance(items, Mapping):
        if items and all(_is_dataset(part) for part in items.values()):
            items = items[chosen_split(str(data), list(items), split)]
            split = None
        else:
            items = rows_in(items, data)
    if split is not None:
        raise DataError(f"{data}: there are no splits; leave the split out")
    rows: Iterable[object] = items.with_format(None) if _is_dataset(items) else items
    return rows


def _is_dataset(value: object) -> bool:
    """Whether it is from the library `datasets`, without importing that."""
    return hasattr(value, "with_format")


def _row(item: object, place: str, fields: Mapping[str, str]) -> dict[str, Any]:
    if isinstance(item, Example):
        return _row_of(item, fields)
    if isinstance(item, Mapping):
        return {str(name): plain(value) for name, value in item.items()}
    kind = describe(item) if isinstance(item, str | list | None) else type(item).__name__
    raise DataError(f"{place}: {kind} where an Example or an object with columns is needed")


def _row_of(example: Example, fields: Mapping[str, str]) -> dict[str, Any]:
    """Return columns from which an equal example can be made, even a user's own."""
    columns = {
        "id": example.id,
        "question": example.question,
        "passages": example.passages,
        "answers": example.answers,
        "title": None,
    }
    row = {name: value for name, value in example.metadata.items() if fold(name) not in _ANSWERS}
    for name, value in columns.items():
        if name in fields or value is not None:
            row[fields.get(name, _WRITTEN.get(name, name))] = value
    if example.gold_ids:
        row[GOLD_IDS[0]] = example.gold_ids
    if example.target is not None:
        row["target"] = example.target
    if example.own_passages not in ((), example.passages):
        row[GOLD_PASSAGES[0]] = example.own_passages
    return {name: plain(value) for name, value in row.items()}


_WRITTEN = {"passages": "ctxs"}  # other fields have columns of the same name
_ANSWERS = set(COLUMNS["answers"])  # not references if they are in an example's metadata


def plain(value: Any) -> Any:
    """Convert a value to what JSON has; DataError for half a surrogate pair.

    The missing values of pandas, which can't be compared, become NaN.
    """
    if type(value).__name__ in ("NAType", "NaTType"):
        return math.nan
    if isinstance(value, str):
        check_whole(value)
    if isinstance(value, Passage):
        return filled({name: getattr(value, name) for name in ("text", "title", "id", "score")})
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return plain(value.tolist()) if hasattr(value, "tolist") else value  # numpy
