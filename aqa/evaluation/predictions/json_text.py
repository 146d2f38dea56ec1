"""The JSON of a file: strictly parsed, and each value with its place."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from aqa.data.strict_json import holds_half_a_pair, one_line, parse, reason_of
from aqa.errors import DataError
from aqa.runs.journal import JOURNAL_KIND


@dataclass(frozen=True, slots=True)
class Entry:
    """A value of a file, its place, and its key in an object of ids."""

    place: str
    value: Any
    key: str | None = None


def is_header(value: Any) -> bool:
    """Tell whether a line is the first of one of our journals."""
    return isinstance(value, dict) and value.get("kind") == JOURNAL_KIND


def read_document(file: Path, text: str, is_json: bool) -> Any:
    """Parse a whole file: a list of entries where it is JSON Lines, else what it holds.

    None where it is not JSON and nothing says that it is.

    Raises:
        DataError: `is_json`, but it can't be parsed.
    """
    try:
        document = parse(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and (is_json or text.lstrip()[0] in "{["):
            return _lines_or_none(file, text, is_json)
        if not is_json:
            return None
        _refuse(f"{file}, line {error.lineno}, column {error.colno}", error)
    except (ValueError, RecursionError) as error:
        _refuse(str(file), error)
    check_characters(file, text, document)
    return document


def read_lines(file: Path, text: str) -> Iterator[Entry]:
    """Parse JSON Lines; of a journal, the last line may be broken off."""
    lines = text.split("\n")
    is_journal = False
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        place = f"{file}, line {number}"
        try:
            value = parse(line)
        except (ValueError, RecursionError) as error:
            if is_journal and number == len(lines):
                return
            _refuse(f"{place}, column {getattr(error, 'colno', 1)}", error)
        check_characters(place, line, value)
        is_journal = is_journal or is_header(value)
        yield Entry(place, value)


def check_characters(place: object, text: str, value: Any) -> None:
    """Refuse what could be written nowhere, be it in an answer, an id or another column."""
    if not holds_half_a_pair(text, value):
        return
    members: list[tuple[str, Any]] = [(str(place), value)]
    if isinstance(value, dict):
        members = [(f'{place}, id "{one_line(key)}"', [key, each]) for key, each in value.items()]
    elif isinstance(value, list):
        members = [(f"{place}, item {number}", each) for number, each in enumerate(value, 1)]
    where = next(where for where, each in members if holds_half_a_pair(text, each))
    raise DataError(f"{where}: half of a surrogate pair is not a character; remove it")


def _lines_or_none(file: Path, text: str, is_json: bool) -> list[Entry] | None:
    try:
        return list(read_lines(file, text))
    except DataError:
        if is_json or text.lstrip()[0] == "{":
            raise
        return None  # plain text whose first line happens to be JSON


def _refuse(place: str, error: Exception) -> NoReturn:
    raise DataError(f"{place}: not valid JSON ({reason_of(error)}); fix it there") from error
