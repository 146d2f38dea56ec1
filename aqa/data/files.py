"""Open files: plain, gzip or Zstandard by their first bytes, without a byte-order mark."""

import atexit
import gzip
import io
import shutil
import sys
import tempfile
import zipfile
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from aqa.data.unusable import refuse_unusable
from aqa.errors import DataError

# A row and its place ("dev.jsonl, line 12").
Row = tuple[str, Mapping[str, object]]

STANDARD_INPUT = "-"  # as a file name
SPOOLED = "standard input"  # the file name of its copy
GZIP = b"\x1f\x8b"
ZSTANDARD = b"\x28\xb5\x2f\xfd"
BUFFER_BYTES = 1 << 16


@cache
def spooled_input() -> Path:
    """Copy standard input to a temporary file, deleted at exit; DataError if there is none."""
    if sys.stdin is None or sys.stdin.isatty():
        raise DataError("- is standard input, but nothing is piped in; name a file")
    folder = Path(tempfile.mkdtemp(prefix="aqa-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / SPOOLED
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return path


def _base_name(path: Path) -> Path:
    """The path to show: the copy of standard input is in a folder unknown to the user."""
    return Path(path.name) if path.name == SPOOLED else path


@contextmanager
def complete(name: object) -> Iterator[None]:
    """Turn an error while reading into a DataError that the file may be incomplete."""
    try:
        yield
    except (EOFError, OSError, zlib.error, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or f"{error}; is it complete?"
        raise DataError(f"{name} can't be read: {reason}") from None


@contextmanager
def open_bytes(path: Path) -> Iterator[io.BufferedReader]:
    """Open a file for reading its decompressed content; DataError if it is empty."""
    with path.open("rb") as stored, closing(decompressed(stored)) as file:
        start = file.peek(len(BOM_UTF8))
        if not start.removeprefix(BOM_UTF8).strip():
            raise DataError(f"{_base_name(path)} is empty; name a file that holds rows")
        refuse_unusable(_base_name(path), start)
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
            if not text.closed:  # as by the garbage collector, for an abandoned generator
                text.detach()


def text_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield a file's lines, each with its place."""
    with open_text(path, "\n") as text:
        for number, line in enumerate(text, 1):
            yield f"{path.name}, line {number}", line


def decompressed(stored: io.BufferedReader) -> io.BufferedReader:
    """Wrap a file so that it reads decompressed, if it is compressed."""
    magic = stored.peek(4)[:4]
    if magic[:2] == GZIP:
        return io.BufferedReader(gzip.GzipFile(fileobj=stored), BUFFER_BYTES)
    if magic == ZSTANDARD:
        import pyarrow

        unpacked: Any = pyarrow.CompressedInputStream(stored, "zstd")
        return io.BufferedReader(unpacked, BUFFER_BYTES)
    return stored


def _not_utf8(path: Path) -> DataError:
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
