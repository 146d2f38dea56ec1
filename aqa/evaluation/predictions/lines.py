"""Plain text: a table, lines of id and answer, or bare answers."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from aqa.data.columns import fold
from aqa.data.files import Row
from aqa.data.tables import read_csv
from aqa.errors import DataError
from aqa.evaluation.predictions.columns import ANSWER_NAMES, IDS, OF_REFERENCE_NAMES, REFERENCES
from aqa.evaluation.predictions.json_text import Entry

DELIMITERS = "\t,;"
MAY_BE_MISSING = {*IDS, *REFERENCES} - OF_REFERENCE_NAMES
QUOTED = re.compile('"((?:[^"]|"")*)"')
TABLES = (".csv", ".tsv")


def read_lines_of_text(
    file: Path, text: str, suffix: str, ids: Collection[str] | None
) -> list[Entry]:
    """Read a text that is not JSON. An entry of id and answer has a key, a bare answer has none."""
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    delimiter = max(DELIMITERS, key=lines[0].count)
    header = [fold(cell.strip('"')) for cell in lines[0].split(delimiter)]
    if suffix in TABLES or _names_answers(header):
        rows = _split_by_tabs(file, lines) if delimiter == "\t" else []
        rows = rows or list(entries_of_rows(file, read_csv(file)))
        return list(_without_header(list(_filled(rows)), ids or ()))
    return _pairs(file, lines, ids) or [
        Entry(f"{file}, line {number}", line) for number, line in enumerate(lines, 1)
    ]


def _names_answers(header: Sequence[str]) -> bool:
    """Tell whether the cells of a first line name columns of an answer and of an id."""
    answers, ids = {*header} & ANSWER_NAMES, {*header} & {*IDS} - {""}
    return bool(answers) and bool(ids - answers)


def _split_by_tabs(file: Path, lines: Sequence[str]) -> list[Entry]:
    """The rows of a table whose lines have the same number of tabs, so that no quotes are needed.

    A program that puts texts between tabs as they are does not mind a quotation mark in front of
    one; what was quoted whole is taken out of its quotes. None where lines differ, or where there
    are references, which may be lists.
    """
    header, *cells = [line.split("\t") for line in lines if line]
    if any(len(row) != len(header) for row in cells) or {*map(fold, header)} & {*REFERENCES}:
        return []
    columns = [_unquoted(cell) for cell in header]
    return [
        Entry(f"{file}, line {number}", dict(zip(columns, map(_unquoted, row), strict=True)))
        for number, row in enumerate(cells, 2)
    ]


def _unquoted(cell: str) -> str:
    quoted = QUOTED.fullmatch(cell)
    return quoted[1].replace('""', '"') if quoted else cell


def entries_of_rows(file: Path, rows: Iterable[Row]) -> Iterator[Entry]:
    """The rows of a table, and what is wrong with one, under the file's whole path."""
    try:
        for place, row in rows:
            yield Entry(f"{file}{place.removeprefix(file.name)}", dict(row))
    except DataError as error:
        message = str(error)
        if not message.startswith(file.name):
            raise
        raise DataError(f"{file}{message.removeprefix(file.name)}") from None


def _filled(entries: Iterable[Entry]) -> Iterator[Entry]:
    """An empty cell is a missing value, but of an answer it is one that says nothing."""
    for entry in entries:
        row = {
            column: "" if cell is None and fold(column) not in MAY_BE_MISSING else cell
            for column, cell in entry.value.items()
        }
        yield replace(entry, value=row)


def _without_header(entries: Sequence[Entry], ids: Collection[str]) -> Sequence[Entry]:
    """The pairs of a table whose first line was taken for a header and begins with an id."""
    header = list(entries[0].value) if entries else []
    if len(header) != 2 or header[0] not in ids:
        return entries
    key, answer = header
    first = Entry(entries[0].place.replace("line 2", "line 1"), answer, key)
    return [first, *(Entry(each.place, each.value[answer], each.value[key]) for each in entries)]


def _pairs(file: Path, lines: Sequence[str], ids: Collection[str] | None) -> list[Entry]:
    """Lines of an id, a tab and an answer, as FiD writes them; none where they are not.

    Raises:
        DataError: most lines are, but not all.
    """
    cut = [line.partition("\t") for line in lines]
    known = set(ids or ())
    are_pairs = all(tab or key in known for key, tab, _ in cut)
    begins = sum(bool(tab) and key in known for key, tab, _ in cut)
    if begins > len(lines) // 2 and not are_pairs:
        number = next(number for number, each in enumerate(cut, 1) if not each[1])
        raise DataError(
            f"{file}, line {number}: no tab, where the other lines hold an id, a tab and an answer;"
            " an answer of several lines needs a file of JSON"
        )
    if not are_pairs or not any(tab for _, tab, _ in cut):
        return []
    if not begins and any(re.search(r"\s", key) for key, _, _ in cut):
        return []  # answers that happen to hold tabs
    return [
        Entry(f"{file}, line {number}", text, key) for number, (key, _, text) in enumerate(cut, 1)
    ]
