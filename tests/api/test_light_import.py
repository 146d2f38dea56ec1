"""`import aqa` is fast: it imports only what is needed."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import aqa

HEAVY = {
    "torch", "transformers", "peft", "openai", "datasets", "evaluate", "pydantic", "yaml", "numpy",
    "pandas", "typer", "rich", "jinja2", "asyncio", "aqa.api", "aqa.records",
}  # fmt: skip


def imported(code: str) -> set[str]:
    """The modules that Python reports importing while it runs the code."""
    command = [sys.executable, "-X", "importtime", "-c", code]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "|" in line}


def test_the_package_itself() -> None:
    found = imported("import aqa")
    assert "aqa.version" in found
    assert not found & HEAVY


@pytest.mark.parametrize("name", ["Example", "Passage", "Prediction", "AqaError"])
def test_values_need_the_standard_library_alone(name: str) -> None:
    found = imported(f"import aqa; aqa.{name}")
    assert not found & HEAVY - {"aqa.records"}


@pytest.mark.parametrize(
    "name", ["predict", "evaluate", "train", "preview", "load_config", "estimate_cost"]
)
@pytest.mark.slow
def test_no_verb_loads_a_reader(name: str) -> None:
    found = imported(f"import aqa; aqa.{name}")
    assert "aqa.verbs" in found
    needed = {"pydantic", "yaml", "numpy", "rich", "aqa.api", "aqa.records", "asyncio"}
    assert not found & (HEAVY - needed)


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(aqa.__file__).read_text(encoding="utf-8"))
    (typed,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.name: node.module
        for node in typed.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == vars(aqa)["_MODULES"]
    assert sorted([*seen, "__version__"]) == aqa.__all__
