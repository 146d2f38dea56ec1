"""Files in which people say what they think of answers, in the judge's own words."""

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from aqa.errors import DataError
from aqa.metrics.verdicts import VERDICTS

LABEL_COLUMNS = ("label", "verdict")

Labels = dict[tuple[str | None, str], str]  # by system (None: not told) and id


def read_labels(path: Path) -> Labels:
    """Read {id: label}, or rows of id, label and perhaps system as JSON, JSON Lines, CSV or TSV.

    Raises:
        DataError: it is none of these, or a label is not one of the judge's.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: can't read these labels: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    found: Labels = {}
    for place, row in _rows(path, text):
        label = next((row[name] for name in LABEL_COLUMNS if row.get(name)), None)
        name = str(label or "").strip().lower().replace(" ", "_").replace("-", "_")
        if row.get("id") is None or name not in VERDICTS:
            raise DataError(
                f"{place}: an id and a label are needed, one of {', '.join(VERDICTS)}; it has the"
                f" id {row.get('id')!r} and the label {label!r}"
            )
        system = row.get("system")
        key = (None if system in (None, "") else str(system), str(row["id"]))
        if found.setdefault(key, name) != name:
            raise DataError(f'{place}: the id "{key[1]}" is labelled twice, and differently')
    if not found:
        raise DataError(f"{path} holds no labels")
    return found


def _rows(path: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        reader = csv.DictReader(io.StringIO(text), delimiter="\t" if suffix == ".tsv" else ",")
        for row in reader:
            yield f"{path}, line {reader.line_num}", row
        return
    if suffix in (".jsonl", ".ndjson"):
        lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        rows = [(f"{path}, line {number}", _parse(path, number, line)) for number, line in lines]
    else:
        document = _parse(path, 1, text)
        if isinstance(document, dict):
            rows = [
                (f'{path}, id "{key}"', {"id": key, "label": document[key]}) for key in document
            ]
        else:
            items = document if isinstance(document, list) else [document]
            rows = [(f"{path}, item {number}", row) for number, row in enumerate(items, 1)]
    for place, row in rows:
        if not isinstance(row, dict):
            raise DataError(f"{place}: an object with id and label is needed")
        yield place, row


def _parse(path: Path, first_line: int, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise DataError(f"{path}, line {line}: not valid JSON ({error.msg})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON ({error})") from error
