"""Check that a run's inputs and outputs are still what its manifest says."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from aqa.config.paths import expand_home
from aqa.config.shipped import PREFIX, locate_package_file
from aqa.errors import AqaError, RunError
from aqa.prompting.templates import find_template
from aqa.runs.files import hash_files
from aqa.runs.folder import read_manifest
from aqa.runs.names import ADAPTER, MANIFEST, MERGED, MODEL, PREDICTIONS
from aqa.runs.variants import prompt_runs, stress_runs

Status = Literal["same", "changed", "missing", "unchecked"]


@dataclass(frozen=True, slots=True)
class Checked:
    """One thing recorded in a manifest. `name` is its path or other name.

    It is `missing` if no file is found, and `unchecked` if the manifest has no hash of it: data
    and models from the hub, and what an unfinished run has not written.
    """

    what: str
    name: str
    status: Status


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found in one run folder."""

    folder: Path
    run_status: str
    checked: tuple[Checked, ...]

    @property
    def wrong(self) -> list[Checked]:
        """What has changed or is missing."""
        return [file for file in self.checked if file.status in ("changed", "missing")]

    def to_json(self) -> dict[str, Any]:
        """Return what --json prints."""
        return {
            "folder": str(self.folder),
            "run_status": self.run_status,
            "is_sound": not self.wrong,
            "files": [asdict(file) for file in self.checked],
        }


def verify_runs(named: Iterable[Path]) -> list[Verification]:
    """Verify run folders, with the runs of several prompts or stress conditions in them.

    Raises:
        RunError: one of them has no manifest.
    """
    runs = [run for folder in named for run in prompt_runs(folder).values() or (folder,)]
    return [verify(variant) for run in runs for variant in (run, *stress_runs(run).values())]


def verify(folder: Path) -> Verification:
    """Hash again everything that a manifest has a hash of; RunError if there is nothing."""
    named, is_file = folder, folder.is_file()
    folder = folder.parent if is_file else folder
    manifest = read_manifest(folder)
    if not manifest:
        if not named.exists():
            raise RunError(f"{named}: no such file or folder; name a run folder")
        where = "in a run folder: its folder has" if is_file else "a run folder: it holds"
        raise RunError(f"{named} is not {where} no {MANIFEST}")
    sources = manifest.get("sources")
    if not isinstance(sources, dict) or not all(
        isinstance(source, dict) and isinstance(source.get("name"), str)
        for source in sources.values()
    ):  # the file may have been edited by hand
        raise RunError(f"{folder / MANIFEST} names no sources to compare with")
    started_in = manifest.get("directory")
    directories = [Path(started_in)] if isinstance(started_in, str) else []
    directories.append(Path.cwd())
    checked = [
        _check(what, source["name"], _find(what, source["name"], directories), source.get("sha256"))
        for what, source in sources.items()
    ]
    weights = ADAPTER if (folder / ADAPTER).is_dir() else MODEL
    names = {"weights": weights, "merged": MERGED, "predictions": PREDICTIONS}
    for what, name in names.items():
        path, sha256 = folder / name, manifest.get(f"{what}_sha256")
        if sha256 is not None or path.exists():
            checked.append(_check(what, str(path), path if path.exists() else None, sha256))
    return Verification(folder, str(manifest.get("status")), tuple(checked))


def _check(what: str, name: str, path: Path | None, sha256: str | None) -> Checked:
    if sha256 is None:
        return Checked(what, name, "unchecked")
    if path is None:
        return Checked(what, name, "missing")
    return Checked(what, name, "same" if hash_files(path) == sha256 else "changed")


def _find(what: str, name: str, directories: Sequence[Path]) -> Path | None:
    """Find a source; relative paths are tried first where the run started, then here."""
    try:
        if name.startswith(PREFIX):
            return locate_package_file(name)
        for directory in directories:
            path = directory / expand_home(name)
            if path.exists() and (what != "prompt" or path.suffix):
                return path
        return find_template(name) if what == "prompt" else None
    except AqaError:
        return None
