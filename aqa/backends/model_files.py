"""Find a model's files: in a run folder, adapter, folder, package or on the hub."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

from aqa.config.backend_options import BackendOptions
from aqa.config.shipped import PREFIX, locate_package_file
from aqa.errors import ModelError
from aqa.hub import ready_hub
from aqa.runs.files import Hashed, atomic_folder, explain_write_errors, hash_files
from aqa.runs.names import ADAPTER, MODEL

GGUF = ".gguf"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The location of a model, whole or as base and adapter.

    `base` is a hub id or a folder; `gguf_file` names an unconverted file in that folder. `spec` is
    how the user named the base, for messages and the adapter's config.
    """

    spec: str
    base: str
    adapter: Path | None = None
    gguf_file: str | None = None

    @property
    def title(self) -> str:
        """The model's name in messages."""
        return self.spec if self.adapter is None else f"{self.spec} (base of {self.adapter})"


def find_model(options: BackendOptions) -> ModelFiles:
    """Find the model that the options name; ModelError if the folder is missing or not a model."""
    folder = Path(options.model)
    if folder.is_dir():
        adapter = folder / ADAPTER if (folder / ADAPTER).is_dir() else folder
        config = adapter / "adapter_config.json"
        if config.is_file():
            return _find_base(_base_of(config, options), adapter)
        if (folder / MODEL / "config.json").is_file():
            return ModelFiles(options.model, str(folder / MODEL))
        if not (folder / "config.json").is_file():
            configs = [*folder.glob("*/config.json"), *folder.glob("*/adapter_config.json")]
            inside = sorted(
                (path.parent.name for path in configs), key=lambda name: (len(name), name)
            )
            others = "name a trained run folder, an adapter, a model's folder or a hub id"
            raise ModelError(
                f"{folder}: holds neither a model (config.json) nor an adapter; "
                + (f"name one within it, such as {folder / inside[-1]}" if inside else others)
            )
    elif _can_only_be_a_path(options.model):
        raise ModelError(f"{options.model}: no such folder")
    return _find_base(options.model, None)


def _can_only_be_a_path(spec: str) -> bool:
    """Whether `spec` can't be a hub id (NAME or OWNER/NAME), a packaged model or a GGUF file."""
    if spec.startswith(PREFIX) or spec.endswith(GGUF):
        return False
    return spec.startswith((".", "~")) or Path(spec).is_absolute() or spec.count("/") > 1


def _base_of(config: Path, options: BackendOptions) -> str:
    try:
        adapter_config = json.loads(config.read_bytes())
        spec: str | None = adapter_config.get("base_model_name_or_path")
    except (AttributeError, ValueError) as error:
        raise ModelError(
            f"{config}: not an adapter's JSON; restore it, or name another model"
        ) from error
    if not spec:
        raise ModelError(f"{config}: no base_model_name_or_path, so its base is unknown")
    beside = config.parent / spec  # a base may be named relative to its adapter
    if not Path(spec).exists() and beside.exists():
        spec = str(beside.resolve())
    elif not Path(spec).exists() and _can_only_be_a_path(spec):
        raise ModelError(
            f"{config.parent}: this adapter's base model, {spec}, is not there; put it there, or"
            f" correct base_model_name_or_path in {config}"
        )
    # transformers would silently load that adapter too, if it can.
    if any((Path(spec) / part / config.name).is_file() for part in (".", ADAPTER)):
        raise ModelError(
            f"{config.parent}: this adapter's base, {spec}, holds an adapter itself; merge that one"
            f" where it was trained, and correct base_model_name_or_path in {config}"
        )
    revision = adapter_config.get("revision")
    if revision and not (Path(spec).exists() or getattr(options, "revision", None)):
        raise ModelError(
            f"{config.parent}: this adapter was trained on the revision {revision} of {spec}; add"
            f" --set backend.revision={revision}"
        )
    return spec


def _find_base(spec: str, adapter: Path | None) -> ModelFiles:
    if not spec.startswith(PREFIX) and not spec.endswith(GGUF):
        if not Path(spec).exists():
            ready_hub()
        return ModelFiles(spec, spec, adapter)
    path = locate_package_file(spec) if spec.startswith(PREFIX) else Path(spec)
    if not path.exists():
        raise ModelError(f"{spec}: no such file")
    if path.suffix != GGUF:
        return ModelFiles(spec, str(path), adapter)
    converted = converted_folder(path)
    if (converted / "config.json").is_file():
        return ModelFiles(spec, str(converted), adapter)
    return ModelFiles(spec, str(path.parent), adapter, gguf_file=path.name)


def hash_model(files: ModelFiles) -> dict[str, Hashed]:
    """Hash the model and its adapter if they are local; for a GGUF file, the file itself."""
    name = files.spec if files.spec.endswith(GGUF) else files.base
    path = locate_package_file(name) if name.startswith(PREFIX) else Path(name)
    hashes = {"model": Hashed(name, hash_once(path) if path.exists() else None)}
    if files.adapter is not None:
        hashes["adapter"] = Hashed(str(files.adapter), hash_files(files.adapter))
    return hashes


def converted_folder(path: Path) -> Path:
    """Return the folder for the converted form of a GGUF file, by content rather than name."""
    return cached_model(f"{path.stem}-{hash_once(path)[:16]}")


def cached_model(name: str) -> Path:
    """Return a model's folder in the user's cache."""
    return user_cache_path("aqa") / "models" / name


def write_once(
    folder: Path, write: Callable[[Path], None], is_current: Callable[[Path], bool] = Path.is_dir
) -> Path:
    """Let `write` fill the folder unless it `is_current`, while other processes wait."""
    with explain_write_errors(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not is_current(folder):
                with atomic_folder(folder) as draft:
                    write(draft)
    return folder


def hash_once(path: Path) -> str:
    """Return the SHA-256 that `hash_files` computes; reads unchanged files once per process."""
    if not path.is_file():
        return hash_files(path)
    status = path.stat()
    return _hash_once(path.resolve(), status.st_size, status.st_mtime_ns, status.st_ino)


@cache
def _hash_once(path: Path, *_: int) -> str:
    return hash_files(path)
