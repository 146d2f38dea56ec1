"""The rows of one file, whichever of JSON, CSV, Parquet and Arrow it is."""

from collections.abc import Iterator
from pathlib import Path

from aqa.data.files import Row, open_bytes
from aqa.data.json_stream import read_json
from aqa.data.tables import read_arrow, read_csv, read_parquet
from aqa.errors import DataError

ARROW = (b"ARROW1", b"\xff\xff\xff\xff")
PARQUET = b"PAR1"


def read_row_file(path: Path) -> Iterator[Row]:
    """Read a file's rows."""
    with open_bytes(path) as file:
        head = file.read(4096)
    start = head.lstrip()[:1]
    if head.startswith(PARQUET):
        return read_parquet(path)
    if head.startswith(ARROW):
        return read_arrow([path], path.name)
    if b"\0" in head:
        raise DataError(
            f"{path} is not a UTF-8 text, Parquet or Arrow file; save it as one of these"
        )
    if start in (b"[", b"{") or path.suffix in (".json", ".jsonl"):
        return read_json(path)
    return read_csv(path)
