"""The floors of the package, what a quick start may load, and the table of backends."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import aqa
from aqa.backend_options import BackendOptions
from aqa.backends import ALIASES, BACKENDS, backend_names, find_backend
from aqa.errors import UsageError

PACKAGE = Path(aqa.__file__).parent
FLOORS = {
    5: {
        "__main__",
        "cli",
        "flags",
        "command_config",
        "console",
        "terminal",
        "tables",
        "score_tables",
        "paper_tables",
        "score_files",
        "report",
    },
    4: {"train", "predict", "evaluate", "preview"},
    3: {
        "answering",
        "inputs",
        "training_evidence",
        "training_plan",
        "training_watch",
        "gold",
        "abstention",
        "comparison",
        "disagreement",
        "slices",
        "mistakes",
        "systems",
        "material",
        "scored",
        "verification",
        "judge_cases",
        "judging",
    },
    2: {
        "backends",
        "metrics",
        "data",
        "prompts",
        "runs",
        "journal",
        "journal_rows",
        "prediction_files",
        "human_labels",
    },
    1: {
        "config",
        "options",
        "backend_options",
        "progress",
        "evidence",
        "answers",
        "atomic_files",
        "response_schemas",
        "quiet",
    },
    0: {"records", "errors", "hashes", "locations", "predecessor", "processes", "__init__"},
}
# All other imports go down. Of those within a floor, these are meant.
SIDEWAYS = {
    ("__main__", "cli"),
    ("__main__", "console"),
    ("cli", "console"),
    ("cli", "flags"),
    ("cli", "command_config"),
    ("console", "terminal"),
    ("tables", "terminal"),
    ("score_tables", "terminal"),
    ("cli", "tables"),
    ("cli", "score_tables"),
    ("cli", "score_files"),
    ("cli", "report"),
    ("score_tables", "paper_tables"),
    ("score_tables", "console"),
    ("score_tables", "tables"),
    ("train", "evaluate"),
    ("prediction_files", "journal"),
    ("prediction_files", "data"),
    ("human_labels", "metrics"),
    ("answering", "inputs"),
    ("inputs", "training_evidence"),
    ("training_plan", "inputs"),
    ("training_watch", "training_plan"),
    ("inputs", "gold"),
    ("training_evidence", "gold"),
    ("evidence", "options"),
    ("config", "options"),
    ("config", "backend_options"),
    ("options", "backend_options"),
    ("scored", "abstention"),
    ("scored", "comparison"),
    ("scored", "disagreement"),
    ("scored", "mistakes"),
    ("scored", "slices"),
    ("judging", "judge_cases"),
    ("judge_cases", "material"),
    ("judge_cases", "systems"),
    ("material", "systems"),
    ("material", "judging"),
    ("material", "slices"),
    ("locations", "errors"),
    ("predecessor", "errors"),
}
HEAVY = {
    "torch", "transformers", "peft", "openai", "datasets", "evaluate", "pydantic", "yaml",
    "numpy", "pandas",
}  # fmt: skip


def modules() -> dict[str, list[Path]]:
    """The files of each module at the top of the package."""
    found = {}
    for path in PACKAGE.iterdir():
        if path.suffix == ".py":
            found[path.stem] = [path]
        elif files := [file for file in path.rglob("*.py") if not path.name.startswith("_")]:
            found[path.name] = files
    return found


def imported(source: str) -> Iterator[str]:
    """Modules of aqa that are imported anywhere in the source, named by their first part."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            package, _, rest = name.partition(".")
            if package == "aqa":
                first = rest.partition(".")[0]
                yield first if first in modules() else "__init__"


def edges() -> set[tuple[str, str]]:
    return {
        (module, target)
        for module, files in modules().items()
        for file in files
        for target in imported(file.read_text(encoding="utf-8"))
        if target != module
    }


def test_imports_are_found_wherever_they_stand() -> None:
    source = (
        "from typing import TYPE_CHECKING\nimport aqa.runs\n"
        "if TYPE_CHECKING:\n    from aqa.data.files import Row\n"
        "def later():\n    from aqa import console, __version__\n"
    )
    assert set(imported(source)) == {"runs", "data", "console", "__init__"}


def test_every_module_has_a_floor() -> None:
    assert modules().keys() <= set().union(*FLOORS.values())


def test_imports_go_down() -> None:
    floor = {module: number for number, members in FLOORS.items() for module in members}
    upwards = {(a, b) for a, b in edges() if floor[a] <= floor[b]}
    assert upwards == SIDEWAYS


def test_the_lowest_floor_needs_the_standard_library_only() -> None:
    for module in sorted(FLOORS[0]):
        for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names.append(node.module or "")
            for name in names:
                assert name.split(".")[0] in sys.stdlib_module_names | {"aqa"}, (module, name)


@pytest.mark.parametrize(
    "start",
    [
        "import aqa.cli",
        "import aqa.__main__ as m; m.main()",
        "import aqa.cli, aqa.console, aqa.tables",
    ],
)
def test_a_quick_start_loads_nothing_heavy(start: str) -> None:
    code = (
        "import sys; sys.argv = ['aqa', '--help']\n"
        f"try:\n    {start}\nexcept SystemExit: pass\n"
        "print('loaded:', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.partition("loaded:")[2].split())
    assert "typer" in loaded
    assert not loaded & HEAVY


def test_the_verbs_load_no_reader() -> None:
    code = "import sys, aqa.train, aqa.predict, aqa.evaluate, aqa.preview; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "pydantic" in loaded
    assert not loaded & HEAVY - {"numpy", "pydantic", "yaml"}


def test_a_backend_is_called_as_its_options_are() -> None:
    assert BACKENDS
    for name in backend_names():
        options = find_backend(name).Options
        assert issubclass(options, BackendOptions)
        assert options.model_fields["name"].default == name
    assert set(ALIASES.values()) <= BACKENDS.keys()
    assert all(find_backend(alias) is find_backend(name) for alias, name in ALIASES.items())


def test_another_package_adds_a_backend() -> None:
    assert "stub" in backend_names()
    assert find_backend("stub").__module__ == "aqa_stub"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("lama", "did you mean llama?"), ("stup", "did you mean stub?"), ("xyz", "known: ")],
)
def test_an_unknown_backend(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match="unknown backend") as error:
        find_backend(name)
    assert hint in str(error.value)


def test_the_terminal_is_reached_in_one_way() -> None:
    """Text of data and servers can't steer it: `aqa.terminal` has the only console."""
    for path in PACKAGE.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        if path.name != "terminal.py":
            assert "Console(" not in source.replace("SafeConsole(", ""), path
            assert "rich.markup" not in source, path  # it reads no markup: nothing to escape
