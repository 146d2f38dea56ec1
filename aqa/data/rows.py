"""The rows of one file, whichever of JSON, CSV, Parquet and Arrow it is."""

from collections.abc import Iterator
from pathlib import Path

from aqa.data.files import Row, open_bytes
from aqa.data.json_stream import read_json
from aqa.data.tables import read_arrow, read_csv, read_parquet
from aqa.data.unusable import ZIP, archive_names, describe_archive, not_text
from aqa.errors import DataError

ARROW = (b"ARROW1", b"\xff\xff\xff\xff")
PARQUET = b"PAR1"


def read_row_file(path: Path) -> Iterator[Row]:
    """Read a file's rows."""
    with open_bytes(path) as file:
        head = file.read(4096)
    if head.startswith(ZIP):
        raise DataError(f"{path} is {describe_archive(archive_names(path))}")
    rows = read_binary(path, head)
    if rows is not None:
        return rows
    start = head.lstrip()[:1]
    if start in (b"[", b"{") or path.suffix in (".json", ".jsonl"):
        return read_json(path)
    return read_csv(path)


def read_binary(path: Path, head: bytes) -> Iterator[Row] | None:
    """Read the rows of Parquet or Arrow, None of a text; DataError for any other bytes."""
    if head.startswith((PARQUET, *ARROW)):
        with path.open("rb") as file:
            if not head.startswith(file.read(4)):
                raise DataError(f"{path} is packed twice; unpack it first")
        return read_parquet(path) if head.startswith(PARQUET) else read_arrow([path], path.name)
    if b"\0" in head:
        raise not_text(path)
    return None
