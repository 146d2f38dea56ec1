"""Recognise files given by mistake, and say what they are and what to give instead."""

import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from aqa.errors import DataError

ZIP = b"PK\x03\x04"
NAMES_SHOWN = 3

PICKLE = ("a Python pickle", "load it where you trust it, and write JSON")
UTF_32 = ("UTF-32 text", "save it as UTF-8 (iconv -f utf-32 -t utf-8)")
UTF_16 = ("UTF-16 text", "save it as UTF-8 (in Excel: CSV UTF-8; or iconv -f utf-16 -t utf-8)")
# What a file is by its first bytes, and what to do.
BINARY: Mapping[bytes, tuple[str, str]] = {
    b"\xff\xfe\0\0": UTF_32,
    b"\0\0\xfe\xff": UTF_32,
    b"\xff\xfe": UTF_16,
    b"\xfe\xff": UTF_16,
    b"\xd0\xcf\x11\xe0": ("an Excel, Word or Hangul file", "save it as CSV (UTF-8)"),
    **{bytes((0x80, protocol)): PICKLE for protocol in range(2, 6)},
    b"\x93NUMPY": ("a NumPy array", "decode the token ids it holds, and write the texts"),
    b"SQLite format 3": ("an SQLite database", "export the table as CSV or JSON"),
    b"%PDF-": ("a PDF", "write what it holds as JSON or CSV"),
    b"\x1f\x8b": ("packed twice", "unpack it once"),
    b"\x28\xb5\x2f\xfd": ("packed twice", "unpack it once"),
    b"BZh": ("packed with bzip2", "unpack it first, or pack it with gzip"),
    b"\xfd7zXZ": ("packed with xz", "unpack it first, or pack it with gzip"),
    b"\x04\x22\x4d\x18": ("packed with LZ4", "unpack it first, or pack it with gzip"),
    b"7z\xbc\xaf": ("a 7z archive", "unpack it and give the file itself"),
    b"Rar!\x1a": ("a RAR archive", "unpack it and give the file itself"),
    b"\x89HDF": ("an HDF5 file", "export its rows as CSV or JSON"),
    b"FEA1": ("a Feather file of version 1", "save it again as Parquet or Arrow"),
    b"ORC": ("an ORC file", "save it again as Parquet"),
    b"Obj\x01": ("an Avro file", "save it again as Parquet or JSON Lines"),
    b"GGUF": ("weights of a model (GGUF)", "give text or a table"),
}
TAR_AT, TAR = 257, b"ustar"
DUCK_AT, DUCK = 8, b"DUCK"
MARKDOWN = re.compile(rb"\s*\|.*\n\s*\|[-:| ]+\r?\n")

# What an archive is by its members' names, and what to do.
ARCHIVES = {
    "xl/workbook.xml": ("an Excel workbook", "save it as CSV (UTF-8)"),
    "xl/workbook.bin": ("an Excel workbook", "save it as CSV (UTF-8)"),
    ".iwa": ("a document of Numbers or Pages", "export it as CSV"),
    "Contents/content.hpf": ("a Hangul document", "save its text as CSV or JSON"),
    "word/document.xml": ("a Word document", "save its text as CSV or JSON"),
    "content.xml": ("an OpenDocument file", "save it as CSV (UTF-8)"),
    "data.pkl": ("a PyTorch file", "load it where you trust it, and write JSON"),
    ".npy": ("NumPy arrays", "decode the token ids they hold, and write the texts"),
}
# By the lower-cased beginning of a text.
TEXTS = {
    'data: {"': ("a stream of events", "ask without streaming, and keep the whole replies"),
    "<!doctype html": ("a web page", "download the file itself"),
    "<html": ("a web page", "download the file itself"),
    "<head": ("a web page", "download the file itself"),
    "<!--": ("a web page, or XML", "download the file itself"),
    "<?xml": ("XML", "export what it holds as JSON or CSV"),
    "version https://git-lfs": ("a pointer of Git LFS, not the file itself", "run `git lfs pull`"),
}


def refuse_unusable(file: Path, head: bytes) -> None:
    """Raise DataError if a file's first bytes show that it can't be read."""
    start = head.lstrip()[:200].decode("utf-8", "replace").casefold()
    known = [
        found
        for magic, found in BINARY.items()
        if head.startswith(magic) and not (magic.isalnum() and _is_text(head))
    ]
    known += [found for text, found in TEXTS.items() if start.startswith(text)]
    if MARKDOWN.match(head):
        known.append(("a Markdown table", "write it as CSV"))
    if head[TAR_AT:].startswith(TAR):
        known.append(("a tar archive", "unpack it and give the file itself"))
    if head[DUCK_AT:].startswith(DUCK):
        known.append(("a DuckDB database", "export the table as CSV or JSON"))
    if any(not any(head[at:8:2]) and all(head[1 - at : 8 : 2]) for at in (0, 1)) and head[7:]:
        known.append(UTF_16)  # without a byte-order mark
    if file.suffix.lower() in (".yaml", ".yml") and start[:1] not in ("{", "["):
        known.append(("YAML", "write it as JSON"))
    if head[8:9] == b"{" and head[:8].endswith(b"\0\0"):
        known.append(("weights of a model (safetensors)", "give text or a table"))
    for what, advice in known:
        raise DataError(f"{file} is {what}; {advice}")


def _is_text(head: bytes) -> bool:
    """Whether a head is text: an answer may begin with letters that also mark a binary file."""
    return all(byte >= 32 or byte in b"\t\n\v\f\r" for byte in head)


def not_text(file: Path) -> DataError:
    """Make the error for a file of an unknown kind."""
    return DataError(
        f"{file} is not text, and not a table that aqa knows; write it as JSON, CSV or Parquet"
    )


def archive_names(file: Path) -> list[str]:
    """Return the names of a zip archive's members; empty if it is damaged."""
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError, EOFError, ValueError):
        return []


def describe_archive(names: Sequence[str]) -> str:
    """Describe a zip archive by its members' names, and what to do."""
    for mark, (what, advice) in ARCHIVES.items():
        if any(name.endswith(mark) for name in names):
            return f"{what}; {advice}"
    shown = ", ".join(names[:NAMES_SHOWN]) + ", ..." * (len(names) > NAMES_SHOWN)
    return f"a zip archive ({shown or 'empty'}); unpack it and give the file itself"
