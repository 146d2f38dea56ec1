"""Two processes that train one model: the same loss curve as one with doubled accumulation."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_llama import rows, write_rows, write_template

from aqa.hashes import hash_files

PROCESSES = 2


def settings(kind: str, tiny: Path, folder: Path) -> list[str]:
    """The arguments of a training of eight rows, four to an optimizer step."""
    data = write_rows(folder / "rows.jsonl")
    values = {
        "backend.compute_dtype": "float32",
        "generation.max_new_tokens": "4",
        "training.num_train_epochs": "3",
        "training.warmup_steps": "0",
        "training.per_device_train_batch_size": "2",
        "training.evaluate_before": "false",
        "training.save_total_limit": "9",
    }
    words = ["train", kind, "--data", str(data), "--dev-data", str(data)]
    if kind == "llama":
        words += ["--model", str(tiny), "--prompt", str(write_template(folder))]
        values |= {"backend.lora.dropout": "0", "training.learning_rate": "0.01"}
        values |= {"backend.max_seq_length": "200"}
    else:
        words += ["--config", "t5_tiny"]
        values |= {"training.eval_strategy": "epoch", "training.learning_rate": "0.002"}
        values |= {"backend.from_scratch.d_model": "32", "backend.from_scratch.vocab_size": "400"}
    return [*words, *(word for pair in values.items() for word in ("--set", "=".join(pair)))]


def run(arguments: list[str], processes: int, accumulation: int) -> None:
    """Run `aqa` alone or under torchrun; each optimizer step sees four rows."""
    start = ["-m"] if processes == 1 else ["-m", "torch.distributed.run", "--nproc-per-node", "2"]
    start += [] if processes == 1 else ["--master-port", str(29_500 + os.getpid() % 1000), "-m"]
    steps = f"training.gradient_accumulation_steps={accumulation}"
    done = subprocess.run(
        [sys.executable, *start, "aqa", *arguments, "--set", steps],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Validation scores") == 1  # one of them shows something
    assert done.stderr.count("Tokenizing") <= 1


def losses(folder: Path) -> list[float]:
    """The loss of each step, as the last checkpoint tells."""
    (last,) = (folder / "checkpoints").glob("checkpoint-6")
    history = json.loads((last / "trainer_state.json").read_bytes())["log_history"]
    return [entry["loss"] for entry in history if "loss" in entry]


def read(path: Path) -> Any:
    return json.loads(path.read_bytes())


@pytest.mark.parametrize("kind", ["t5", "llama"])
def test_two_processes_train_as_one(kind: str, tiny: Path, tmp_path: Path) -> None:
    words = settings(kind, tiny, tmp_path)
    one, two, both = (tmp_path / name for name in ("one", "two", "both"))
    run([*words, "-o", str(one)], 1, 2)
    run([*words, "-o", str(two)], PROCESSES, 1)
    assert len(losses(one)) == 6
    assert losses(one)[0] > losses(one)[-1]
    assert losses(two) == pytest.approx(losses(one), abs=1e-3)

    manifest = read(two / "run.json")
    assert manifest["status"] == "done"
    assert manifest["counts"]["dev"] == len(rows())
    assert manifest["predictions_sha256"] == hash_files(two / "predictions.json")
    ours, theirs = (read(folder / "predictions.json") for folder in (two, one))
    assert list(ours) == list(theirs)

    # What two processes began, one goes on with.
    shutil_copy(two, both, steps=2)
    run([*words, "-o", str(both), "--resume"], 1, 2)
    assert losses(both) == pytest.approx(losses(one), abs=1e-3)


def shutil_copy(source: Path, target: Path, steps: int) -> None:
    """A run folder as it is after so many steps, interrupted."""
    import shutil

    shutil.copytree(source, target)
    for checkpoint in (target / "checkpoints").glob("checkpoint-*"):
        if int(checkpoint.name.partition("-")[2]) > steps:
            shutil.rmtree(checkpoint)
    manifest = read(target / "run.json")
    manifest["status"] = "interrupted"
    (target / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
