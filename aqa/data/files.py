"""Opening files: plain, gzip or Zstandard by their first bytes, without a byte-order mark."""

import atexit
import gzip
import io
import shutil
import sys
import tempfile
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from aqa.data.unusable import refuse_unusable
from aqa.errors import DataError

# A row with the place it was read at ("dev.jsonl, line 12").
Row = tuple[str, Mapping[str, object]]

STANDARD_INPUT = "-"  # as a name
SPOOLED = "standard input"  # the name of the file that it is kept in
GZIP = b"\x1f\x8b"
ZSTANDARD = b"\x28\xb5\x2f\xfd"
BUFFER_BYTES = 1 << 16


@cache
def spooled_input() -> Path:
    """Keep standard input in a temporary file while the process lives; DataError without any."""
    if sys.stdin is None or sys.stdin.isatty():
        raise DataError("- is standard input, but nothing is piped in; name a file")
    folder = Path(tempfile.mkdtemp(prefix="aqa-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / SPOOLED
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return path


def _shown(path: Path) -> Path:
    """The path as its user knows it: standard input lies in a file that nobody named."""
    return Path(path.name) if path.name == SPOOLED else path


@contextmanager
def complete(name: object) -> Iterator[None]:
    """Say of what can't be read to its end that it may not be complete, by a DataError."""
    try:
        yield
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{name} can't be read ({error}); is it complete?") from None


@contextmanager
def open_bytes(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file for reading what it holds when decompressed; DataError where it is empty."""
    with path.open("rb") as stored, closing(decompressed(stored)) as file:
        start = file.peek(len(BOM_UTF8))
        if not start.removeprefix(BOM_UTF8).strip():
            raise DataError(f"{_shown(path)} is empty; name a file that holds rows")
        refuse_unusable(_shown(path), start)
        if start.startswith(BOM_UTF8):
            file.read(len(BOM_UTF8))
        yield file


@contextmanager
def open_text(path: Path, newline: str = "") -> Iterator[io.TextIOWrapper]:
    """Open a file for reading its text; DataError names its first line that is not UTF-8."""
    with open_bytes(path) as file:
        text = io.TextIOWrapper(file, "utf-8", newline=newline)
        try:
            yield text
        except UnicodeDecodeError:
            raise _not_utf8(path) from None
        finally:
            text.detach()


def text_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Give a file's lines, each with its place."""
    with open_text(path, "\n") as text:
        for number, line in enumerate(text, 1):
            yield f"{path.name}, line {number}", line


def decompressed(stored: io.BufferedReader) -> io.BufferedReader:
    """Give what reads the bytes as they were before they were packed, if they were."""
    magic = stored.peek(4)[:4]
    if magic[:2] == GZIP:
        return io.BufferedReader(gzip.GzipFile(fileobj=stored), BUFFER_BYTES)
    if magic == ZSTANDARD:
        import pyarrow

        unpacked: Any = pyarrow.CompressedInputStream(stored, "zstd")
        return io.BufferedReader(unpacked, BUFFER_BYTES)
    return stored


def _not_utf8(path: Path) -> DataError:
    """Find the first line of a file that is not UTF-8 and make the error that names it."""
    offset = number = 0
    with open_bytes(path) as file:
        for line in file:
            number += 1
            try:
                line.decode()
            except UnicodeDecodeError as error:
                offset += error.start
                break
            offset += len(line)
    return DataError(
        f"{path.name}, line {number}: not UTF-8 at byte {offset}; save the file as UTF-8 "
        "(for Korean of older Windows programs: iconv -f cp949 -t utf-8)"
    )
