"""Recognise files given by mistake, and say what they are and what to give instead."""

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

from aqa.errors import DataError

ZIP = b"PK\x03\x04"
NAMES_SHOWN = 3

AS_UTF_8 = "save it as UTF-8 (in Excel: CSV UTF-8; or iconv -f utf-16 -t utf-8)"
WEB_PAGE, DOWNLOAD = "a web page", "download the file itself"
PACK_WITH_GZIP = "unpack it first, or pack it with gzip"
UNPACK = "unpack it and give the file itself"
# How a file begins, what it is, and what to do. Letters that an answer may also begin with count
# only with a control character after them.
BEGINNINGS = (
    (rb"\xff\xfe\0\0|\0\0\xfe\xff", "UTF-32 text", "save it as UTF-8 (iconv -f utf-32 -t utf-8)"),
    (rb"\xff\xfe|\xfe\xff|(\0[^\0]){4}|([^\0]\0){4}", "UTF-16 text", AS_UTF_8),
    (rb"\xd0\xcf\x11\xe0", "an Excel, Word or Hangul file", "save it as CSV (UTF-8)"),
    (rb"\x80[\2-\5]", "a Python pickle", "load it where you trust it, and write JSON"),
    (rb"\x93NUMPY", "a NumPy array", "decode the token ids it holds, and write the texts"),
    (rb"SQLite format 3", "an SQLite database", "export the table as CSV or JSON"),
    (rb".{8}DUCK", "a DuckDB database", "export the table as CSV or JSON"),
    (rb"%PDF-", "a PDF", "write what it holds as JSON or CSV"),
    (rb"\x1f\x8b|\x28\xb5\x2f\xfd", "packed twice", "unpack it once"),
    (rb"BZh.*?[\0-\x08\x0e-\x1f]", "packed with bzip2", PACK_WITH_GZIP),
    (rb"\xfd7zXZ", "packed with xz", PACK_WITH_GZIP),
    (rb"\x04\x22\x4d\x18", "packed with LZ4", PACK_WITH_GZIP),
    (rb"7z\xbc\xaf", "a 7z archive", UNPACK),
    (rb"Rar!\x1a", "a RAR archive", UNPACK),
    (rb".{257}ustar", "a tar archive", UNPACK),
    (rb"\x89HDF", "an HDF5 file", "export its rows as CSV or JSON"),
    (
        rb"FEA1.*?[\0-\x08\x0e-\x1f]",
        "a Feather file of version 1",
        "save it again as Parquet or Arrow",
    ),
    (rb"ORC.*?[\0-\x08\x0e-\x1f]", "an ORC file", "save it again as Parquet"),
    (rb"Obj\x01", "an Avro file", "save it again as Parquet or JSON Lines"),
    (rb"GGUF.*?[\0-\x08\x0e-\x1f]", "weights of a model (GGUF)", "give text or a table"),
    (rb".{6}\0\0\{", "weights of a model (safetensors)", "give text or a table"),
    (
        rb'\s*(?i:data): \{"',
        "a stream of events",
        "ask without streaming, and keep the whole replies",
    ),
    (rb"\s*<(?i:!doctype html|html|head)", WEB_PAGE, DOWNLOAD),
    (rb"\s*<!--", f"{WEB_PAGE}, or XML", DOWNLOAD),
    (rb"\s*<\?(?i:xml)", "XML", "export what it holds as JSON or CSV"),
    (
        rb"\s*(?i:version https://git-lfs)",
        "a pointer of Git LFS, not the file itself",
        "run `git lfs pull`",
    ),
    (rb"\s*\|[^\n]*\n\s*\|[-:| ]+\r?\n", "a Markdown table", "write it as CSV"),
)

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


def refuse_unusable(file: Path, head: bytes) -> None:
    """Raise DataError if a file's first bytes show that it can't be read."""
    for beginning, what, advice in BEGINNINGS:
        if re.match(beginning, head, re.DOTALL):
            raise DataError(f"{file} is {what}; {advice}")
    if file.suffix.lower() in (".yaml", ".yml") and head.lstrip()[:1] not in (b"{", b"["):
        raise DataError(f"{file} is YAML; write it as JSON")


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
    listed = ", ".join(names[:NAMES_SHOWN]) + ", ..." * (len(names) > NAMES_SHOWN)
    return f"a zip archive ({listed or 'empty'}); unpack it and give the file itself"
