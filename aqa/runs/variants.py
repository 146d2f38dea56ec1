"""Where the runs lie that one command makes of one reader: a folder a prompt, a folder a condition.

Conditions of a stress test lie inside the run folder of the plain evidence, runs by prompt in a
folder that is no run itself and names them in their order.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from aqa.config.conditions import CONDITIONS
from aqa.errors import RunError
from aqa.runs.files import explained, readable, write_json
from aqa.runs.names import JOURNAL, PREDICTIONS, PROMPTS, STRESS


def stress_folder(folder: Path, condition: str) -> Path:
    """The run folder of a condition."""
    return folder / STRESS / condition


def stress_runs(folder: Path) -> dict[str, Path]:
    """The run folders of all conditions that were asked, by condition."""
    found = {condition: stress_folder(folder, condition) for condition in CONDITIONS}
    return {name: path for name, path in found.items() if _is_run(path)}


def write_prompts(folder: Path, names: Sequence[str]) -> None:
    """Name the prompts with runs in the folder, new ones last; RunError if it is a run itself."""
    if _is_run(folder):
        raise RunError(f"{folder} holds a run of one prompt; name another --output-dir for several")
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    known = list(dict.fromkeys([*prompts_in(folder), *names]))
    write_json(folder / PROMPTS, {"version": 1, "prompts": known})


def prompt_runs(folder: Path) -> dict[str, Path]:
    """The run folders of the prompts, by name; none where the folder is not one of several."""
    return {} if _is_run(folder) else {name: folder / name for name in prompts_in(folder)}


def prompts_in(folder: Path) -> list[str]:
    """The prompts whose runs lie in the folder; RunError for a changed file of their names."""
    path = folder / PROMPTS
    try:
        with readable(path):
            found = json.loads(path.read_bytes())["prompts"]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (ValueError, KeyError, TypeError):
        found = None
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise RunError(f"{path} should name prompts, but does not; delete it and predict again")
    return found


def _is_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (JOURNAL, PREDICTIONS))
