"""Open a run folder: its lock and its manifest."""

import contextlib
import functools
import json
import platform
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from aqa.errors import FolderInUseError, RunError, StoppedError
from aqa.runs.files import (
    discard,
    explain_os_errors,
    explain_read_errors,
    explain_write_errors,
    hash_files,
    write_json,
)
from aqa.runs.fingerprints import differences
from aqa.runs.journal import is_journal
from aqa.runs.names import (
    JOURNAL,
    LOCK,
    MANIFEST,
    MERGED,
    OF_PREDICTION,
    OF_TRAINING,
    PREDICTIONS,
)
from aqa.version import __version__

PACKAGES = (
    "torch", "transformers", "peft", "bitsandbytes", "ctranslate2", "datasets", "accelerate",
    "openai",
)  # fmt: skip
INHERITED = ("backend", "prompt", "evidence", "generation", "evaluation", "seed")
# Backend options that only the user may set, as a folder may be somebody else's: they run its code,
# or a program that it names, or send questions to servers.
NOT_INHERITED = ("trust_remote_code", "vllm")
SECRET = re.compile(r"\b(sk|hf)[-_][A-Za-z0-9_-]{8,}")

Json = dict[str, Any]


@contextmanager
def open_run(folder: Path, verb: str) -> Iterator["Run"]:
    """Make the folder if necessary and lock it for this process; `verb` will work in it.

    The operating system releases the lock however the process ends.

    Raises:
        FolderInUseError: another process holds it.
        RunError: the folder can't be written, or holds another verb's run.
    """
    check_own(folder, verb)  # before leaving a lock file there
    lock = hold(folder)
    try:
        check_own(folder, verb)
        with explain_os_errors(folder):
            _remove_locks(folder)
            yield Run(folder)
    finally:
        lock.release()


def _remove_locks(folder: Path) -> None:
    """Remove the locks of launches whose processes were all killed."""
    for path in folder.glob(f"{LOCK}.*"):
        if not path.suffix[1:].isdecimal():  # those of a training's processes are used again
            with contextlib.suppress(RunError):  # in use, or somebody else's
                lock = hold(folder, path.name)
                path.unlink()
                lock.release()


def check_own(folder: Path, verb: str) -> None:
    """Raise RunError if the folder holds another verb's run or another program's files."""
    manifest = read_manifest(folder)
    other = manifest.get("verb")
    if manifest and not isinstance(other, str):
        raise RunError(f"{folder / MANIFEST}: not a manifest of aqa; name another --output-dir")
    if other not in (None, verb):
        raise RunError(f"{folder} holds a run of `aqa {other}`; name another --output-dir")
    # A run that was killed early has a journal but no manifest yet.
    if manifest or is_journal(folder / JOURNAL):
        return
    names = [*OF_PREDICTION, *(OF_TRAINING if verb == "train" else ())]
    file = next((name for name in names if (folder / name).exists()), None)
    if file is not None:
        raise RunError(
            f"{folder} holds {file}, but no {MANIFEST}, so it is not a run folder of aqa. Name"
            f" another --output-dir, or move {file} away"
        )


def hold(folder: Path, name: str = LOCK) -> FileLock:
    """Make the folder if necessary and lock it.

    Processes that work together in a folder use locks with different names.

    Raises:
        FolderInUseError: another process holds it.
        RunError: the folder can't be written.
    """
    lock = FileLock(folder / name)
    with explain_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise FolderInUseError(folder) from error
    return lock


def read_manifest(folder: Path) -> Json:
    """Return a run folder's manifest, empty if there is none; RunError if it is not JSON."""
    path = folder / MANIFEST
    try:
        with explain_read_errors(path):
            manifest = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(manifest, dict):
            return manifest
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError as error:
        raise RunError(f"{path}: not JSON; restore it, or name another folder") from error
    raise RunError(f"{path}: not a manifest of aqa; name another folder")


def inherited_config(folder: Path) -> Json:
    """Return the parts of a training's config that runs with its weights inherit.

    Data, output folder and training options are left to the new run.
    """
    manifest = read_manifest(folder) or read_manifest(folder.parent)
    config: Json = manifest.get("config", {}) if manifest.get("verb") == "train" else {}
    inherited = _inheritable(config)
    # Relative to where the training was started, or to the folder of shared weights.
    template = Path(manifest.get("directory", folder), inherited.get("prompt", ""))
    if template.suffix and template.is_file():
        inherited["prompt"] = str(template)
    return inherited


def _inheritable(config: Json) -> Json:
    inherited = {key: config[key] for key in INHERITED if key in config}
    if backend := inherited.get("backend"):
        inherited["backend"] = {k: v for k, v in backend.items() if k not in NOT_INHERITED}
    return inherited


def write_inherited(folder: Path, config: Json, template_sha256: str) -> None:
    """Write what runs with the weights in a folder inherit, so that the folder can be shared alone.

    A template that is a file is copied there, unless it has changed since the training began.
    """
    inherited = _inheritable(config)
    inherited["backend"].pop("model", None)  # it is this folder, or in the adapter's own config
    template = Path(config["prompt"])
    if template.is_file() and hash_files(template) == template_sha256:
        inherited["prompt"] = f"prompt{template.suffix}"
        shutil.copyfile(template, folder / inherited["prompt"])
    write_json(folder / MANIFEST, {"verb": "train", "config": inherited})


class Run:
    """An open run folder. Make one with `open_run`."""

    def __init__(self, folder: Path, writes: bool = True) -> None:
        self.folder = folder
        self.manifest: Json = {}
        self.previous = read_manifest(folder) if writes else {}
        self._writes = writes
        self._started = time.time()

    def start(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest of a run that begins now."""
        self.manifest = {
            "version": 1,
            "status": "running",
            "aqa": __version__,
            "directory": str(Path.cwd()),
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(self._started)),
            "git_revision": _git_revision(),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "packages": _package_versions(),
            **manifest,
        }
        self.update({})

    def update(self, fields: Mapping[str, Any]) -> None:
        """Add fields to the manifest, and write it."""
        self.manifest.update(fields)
        self.manifest["wall_seconds"] = round(time.time() - self._started, 3)
        if self._writes:
            write_json(self.folder / MANIFEST, self.manifest)

    @contextmanager
    def recording(self, facts: Callable[[], Mapping[str, Any]] = dict) -> Iterator[None]:
        """Record in the manifest if the work inside is interrupted, with the `facts` by then."""
        try:
            yield
        except BaseException as error:
            status = "failed"
            if isinstance(error, KeyboardInterrupt | GeneratorExit | StoppedError):
                status = "stopped" if isinstance(error, StoppedError) else "interrupted"
            with contextlib.suppress(OSError, RunError):  # the first error is the one to report
                self.update({"status": status, **facts()})
            raise


def check_begun(folder: Path, resume: bool) -> None:
    """Raise RunError early if there is no training to resume."""
    if resume and not read_manifest(folder):
        raise RunError(f"{folder} holds no training to resume; leave out --resume to start one")


def check_previous(run: Run, fingerprint: Mapping[str, Any], resume: bool, fresh: bool) -> None:
    """Raise RunError rather than overwrite a training or resume a different one."""
    if not run.previous:
        return
    if fresh:
        names = (*OF_TRAINING, JOURNAL, PREDICTIONS)
        exported = run.folder.glob(f"{MERGED}-*.gguf")
        discard(*(run.folder / name for name in names), *exported)
        return
    if not resume:
        raise RunError(
            f"{run.folder} holds a training ({run.previous.get('status')}); continue with --resume,"
            " start over with --fresh, or name another --output-dir"
        )
    different = list(differences(run.previous.get("fingerprint", {}), fingerprint).values())
    if different:
        raise RunError(
            f"{run.folder} holds another training: {'; '.join(different[:3])}. Name another"
            " --output-dir, or start over with --fresh"
        )


@functools.cache
def _package_versions() -> Mapping[str, str]:
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def _git_revision() -> str | None:
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607
            capture_output=True, text=True, timeout=5, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def command_line(arguments: list[str]) -> str:
    """Return the command line, ready to be pasted, with anything like an API key removed."""
    return SECRET.sub("***", shlex.join(["aqa", *arguments[1:]]))
