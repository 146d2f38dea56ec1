"""Tables: CSV and TSV with a header line, Parquet, and Arrow files."""

import ast
import csv
import io
import json
import tokenize
from collections.abc import Collection, Iterable, Iterator
from itertools import chain, pairwise
from pathlib import Path
from typing import BinaryIO, Protocol

from aqa.data.files import Row, not_utf8, open_bytes
from aqa.errors import DataError

BATCH_ROWS = 256
LITERAL_LIMIT = 10_000_000  # characters of a cell that is read as a list
DELIMITERS = ",\t;"


class _Batch(Protocol):
    num_rows: int

    def slice(self, offset: int, length: int) -> "_Batch": ...

    def to_pylist(self) -> list[dict[str, object]]: ...


def read_csv(path: Path, text_columns: Collection[str]) -> Iterator[Row]:
    """Read CSV or TSV, whichever delimiter the header line has most of.

    An empty cell is a missing value. A cell that opens like a list or an object is read as a JSON
    or Python literal, except in `text_columns`; where it is neither, it stays a text.
    """
    csv.field_size_limit((1 << 31) - 1)  # the default of 128 KiB is less than many a context
    with open_bytes(path) as file:
        text = io.TextIOWrapper(file, "utf-8", newline="")
        try:
            head = text.readline()
            lines = chain([head], text)
            yield from _csv_rows(path, lines, max(DELIMITERS, key=head.count), text_columns)
        except UnicodeDecodeError:
            raise not_utf8(path) from None


def _csv_rows(
    path: Path, text: Iterable[str], delimiter: str, text_columns: Collection[str]
) -> Iterator[Row]:
    lines = csv.reader(text, delimiter=delimiter, strict=True)
    header: list[str] = []
    line = 1
    try:
        for cells in lines:
            place, line = f"{path.name}, line {line}", lines.line_num + 1
            if not header:
                header = cells
            elif cells:
                if len(cells) != len(header):
                    raise DataError(
                        f"{place}: {len(cells)} cells where the header has {len(header)}; "
                        "quote cells that hold the delimiter"
                    )
                row = {
                    column: _cell(cell, column not in text_columns, place)
                    for column, cell in zip(header, cells, strict=True)
                }
                yield place, row
    except csv.Error as error:
        raise DataError(
            f"{path.name}, line {line}: not valid CSV ({error}); mend the quotes of that row"
        ) from None


def _cell(cell: str, may_be_literal: bool, place: str) -> object:
    if not cell:
        return None
    if not may_be_literal or cell[0] not in "[{" or cell[-1] not in "]}":
        return cell
    if len(cell) > LITERAL_LIMIT:
        raise DataError(f"{place}: a list of {len(cell)} characters is too long; split it")
    try:
        value: object = json.loads(cell)
    except (ValueError, RecursionError):
        pass
    else:
        return value
    try:
        value = ast.literal_eval(cell)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return cell
    kinds = [token.type for token in tokenize.generate_tokens(io.StringIO(cell).readline)]
    if any(pair == (tokenize.STRING,) * 2 for pair in pairwise(kinds)):
        raise DataError(f"{place}: the list {cell:.40} has no commas; write it as a JSON list")
    return value


def read_parquet(path: Path) -> Iterator[Row]:
    """Read a Parquet file in small batches."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as table:
            yield from _numbered(path.name, table.iter_batches(BATCH_ROWS))
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a Parquet file that can be read ({error})") from None


def read_arrow(paths: Iterable[Path], name: str) -> Iterator[Row]:
    """Read Arrow files, streams or IPC files, one after the other; rows are numbered through."""
    return _numbered(name, (batch for path in paths for batch in _arrow_batches(path)))


def _arrow_batches(path: Path) -> Iterator[_Batch]:
    import pyarrow
    import pyarrow.ipc

    try:
        with path.open("rb") as file:
            if _is_ipc_file(file):
                reader = pyarrow.ipc.open_file(file)
                yield from map(reader.get_batch, range(reader.num_record_batches))
            else:
                yield from pyarrow.ipc.open_stream(file)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: not an Arrow file that can be read ({error})") from None


def _is_ipc_file(file: BinaryIO) -> bool:
    magic = file.read(6)
    file.seek(0)
    return magic == b"ARROW1"


def _numbered(name: str, batches: Iterable[_Batch]) -> Iterator[Row]:
    number = 0
    for batch in batches:
        for start in range(0, batch.num_rows, BATCH_ROWS):
            for row in batch.slice(start, BATCH_ROWS).to_pylist():
                number += 1
                yield f"{name}, row {number}", row
