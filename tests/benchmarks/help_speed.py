"""Wall time of `aqa --help` against a bare Typer application with four commands.

Both start a fresh interpreter whose bytecode is already compiled. The bare application has the
same four verbs with one argument and one option each, and nothing else.

Run: python tests/benchmarks/help_speed.py [--runs 15]
"""

import compileall
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

from arms import Parser, interleave, print_table, print_verdict, ratio, typical

TARGET = 1.25
HEAVY = (
    *("accelerate", "bert_score", "bitsandbytes", "datasets", "evaluate", "numpy", "openai"),
    *("pandas", "peft", "pyarrow", "pydantic", "torch", "transformers", "yaml"),
)
BARE = '''
import typer

app = typer.Typer(help="A bare application.", no_args_is_help=True)


@app.command()
def train(backend: str, config: str = typer.Option("", "--config", help="A file.")) -> None:
    """Train."""


@app.command()
def predict(backend: str, config: str = typer.Option("", "--config", help="A file.")) -> None:
    """Predict."""


@app.command()
def evaluate(backend: str, config: str = typer.Option("", "--config", help="A file.")) -> None:
    """Evaluate."""


@app.command()
def preview(backend: str, config: str = typer.Option("", "--config", help="A file.")) -> None:
    """Preview."""
'''
CHECK = f"""
import sys
sys.argv = ["aqa", "--help"]
from aqa.__main__ import main
try:
    main()
except SystemExit:
    pass
print("HEAVY", *(name for name in {HEAVY!r} if name in sys.modules))
"""


def run(command: list[str], folder: str) -> None:
    """Run a command to its end."""
    subprocess.run(command, check=True, capture_output=True, cwd=folder)


def heavy_modules() -> list[str]:
    """The heavy modules that `aqa --help` imports; there should be none."""
    output = subprocess.run(
        [sys.executable, "-c", CHECK], check=True, capture_output=True, text=True
    ).stdout
    return output.rsplit("HEAVY", 1)[1].split()


def main() -> None:
    asked = Parser(__doc__, runs=(15, 1)).parse_args()
    package = importlib.util.find_spec("aqa")
    assert package is not None
    with tempfile.TemporaryDirectory() as folder:
        # Both use `python -m`, so that the arms differ only in what they import and show.
        bare = Path(folder, "bare", "__main__.py")
        bare.parent.mkdir()
        bare.with_name("commands.py").write_text(BARE, encoding="utf-8")
        bare.write_text("from bare.commands import app\n\napp()\n", encoding="utf-8")
        for path in (*(package.submodule_search_locations or ()), folder):
            compileall.compile_dir(path, quiet=1)
        arms = {
            "python": [sys.executable, "-c", "pass"],
            "bare typer": [sys.executable, "-m", "bare", "--help"],
            "aqa": [sys.executable, "-m", "aqa", "--help"],
        }
        for command in arms.values():
            run(command, folder)  # to fill the page cache
        costs = interleave(
            {name: lambda c=command: run(c, folder) for name, command in arms.items()}, asked.runs
        )
    heavy = heavy_modules()
    rows = [["arm", "wall ms", "lowest", "CPU ms", "times bare"]]
    for name, arm in costs.items():
        lowest = min(cost.wall for cost in arm)
        figures = (typical(arm).wall, lowest, typical(arm).cpu)
        times = ratio(costs, name, "bare typer")
        rows.append([name, *(f"{1000 * seconds:.0f}" for seconds in figures), f"{times:.2f}"])
    print_table(rows)
    print(f"heavy modules imported by aqa --help: {', '.join(heavy) or 'none'}")
    assert not heavy, heavy
    print_verdict("aqa --help / bare typer --help", ratio(costs, "aqa", "bare typer"), TARGET, True)


if __name__ == "__main__":
    main()
