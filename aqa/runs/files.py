"""Files that are the old ones or the whole new ones, however the process ends; their hashes."""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO
from zlib import crc32

from aqa.config.paths import on_disk
from aqa.errors import RunError
from aqa.runs.names import MANIFEST

ROOM = 40  # characters of a name, since that of its draft is longer and must be one, too


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn the system's refusal to write into one sentence."""
    try:
        yield
    except FileExistsError as error:
        raise RunError(f"{folder} is a file, where a folder is needed; name another") from error
    except FileNotFoundError as error:
        raise RunError(
            f"{folder}: can't write there, since it does not exist (any more); make it, move it"
            " back, or name another place"
        ) from error
    except OSError as error:
        raise RunError(
            f"{folder}: can't write there ({error.strerror}); free some space, fix the permissions,"
            " or name another place. What was already written is kept."
        ) from error


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn the system's refusal to read what is there into one sentence."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise RunError(
            f"{path}: can't be read ({error.strerror}); fix the permissions, or name another folder"
        ) from error


@contextmanager
def usable(folder: Path) -> Iterator[None]:
    """Turn the system's refusal of a file in the folder into one sentence, wherever it is met."""
    try:
        yield
    except OSError as error:
        if folder not in Path(error.filename or "").parents:
            raise
        raise RunError(
            f"{error.filename}: can't be used ({error.strerror}); fix its permissions, move it"
            " away, or name another folder. What was already written is kept."
        ) from error


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Make a folder for the work within, and take it away if that fails and leaves it empty."""
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):  # of one that is not empty
            for each in new:
                each.rmdir()
        raise


def known(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is not known, or empty, so that a file does not hold it."""
    return {
        name: value
        for name, value in fields.items()
        if not (value is None or (isinstance(value, tuple | list | dict) and not value))
    }


@dataclass(frozen=True, slots=True)
class Facts:
    """Values that files hold as they are, but for those that are not known, within others too."""

    def to_json(self) -> dict[str, Any]:
        """Give what metrics.json or a manifest holds."""
        return asdict(self, dict_factory=lambda fields: known(dict(fields)))


def write_json(path: Path, value: object, locked: bool = True) -> None:
    """Write JSON so that the file is either the old one or the whole new one."""
    with atomic(path, locked) as file:
        text = json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False)
        file.write(text.encode() + b"\n")


@contextmanager
def atomic(path: Path, locked: bool = True) -> Iterator[BinaryIO]:
    """Open a file that takes its name only when it is complete and on the disk.

    Under a lock, a draft that a killed process left is written over. Without one, of two processes
    that write the file at once, the last one's stays whole. A link leads to the file that is
    written; a device or a pipe (/dev/null) takes what comes.
    """
    if path.exists() and not path.is_file():
        with explained(path.parent), path.open("wb") as file:
            yield file
        return
    path = on_disk(path)
    mark = f"{crc32(path.name.encode()):x}" if locked else secrets.token_hex(4)
    draft = path.with_name(f".{path.name[:ROOM]}.{mark}.draft")
    with explained(path.parent):
        try:
            with draft.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Give a draft that takes the folder's name, and place, only when it is complete."""
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        yield draft
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    with explained(folder.parent):
        discard(folder)
        draft.replace(folder)


def is_gone(file: BinaryIO, path: Path) -> bool:
    """Whether an open file was removed, though another may have taken its name since."""
    own = os.fstat(file.fileno())
    return not own.st_nlink and not (path.exists() and os.path.samestat(own, path.stat()))


def discard(path: Path) -> None:
    """Remove a file or a folder, half of which never has its name."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    gone = path.with_name(f".{path.name}.discarded")
    shutil.rmtree(gone, ignore_errors=True)
    shutil.rmtree(path.rename(gone), ignore_errors=True)


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
