"""Hashes of what a run was made from and of what it wrote."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aqa.runs.files import Facts
from aqa.runs.names import MANIFEST


@dataclass(frozen=True, slots=True)
class Hashed(Facts):
    """What a run was made from: its name as it was given, and its hash where it lies here."""

    name: str
    sha256: str | None = None


def hash_files(path: Path) -> str:
    """SHA-256 in hex of a file's bytes as stored; of a folder, of its files' names and hashes.

    Runs that lie in the folder are no part of it: answers may be written beside a model.
    """
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    lines = [
        f"{member.relative_to(path).as_posix()} {hash_files(member)}\n"
        for member in sorted(_files(path))
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    for member in folder.iterdir():
        if member.is_file():
            yield member
        elif member.is_dir() and not (member.is_symlink() or (member / MANIFEST).is_file()):
            yield from _files(member)
