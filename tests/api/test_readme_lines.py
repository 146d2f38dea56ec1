"""The README's Python examples run as they are, with only the model's files."""

import re
from pathlib import Path

import pytest
from forked import run_script
from tiny_llama import make_tokenizer, save_tiny

README = Path(__file__).parents[2] / "README.md"
PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHORT = """
import aqa
data = [aqa.Example("1", "Who?", [aqa.Passage("Ada.")], ("Ada",))]
answers = aqa.predict("llama", data, model="runs/llama_smollm2")
for answer in answers:
    print(answer.id, answer.text, answer.confidence)
result = aqa.evaluate({"mine": answers, "theirs": {"1": "Ada"}}, data, metrics=["em", "f1"])
print(result.scores["theirs"]["f1"].value)
"""


def lines_of_python() -> list[str]:
    """The README's lines, which build on each other, and a few that need nothing else."""
    return [SHORT, "".join(PYTHON.findall(README.read_text(encoding="utf-8")))]


@pytest.mark.slow
@pytest.mark.parametrize("lines", lines_of_python())
def test_lines_run_as_given(lines: str, tmp_path: Path) -> None:
    save_tiny(tmp_path / "runs" / "llama_smollm2", make_tokenizer())
    (tmp_path / "lines.py").write_text(lines, encoding="utf-8")
    done = run_script(tmp_path / "lines.py", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
