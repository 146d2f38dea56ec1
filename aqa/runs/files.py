"""Write files and folders atomically, hash them, and explain errors of the file system."""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from errno import EISDIR
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO
from zlib import crc32

from aqa.config.paths import resolve_path
from aqa.errors import RunError
from aqa.runs.names import MANIFEST

SPARE = 40  # characters to spare in a file name, since its draft's name is longer


@contextmanager
def explain_write_errors(folder: Path) -> Iterator[None]:
    """Turn a refused write into a one-sentence RunError."""
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        file = next(path for path in (folder, *folder.parents) if path.exists())
        raise RunError(f"{file} is a file, where a folder is needed; name another") from error
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
def explain_read_errors(path: Path) -> Iterator[None]:
    """Turn a refused read of an existing file into a one-sentence RunError."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise RunError(
            f"{path}: can't be read ({error.strerror}); fix the permissions, or name another folder"
        ) from error


@contextmanager
def explain_os_errors(folder: Path) -> Iterator[None]:
    """Turn any OSError about a file in the folder into a one-sentence RunError."""
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
    """Make a folder for the work inside; if that fails and leaves it empty, remove it again."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    with explain_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):  # the folder is not empty
            for path in new:
                path.rmdir()
        raise


def filled(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Drop unknown (None) and empty values, so that a file omits them."""
    return {
        name: value
        for name, value in fields.items()
        if not (value is None or (isinstance(value, tuple | list | dict) and not value))
    }


@dataclass(frozen=True, slots=True)
class Facts:
    """Values that files contain as they are, except unknown ones, also in nested objects."""

    def to_json(self) -> dict[str, Any]:
        """Return what metrics.json or a manifest contains."""
        return asdict(self, dict_factory=lambda fields: filled(_with_lists(dict(fields))))


def _with_lists(fields: dict[str, Any]) -> dict[str, Any]:
    """Make tuples the lists that they are in JSON."""
    return {name: list(item) if isinstance(item, tuple) else item for name, item in fields.items()}


def write_json(path: Path, value: object, locked: bool = True) -> None:
    """Write JSON atomically: the file is either the old one or the complete new one."""
    with atomic(path, locked) as file:
        text = json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False)
        file.write(text.encode() + b"\n")


@contextmanager
def atomic(path: Path, locked: bool = True) -> Iterator[BinaryIO]:
    """Open a draft that replaces the file only when it is complete and on disk.

    Under a lock, the draft of a killed process is overwritten. Without one, if two processes
    write at once, the last one's file is kept whole. A symlink's target is written; a device or
    pipe (/dev/null) is written directly.
    """
    if path.exists() and not path.is_file():
        with explain_write_errors(path.parent), path.open("wb") as file:
            yield file
        return
    path = resolve_path(path)
    mark = f"{crc32(path.name.encode()):x}" if locked else secrets.token_hex(4)
    draft = path.with_name(f".{path.name[:SPARE]}.{mark}.draft")
    with explain_write_errors(path.parent):
        try:
            if locked:
                with _synced(draft) as file:
                    yield file
            else:  # only what is complete has a name, so that a killed process leaves none
                with TemporaryFile(dir=path.parent) as unnamed:
                    yield unnamed
                    unnamed.seek(0)
                    with _synced(draft) as file:
                        shutil.copyfileobj(unnamed, file)
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise


@contextmanager
def _synced(path: Path) -> Iterator[BinaryIO]:
    with path.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a draft folder that replaces the folder only when it is complete."""
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        yield draft
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    with explain_write_errors(folder.parent), _set_aside(folder):
        draft.replace(folder)


def is_gone(file: BinaryIO, path: Path) -> bool:
    """Whether an open file was deleted, even if another file has its name now."""
    status = os.fstat(file.fileno())
    return not status.st_nlink and not (path.exists() and os.path.samestat(status, path.stat()))


def discard(*paths: Path) -> None:
    """Remove files and folders: all of them or, if one can't be removed, none.

    A folder with the name of a file, such as predictions.json, is somebody else's.
    """
    _check_kinds(paths)
    with _set_aside(*paths):
        pass


def check_removable(*paths: Path) -> None:
    """Raise OSError if `discard` could not remove them; leave them where they are."""
    _check_kinds(paths)
    with suppress(_RestoreError), _set_aside(*paths):
        raise _RestoreError


class _RestoreError(Exception):
    """Raised to put back what was set aside."""


def _check_kinds(paths: Sequence[Path]) -> None:
    for path in paths:
        if path.suffix and path.is_dir():
            raise IsADirectoryError(EISDIR, os.strerror(EISDIR), str(path))


@contextmanager
def _set_aside(*paths: Path) -> Iterator[None]:
    """Rename files and folders, and remove them after the work inside; if it fails, restore all.

    A half-removed folder never keeps its name.
    """
    moved: list[tuple[Path, Path]] = []
    try:
        for path in filter(os.path.lexists, paths):
            gone = path.with_name(f".{path.name}.discarded")
            _remove(gone)
            moved.append((path.rename(gone), path))
        yield
    except BaseException:
        for gone, path in moved:
            gone.rename(path)
        raise
    for gone, _ in moved:
        _remove(gone)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


@dataclass(frozen=True, slots=True)
class Hashed(Facts):
    """An input of a run: its name as given, and its hash if it is a local file."""

    name: str
    sha256: str | None = None


def hash_files(path: Path) -> str:
    """SHA-256 in hex of a file's bytes, or of the names and hashes of a folder's files.

    Runs inside the folder are ignored, since answers may be written beside a model, and hidden
    files, which other programs add: .gitattributes, .cache of `hf download`, .DS_Store.
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
        if member.name.startswith("."):
            continue
        if member.is_file():
            yield member
        elif member.is_dir() and not (member.is_symlink() or (member / MANIFEST).is_file()):
            yield from _files(member)
