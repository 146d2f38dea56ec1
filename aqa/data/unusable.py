"""Recognise files given by mistake, and say what they are and what to give instead."""

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

from aqa.errors import DataError

ZIP = b"PK\x03\x04"
NAMES_SHOWN = 3
# How files begin that are not text, or not text to read; what they are, and what to do.
BEGINNINGS = (
    (rb"\xff\xfe\0\0|\0\0\xfe\xff", "UTF-32 text", "save it as UTF-8 (iconv -f utf-32 -t utf-8)"),
    (
        rb"\xff\xfe|\xfe\xff|(?:\0[^\0]){4}|(?:[^\0]\0){4}",
        "UTF-16 text",
        "save it as UTF-8 (in Excel: CSV UTF-8; or iconv -f utf-16 -t utf-8)",
    ),
    (rb"\xd0\xcf\x11\xe0", "an Excel, Word or Hangul file", "save it as CSV (UTF-8)"),
    (rb"%PDF-", "a PDF", "write what it holds as JSON or CSV"),
    (
        rb"\x1f\x8b|\x28\xb5\x2f\xfd|BZh[1-9]1AY&SY|\xfd7zXZ|\x04\x22\x4d\x18",
        "packed twice, or in a way that aqa can't unpack",
        "unpack it first, or pack it with gzip",
    ),
    (
        rb'\s*data: \{"',
        "a stream of events",
        "ask without streaming, and keep the whole replies",
    ),
    (
        rb"\s*<(?i:!doctype html|html|head|!--|\?xml)",
        "a web page, or XML",
        "download or export the data as JSON or CSV",
    ),
    (
        rb"version https://git-lfs",
        "a pointer of Git LFS, not the file itself",
        "run `git lfs pull`",
    ),
    (rb"\s*\|.*\n\s*\|[-:| ]+\r?\n", "a Markdown table", "write it as CSV"),
)
# The members of archives in which Excel, Word, LibreOffice, Hangul and Numbers save files.
OF_OFFICES = re.compile(r"xl/workbook\.\w+|word/document\.xml|content\.(xml|hpf)|\.iwa$")


def refuse_unusable(file: Path, head: bytes) -> None:
    """Raise DataError if a file's first bytes show that it can't be read."""
    for beginning, what, advice in BEGINNINGS:
        if re.match(beginning, head):
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
    if any(map(OF_OFFICES.search, names)):
        return "a spreadsheet or document; save it as CSV (UTF-8)"
    shown = ", ".join(names[:NAMES_SHOWN]) + ", ..." * (len(names) > NAMES_SHOWN)
    return f"a zip archive ({shown or 'empty'}); unpack it and give the file itself"
