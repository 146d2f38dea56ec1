"""Read zip archives: Inspect's logs; other known formats are named in the error."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aqa.data.files import decompressed
from aqa.data.json_stream import Entry, as_row
from aqa.data.unusable import describe_archive
from aqa.errors import DataError

ZSTANDARD_METHOD = 93  # in zip files since 2020; supported by Python from 3.14
LOCAL_HEADER = 30  # bytes before a member's name


def read_archive(file: Path) -> list[Entry]:
    """Read the relevant parts of each sample of an Inspect log (.eval).

    Raises:
        DataError: it is another kind of archive, or a sample is no JSON.
    """
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        if "header.json" not in names and "_journal/start.json" not in names:
            raise DataError(f"{file} is {describe_archive(names)}")
        return list(_samples(file, archive, [n for n in names if n.startswith("samples/")]))


def _samples(file: Path, archive: zipfile.ZipFile, names: list[str]) -> Iterator[Entry]:
    if not names:
        raise DataError(f"{file} is a log of Inspect without samples; evaluate with log_samples")
    for name in names:
        place = f"{file}, {name}"
        try:
            sample = json.loads(_read(archive, archive.getinfo(name)))
        except (ValueError, RuntimeError) as error:  # no JSON, or encrypted
            raise DataError(f"{place} can't be read: {error}; is it complete?") from None
        yield Entry(place, as_row(sample, place))


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.compress_type != ZSTANDARD_METHOD or hasattr(zipfile, "ZIP_ZSTANDARD"):
        return archive.read(member)
    file: Any = archive.fp
    file.seek(member.header_offset)
    header = file.read(LOCAL_HEADER)
    names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    file.seek(names, 1)
    packed: Any = io.BufferedReader(io.BytesIO(file.read(member.compress_size)))
    return decompressed(packed).read()
