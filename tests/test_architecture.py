"""The package's layers, what a fast start may import, and the table of backends."""

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import aqa
from aqa.backends import ALIASES, BACKENDS, backend_names, find_backend
from aqa.backends.base import Remote, Trainable
from aqa.config.backend_options import BackendOptions
from aqa.errors import UsageError
from aqa.runs import names

PACKAGE = Path(aqa.__file__).parent
# From top to bottom: a file may import from lower layers and from its own folder.
# At the top is what users touch: the command, and the package itself, which leads to the API.
FLOORS = (
    {"__main__", "__init__"},
    {"cli", "api"},
    {"verbs", "display"},
    {"evaluation"},
    {"prompting"},
    {"backends"},
    {"metrics", "data"},
    {"runs"},
    {"config"},
    {"records"},
    {
        "spent",
        "syntax",
        "errors",
        "tables",
        "progress",
        "processes",
        "contention",
        "heap",
        "hub",
        "library_output",
        "version",
    },
)
# Within `backends`: which folders each may import from, besides itself and files in no folder.
BACKEND_FOLDERS = {"openai_api": set(), "local": set(), "t5": {"local"}, "llama_qlora": {"local"}}
LINES_OF_A_FILE, LINES_OF_A_FUNCTION, PARAMETERS = 300, 40, 7
REASON = re.compile(r"# long: \S")  # on the line of a function that may be longer
HEAVY = {
    "torch", "transformers", "peft", "openai", "datasets", "evaluate", "pydantic", "yaml",
    "numpy", "pandas",
}  # fmt: skip


def module_name(path: Path) -> str:
    """The dotted name below aqa: `backends.base`, and `backends` for its __init__.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


def imported(source: str) -> Iterator[str]:
    """Modules of aqa imported anywhere in the source, including lazily or only for types."""
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
                while rest and rest not in MODULES:
                    rest = rest.rpartition(".")[0]
                yield rest or "__init__"


@functools.cache
def imports() -> Mapping[str, set[str]]:
    """What each module imports from aqa."""
    return {
        module: set(imported(path.read_text(encoding="utf-8"))) - {module}
        for module, path in MODULES.items()
    }


def test_imports_are_found_wherever_they_stand() -> None:
    source = (
        "from typing import TYPE_CHECKING\nimport aqa.runs\n"
        "if TYPE_CHECKING:\n    from aqa.data.files import Row\n"
        "def later():\n    from aqa import errors, __version__\n"
    )
    assert set(imported(source)) == {"runs", "data.files", "errors", "__init__"}


def test_imports_between_folders_go_down() -> None:
    floor = {place: number for number, places in enumerate(FLOORS) for place in places}
    for module, targets in imports().items():
        own = module.partition(".")[0]
        for target in targets:
            other = target.partition(".")[0]
            assert own == other or floor[own] < floor[other], f"{module} imports {target}"


def test_backends_do_not_know_each_other() -> None:
    def folder(module: str) -> str | None:
        parts = module.split(".")
        return parts[1] if parts[0] == "backends" and parts[1:2] and len(parts) > 2 else None

    for module, targets in imports().items():
        own = folder(module)
        for target in targets if module.startswith("backends.") else ():
            other = folder(target)
            allowed = {own, None} | BACKEND_FOLDERS.get(own or "", set())
            assert other in allowed, f"{module} imports {target}"


def too_long(source: str, is_api: bool = False) -> Iterator[str]:
    """Yield functions of over 40 lines without a reason, or with over 7 parameters.

    Blank lines, comments and docstrings don't count, nor do the parameters of Typer commands, which
    are their options, nor the keywords of the API's verbs, which mirror them.
    """
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        is_command = any(".command(" in ast.unparse(one) for one in node.decorator_list)
        counted = [node.args.posonlyargs, node.args.args]
        counted += [] if is_api else [node.args.kwonlyargs]
        names = {argument.arg for group in counted for argument in group} - {"self", "cls"}
        start = node.body[0].lineno if is_command or is_api else node.lineno
        code = {
            number
            for number, line in enumerate(lines[start - 1 : node.end_lineno], start)
            if line.strip() and not line.strip().startswith("#")
        }
        if ast.get_docstring(node) is not None:
            code -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
        has_reason = REASON.search(lines[node.lineno - 1]) is not None
        if (len(code) > LINES_OF_A_FUNCTION and not has_reason) or (
            len(names) > PARAMETERS and not is_command
        ):
            yield f"{node.name}: {len(code)} lines, {len(names)} parameters"


def test_what_is_too_long_is_found() -> None:
    body = "".join(f"    x{number} = 1\n" for number in range(40))
    document = '    """One line.\n\n    And more.\n    """\n    # why\n\n'
    assert list(too_long(f"def f(a):\n{document}{body}")) == ["f: 41 lines, 1 parameters"]
    assert not list(too_long(f"def f(a):\n{document}{body[:-11]}"))
    assert not list(too_long(f"def f(a):  # long: a table\n{body}"))
    names = ", ".join("abcdefgh")
    assert list(too_long(f"async def f(self, {names}): ...")) == ["f: 1 lines, 8 parameters"]
    assert not list(too_long(f"def f(self, {names[:-3]}): ..."))
    assert not list(too_long(f"@app.command('x')\ndef f({names}): ..."))
    assert not list(too_long(f"def f(*, {names}): ...", is_api=True))


def test_files_and_functions_are_read_in_one_sitting() -> None:
    for path in PACKAGE.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        assert len(source.splitlines()) <= LINES_OF_A_FILE, path
        assert not list(too_long(source, path.parent.name == "api")), path


def test_tests_lie_in_the_folders_of_what_they_test() -> None:
    tests = Path(__file__).parent
    for path in tests.rglob("test_*.py"):
        assert (PACKAGE / path.parent.relative_to(tests)).is_dir(), path


def test_no_circle_of_files() -> None:
    try:
        list(TopologicalSorter(imports()).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


RUN_FILES = {value for name, value in vars(names).items() if name.isupper()}
# Ambiguous words count only as part of a path; there are other locks as well.
PLAIN = {
    names.ADAPTER, names.MODEL, names.MERGED, names.MEMBERS, names.BATCHES, names.JUDGE, names.LOCK,
    names.STRESS,
}  # fmt: skip


def said_again(source: str) -> Iterator[str]:
    """Names of run folder files that are written out in the source."""
    for node in ast.walk(ast.parse(source)):
        is_division = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
        is_join = isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "joinpath"
        for part in ast.iter_child_nodes(node):
            name = part.value if isinstance(part, ast.Constant) else None
            if name in RUN_FILES and (is_division or is_join or name not in PLAIN):
                yield name


def test_each_file_name_of_a_run_folder_stands_once() -> None:
    source = 'a / "run.json"\nb.joinpath("model")\nc / "merged"\nd = ["spending.json", "adapter"]'
    assert sorted(said_again(source)) == ["merged", "model", "run.json", "spending.json"]
    for module, path in MODULES.items():
        if module != "runs.names":
            assert not list(said_again(path.read_text(encoding="utf-8"))), module


def test_the_lowest_floors_need_the_standard_library_only() -> None:
    for module in sorted((FLOORS[-2] | FLOORS[-1]) - {"hub", "library_output"}):
        for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names.append(node.module or "")
            for name in names:
                assert name.split(".")[0] in sys.stdlib_module_names | {"aqa"}, (module, name)


@pytest.mark.parametrize(
    "start",
    [
        "import aqa.cli.app",
        "import aqa.__main__ as m; m.main()",
        "import aqa.cli.app, aqa.display.console, aqa.cli.tables",
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
    code = (
        "import sys, aqa.evaluation.scoring; from aqa.verbs import train, predict, preview\n"
        "print(*sys.modules)"
    )
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


def test_what_can_be_done_with_a_backend_is_seen_by_its_class() -> None:
    kinds = {name: find_backend(name) for name in BACKENDS}
    assert {name for name, kind in kinds.items() if issubclass(kind, Trainable)} == {
        "t5",
        "llama-qlora",
    }
    assert {name for name, kind in kinds.items() if issubclass(kind, Remote)} == {"gpt4"}


def test_another_package_adds_a_backend() -> None:
    assert "stub" in backend_names()
    assert find_backend("stub").__module__ == "aqa_stub"


def test_what_is_not_a_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("duck", "collections:Counter", "aqa.backends")
    monkeypatch.setattr("aqa.backends.entry_points", lambda **_: [point])
    with pytest.raises(UsageError, match=r"duck \(collections:Counter\) is not a subclass of"):
        find_backend("duck")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("lama", "did you mean llama?"), ("stup", "did you mean stub?"), ("xyz", "known: ")],
)
def test_an_unknown_backend(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match="unknown backend") as error:
        find_backend(name)
    assert hint in str(error.value)


def test_the_terminal_is_reached_in_one_way() -> None:
    """Text from data and servers can't control it: `aqa.display.terminal` has the only console."""
    for path in PACKAGE.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        if path.name != "terminal.py":
            assert "Console(" not in source.replace("SafeConsole(", ""), path
            assert "rich.markup" not in source, path  # no markup is read, so none is escaped


def test_verbs_know_nothing_of_the_terminal() -> None:
    """Typer makes commands only in `cli`; Rich draws there and in `display`."""
    allowed = {"typer": {"cli"}, "rich": {"cli", "display"}}
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in (name.partition(".")[0] for name in names):
                own = module.partition(".")[0]
                assert own in allowed.get(name, {own}), (module, name)


def test_names_of_test_files_are_unique() -> None:
    """Without packages, pytest confuses two files with one name."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)
