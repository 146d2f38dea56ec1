"""Read tables: CSV and TSV with a header line, Parquet, and Arrow files."""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from aqa.data.files import BUFFER_BYTES, Row, open_text
from aqa.errors import DataError

if TYPE_CHECKING:
    from _csv import Reader

    from pyarrow import RecordBatch

BATCH_ROWS = 256
DELIMITERS = ",\t;|"
NOTHING = f"{DELIMITERS} \r\n"  # the only characters in a blank line before the header
IN_BRACKETS = re.compile(r"\(.+\)|\[.+\]|<.+>")  # units or types, like "(text)", below a header
EXCEL_SAYS = re.compile("sep=(.)\\s*", re.IGNORECASE)  # a first line naming the delimiter
EXCEL_ERROR = "#NAME?"  # others come from formulas
QUOTED = re.compile('"((?:[^"]|"")*)"')
Rename = Callable[[list[str]], list[str]]


def read_csv(path: Path, rename: Rename = list) -> Iterator[Row]:
    """Read CSV or TSV, with the delimiter named in a line before the header or most common there.

    Every cell is text (see `read_literal` for lists); an empty one is a missing value. `rename`
    changes the header's names.
    """
    csv.field_size_limit((1 << 31) - 1)  # contexts may exceed the default of 128 KiB
    with open_text(path) as text:
        filled = ((number, line) for number, line in enumerate(text) if line.strip(NOTHING))
        if (first := next(filled, None)) is None:
            raise DataError(f"{path} is empty; name a file that holds rows")
        before, head = first
        delimiter = max(DELIMITERS, key=head.count)
        if named := EXCEL_SAYS.fullmatch(head):
            before, head, delimiter = before + 1, text.readline(), named[1]
        quoted = delimiter != "\t" or not _needs_no_quotes(path, head.count("\t"))
        lines = csv.reader(
            chain([head], text),
            delimiter=delimiter,
            strict=True,
            quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
            skipinitialspace=f"{delimiter} " in head,
        )
        yield from _csv_rows(path, lines, rename, before, quoted)


def _needs_no_quotes(path: Path, tabs: int) -> bool:
    """Whether all lines have the same number of tabs.

    If so, the texts were probably written unquoted, and quotation marks are part of them.
    """
    with open_text(path) as text:
        return all(line.count("\t") == tabs for line in text if not line.isspace())


def _unquoted(cell: str) -> str:
    quoted = QUOTED.fullmatch(cell)
    return quoted[1].replace('""', '"') if quoted else cell


def _formula_text(cell: str) -> str:
    """Return the text of a formula like ="001", with which Excel keeps a text from changing."""
    is_text = cell.startswith('="') and QUOTED.fullmatch(cell, 1)
    return _unquoted(cell[1:]) if is_text else cell


def _csv_rows(
    path: Path, lines: "Reader", rename: Rename, before: int, quoted: bool
) -> Iterator[Row]:
    """Read rows; `before` is the number of lines before the header.

    If cells are not certainly `quoted`, those entirely in quotes are unquoted. Rows of only
    delimiters, which Excel adds, and repetitions of the header are skipped.
    """
    header: list[str] = []
    first: list[str] = []
    line = before + 1
    try:
        for cells in lines:
            place, line = f"{path.name}, line {line}", lines.line_num + before + 1
            if not quoted:
                cells = [] if not "".join(cells).strip() else [*map(_unquoted, cells)]
            cells = [*map(_formula_text, cells)]
            if not header:
                header, first = rename(cells), cells
                _check_names(header, place)
            elif cells and (len(cells) == 1 or (any(cells) and cells != first)):
                _check_cells(cells, header, place)
                yield place, dict(zip(header, (cell or None for cell in cells), strict=True))
    except csv.Error as error:
        raise DataError(
            f"{path.name}, line {line}: not valid CSV ({error}); fix the quotes of that row, and"
            ' write each one within a cell twice ("")'
        ) from None


def _check_cells(cells: Sequence[str], header: Sequence[str], place: str) -> None:
    """Raise DataError for a row with too few or many cells, or that describes the columns."""
    if len(cells) != len(header):
        cause = "a line break" if len(cells) < len(header) else "the delimiter"
        advice = f"quote cells that hold {cause}"
        if len(header) == 1:
            advice = "is that line the header? Remove the lines before it"
        raise DataError(f"{place}: {len(cells)} cells where the header has {len(header)}; {advice}")
    if EXCEL_ERROR in cells:
        raise DataError(
            f"{place}: Excel has replaced a text with {EXCEL_ERROR}, since it begins with = or -;"
            " import this column as text"
        )
    if len(cells) > 1 and all(map(IN_BRACKETS.fullmatch, cells)):
        raise DataError(
            f"{place}: this row says what the columns hold, as a header does; remove it"
        )


def _check_names(names: Sequence[str], place: str) -> None:
    """Raise DataError for two columns with one name, of which one would be lost."""
    twice = next((name for name in names if names.count(name) > 1 and name), None)
    if twice is not None:
        raise DataError(f'{place}: two columns are called "{twice}"; rename one')


def read_parquet(path: Path) -> Iterator[Row]:
    """Read a Parquet file in small batches."""
    import pyarrow
    import pyarrow.parquet

    try:
        # By default it reads a row group, which may be the whole file, into memory at once.
        file = pyarrow.parquet.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False)
        with file as table:
            _check_names(table.schema_arrow.names, path.name)
            yield from _numbered(path.name, table.iter_batches(BATCH_ROWS))
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a Parquet file that can be read ({error})") from None


def read_arrow(paths: Iterable[Path], name: str) -> Iterator[Row]:
    """Read Arrow streams or IPC files one after another, numbering rows continuously."""
    return _numbered(name, (batch for path in paths for batch in _arrow_batches(path)))


def _arrow_batches(path: Path) -> Iterator["RecordBatch"]:
    import pyarrow
    import pyarrow.ipc

    try:
        with path.open("rb") as file:
            is_file = file.peek(6).startswith(b"ARROW1")
            reader = pyarrow.ipc.open_file(file) if is_file else pyarrow.ipc.open_stream(file)
            _check_names(reader.schema.names, path.name)
            yield from (
                map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader
            )
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not an Arrow file that can be read ({error})") from None


def _numbered(name: str, batches: Iterable["RecordBatch"]) -> Iterator[Row]:
    number = 0
    for batch in batches:
        for start in range(0, batch.num_rows, BATCH_ROWS):
            for row in batch.slice(start, BATCH_ROWS).to_pylist():
                number += 1
                yield f"{name}, row {number}", row
