"""Read plain text: a table, lines of id and answer, or bare answers."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from aqa.data.columns import fold
from aqa.data.files import Row, text_lines
from aqa.data.json_stream import Entry
from aqa.data.tables import read_csv
from aqa.errors import DataError
from aqa.evaluation.predictions.answers import ANSWER_NAMES, OF_REFERENCE_NAMES, REFERENCES
from aqa.evaluation.predictions.columns import IDS
from aqa.evaluation.predictions.shapes.harnesses import promptfoo_names

DELIMITERS = "\t,;|"
MAY_BE_MISSING = {*IDS, *REFERENCES} - OF_REFERENCE_NAMES
AFTER_ID = re.compile(r"[\s:,;|=]")
TABLES = (".csv", ".tsv")
NUMBER = re.compile(r"\s*[(\[]?(\d{1,9})[.):\]](?:\s|$)")  # of a line in a list


def read_lines_of_text(file: Path, suffix: str, ids: Collection[str] | None) -> list[Entry]:
    """Read text that is not JSON. Entries of id and answer have a key; bare answers have none."""
    lines = [line.rstrip("\r\n") for _, line in text_lines(file)]
    delimiter = max(DELIMITERS, key=lines[0].count)
    header = [fold(cell.strip('"')) for cell in lines[0].split(delimiter)]
    if suffix in TABLES or _names_answers(header):
        rows = list(_filled(read_csv(file, promptfoo_names)))
        return list(_without_header(rows, ids or ()))
    if pairs := _pairs(file, lines, ids):
        return pairs
    _refuse_ids_in_front(file, lines, frozenset(ids or ()))
    _refuse_a_list(file, lines)
    return [Entry(f"{file}, line {number}", line) for number, line in enumerate(lines, 1)]


def _names_answers(header: Sequence[str]) -> bool:
    answers, ids = {*header} & ANSWER_NAMES, {*header} & {*IDS} - {""}
    return bool(answers) and bool(ids - answers)


def _filled(rows: Iterable[Row]) -> Iterator[Entry]:
    """Read empty cells as missing values, except that an empty answer is ""."""
    for place, row in rows:
        filled = {
            column: "" if cell is None and fold(column) not in MAY_BE_MISSING else cell
            for column, cell in row.items()
        }
        yield Entry(place, filled)


def _without_header(entries: Sequence[Entry], ids: Collection[str]) -> Sequence[Entry]:
    """Return the id-answer pairs of a table whose first pair was mistaken for a header."""
    header = list(entries[0].value) if entries else []
    if len(header) != 2 or header[0] not in ids:
        return entries
    key, answer = header
    first = Entry(entries[0].place.replace("line 2", "line 1"), answer, key)
    return [first, *(Entry(e.place, e.value[answer], e.value[key]) for e in entries)]


def _refuse_ids_in_front(file: Path, lines: Sequence[str], ids: frozenset[str]) -> None:
    """Raise DataError for lines that look like bare answers but start with ids of the data."""
    starts = {AFTER_ID.split(line.lstrip("-\"' "), maxsplit=1)[0].rstrip("\"'") for line in lines}
    if 2 * len(starts & ids) > len(lines) > len(ids.intersection(lines)):
        raise DataError(
            f"{file}: its lines begin with ids of the data, but not as an id, a tab and the answer;"
            " write them so, or as JSON or as CSV with a header"
        )


def _refuse_a_list(file: Path, lines: Sequence[str]) -> None:
    """Raise DataError for answers written as a numbered list."""
    matches = [NUMBER.match(line) for line in lines]
    numbers = [int(match[1]) for match in matches if match]
    if len(lines) > 1 and numbers in ([*range(len(lines))], [*range(1, len(lines) + 1)]):
        raise DataError(
            f"{file}: its lines are numbered, {numbers[0]}, {numbers[1]} and so on; leave the"
            " numbers out, or write each as an id, a tab and the answer"
        )


def _pairs(file: Path, lines: Sequence[str], ids: Collection[str] | None) -> list[Entry]:
    """Return lines of id, tab and answer, as FiD writes them; empty if they are not such."""
    pairs = [line.partition("\t") for line in lines]
    data_ids = set(ids or ())
    are_pairs = all(tab or key in data_ids for key, tab, _ in pairs)
    begins = sum(bool(tab) and key in data_ids for key, tab, _ in pairs)
    if begins > len(lines) // 2 and not are_pairs:
        number = next(number for number, pair in enumerate(pairs, 1) if not pair[1])
        raise DataError(
            f"{file}, line {number}: no tab, where the other lines hold an id, a tab and an answer;"
            " an answer of several lines needs a file of JSON"
        )
    if not are_pairs or not any(tab for _, tab, _ in pairs):
        return []
    if not begins and any(re.search(r"\s", key) for key, _, _ in pairs):
        return []  # answers that happen to contain tabs
    return [
        Entry(f"{file}, line {number}", text, key) for number, (key, _, text) in enumerate(pairs, 1)
    ]
