"""Hashes of what a run was made from and of what it wrote."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Hashed:
    """What a run was made from: its name as it was given, and its hash where it lies here."""

    name: str
    sha256: str | None = None

    def to_json(self) -> dict[str, str]:
        """Give what a manifest holds."""
        return {"name": self.name, **({"sha256": self.sha256} if self.sha256 else {})}


def hash_files(path: Path) -> str:
    """SHA-256 in hex of a file's bytes as stored; of a folder, of its files' names and hashes."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    lines = [
        f"{member.relative_to(path).as_posix()} {hash_files(member)}\n"
        for member in sorted(path.rglob("*"))
        if member.is_file()
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
