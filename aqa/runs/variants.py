"""Folders of the runs that one command makes of one reader: one per prompt or condition.

Stress conditions are inside the run folder of the plain evidence. Runs by prompt are in a
folder that is not a run itself and lists their names in order.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from aqa.config.stress_conditions import CONDITIONS
from aqa.errors import RunError
from aqa.runs.files import explain_read_errors, explain_write_errors, write_json
from aqa.runs.names import JOURNAL, PREDICTIONS, PROMPTS, STRESS


def stress_folder(folder: Path, condition: str) -> Path:
    """Return the run folder of a condition."""
    return folder / STRESS / condition


def stress_runs(folder: Path) -> dict[str, Path]:
    """Return the existing run folders, by condition."""
    folders = {condition: stress_folder(folder, condition) for condition in CONDITIONS}
    return {name: path for name, path in folders.items() if _is_run(path)}


def conditions_begun(folder: Path) -> list[str]:
    """Return the conditions that have a folder, even without answers."""
    return [name for name in CONDITIONS if stress_folder(folder, name).is_dir()]


def write_prompts(folder: Path, names: Sequence[str]) -> None:
    """Add prompts to the folder's list, new ones last; RunError if it is a run itself."""
    if _is_run(folder):
        raise RunError(f"{folder} holds a run of one prompt; name another --output-dir for several")
    with explain_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    prompts = list(dict.fromkeys([*prompts_in(folder), *names]))
    write_json(folder / PROMPTS, {"version": 1, "prompts": prompts})


def prompt_runs(folder: Path) -> dict[str, Path]:
    """Return the prompts' run folders by name; none if the folder is a run."""
    return {} if _is_run(folder) else {name: folder / name for name in prompts_in(folder)}


def prompts_in(folder: Path) -> list[str]:
    """Return the names of the prompts in the folder; RunError if their file was edited."""
    path = folder / PROMPTS
    try:
        with explain_read_errors(path):
            names = json.loads(path.read_bytes())["prompts"]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (ValueError, KeyError, TypeError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RunError(f"{path} should name prompts, but does not; delete it and predict again")
    return names


def _is_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (JOURNAL, PREDICTIONS))
