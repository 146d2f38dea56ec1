"""Several processes train one model with the same losses as one with more accumulation."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import deepspeed_on_cpus
import pytest
import spread_on_cpus
from files import read
from forked import Forked, run_aqa, start_aqa
from safetensors.torch import load_file
from tiny_llama import rows, write_rows, write_template

from aqa.backends.local.checkpoints import check_optimizer
from aqa.errors import RunError
from aqa.runs.files import hash_files

PROCESSES = 2
Launch = Callable[..., tuple[list[int], str, str]]  # exit codes, output, messages


def settings(kind: str, tiny: Path, folder: Path) -> list[str]:
    """The arguments of a training on five rows, four per optimizer step.

    So the second of two processes has no row in an epoch's last step.
    """
    data, dev = write_rows(folder / "rows.jsonl", rows()[:5]), write_rows(folder / "dev.jsonl")
    values = {
        "backend.compute_dtype": "float32",
        "generation.max_new_tokens": "4",
        "training.num_train_epochs": "3",
        "training.warmup_steps": "0",
        "training.per_device_train_batch_size": "2",
        "training.evaluate_before": "false",
        "training.save_total_limit": "9",
    }
    words = ["train", kind, "--data", str(data), "--dev-data", str(dev)]
    if kind == "llama":
        words += ["--model", str(tiny), "--prompt", str(write_template(folder))]
        values |= {"backend.lora.dropout": "0", "training.learning_rate": "0.01"}
        values |= {"backend.max_seq_length": "200"}
    else:
        words += ["--config", "t5_tiny"]
        values |= {"training.eval_strategy": "epoch", "training.learning_rate": "0.002"}
        values |= {"backend.from_scratch.d_model": "32", "backend.from_scratch.vocab_size": "400"}
    return [*words, *(word for pair in values.items() for word in ("--set", "=".join(pair)))]


PORT = str(29_500 + os.getpid() % 1000)
TORCHRUN = ["-m", "torch.distributed.run", "--nproc-per-node", str(PROCESSES)]
TORCHRUN += ["--master-port", PORT]


def launched(launcher: Sequence[str], program: Sequence[str] = ("-m", "aqa")) -> Launch:
    """Return a function that runs `aqa`, or a program, in the processes that a launcher starts."""

    def launch(*arguments: str) -> tuple[list[int], str, str]:
        done = subprocess.run(
            [sys.executable, *launcher, *program, *arguments],
            capture_output=True,
            text=True,
            timeout=1200,
            env={**os.environ, "DS_ACCELERATOR": "cpu"},
            check=False,
        )
        return [done.returncode], done.stdout, done.stderr

    return launch


def together(
    *arguments: str, start: Callable[..., Forked] = start_aqa, **env: str
) -> tuple[list[int], str, str]:
    """Run what torchrun would, without its start-up time."""
    group = {**env, "WORLD_SIZE": str(PROCESSES), "LOCAL_WORLD_SIZE": str(PROCESSES)}
    group |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": PORT}
    processes = [
        start(*arguments, env={**os.environ, **group, "RANK": rank, "LOCAL_RANK": rank})
        for rank in map(str, range(PROCESSES))
    ]
    outputs, errors = zip(*(process.communicate() for process in processes), strict=True)
    codes = [process.returncode or 0 for process in processes]
    return codes, "".join(outputs), "".join(errors)


def spread(
    *arguments: str, program: Callable[..., None] = spread_on_cpus.aqa
) -> tuple[list[int], str, str]:
    """The same with FSDP2, set in the environment as by accelerate's config."""
    return together(
        *arguments,
        start=partial(Forked, program),
        ACCELERATE_USE_FSDP="true",
        FSDP_VERSION="2",
        FSDP_AUTO_WRAP_POLICY="TRANSFORMER_BASED_WRAP",
    )


def alone(*arguments: str) -> tuple[list[int], str, str]:
    """Run one process."""
    done = run_aqa(*arguments)
    return [done.returncode], done.stdout, done.stderr


def train(launch: Launch, *arguments: str) -> None:
    """Train with four rows per optimizer step."""
    accumulation = PROCESSES if launch is alone else 1
    steps = f"training.gradient_accumulation_steps={accumulation}"
    codes, output, errors = launch(*arguments, "--set", steps)
    assert set(codes) == {0}, errors
    assert output.count("Validation scores") == 1  # only one of them prints
    assert errors.count("Tokenizing") <= 1


def deepspeed(
    *arguments: str, stage: int, program: Callable[..., None] = deepspeed_on_cpus.aqa
) -> tuple[list[int], str, str]:
    """The same with DeepSpeed's ZeRO, set in the environment as `accelerate launch` sets it."""
    return together(
        *arguments,
        start=partial(Forked, program),
        DS_ACCELERATOR="cpu",
        ACCELERATE_USE_DEEPSPEED="true",
        ACCELERATE_MIXED_PRECISION="no",
        ACCELERATE_DEEPSPEED_ZERO_STAGE=str(stage),
        ACCELERATE_GRADIENT_ACCUMULATION_STEPS="auto",
        ACCELERATE_GRADIENT_CLIPPING="auto",
    )


ZERO_2, ZERO_3 = partial(deepspeed, stage=2), partial(deepspeed, stage=3)


def by_accelerate(folder: Path) -> Launch:
    """DeepSpeed's ZeRO by a config file like those of `accelerate config`."""
    automatic = dict.fromkeys(("gradient_accumulation_steps", "gradient_clipping"), "auto")
    config = {
        "distributed_type": "DEEPSPEED",
        "use_cpu": True,
        "num_machines": 1,
        "num_processes": PROCESSES,
        "mixed_precision": "no",
        "deepspeed_config": {"zero_stage": 2, **automatic},
    }
    path = folder / "accelerate.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")
    launcher = ["-m", "accelerate.commands.launch", "--config_file", str(path)]
    return launched([*launcher, "--main_process_port", PORT], [deepspeed_on_cpus.__file__])


def losses(folder: Path) -> list[float]:
    """The loss of each step, from the last checkpoint."""
    (last,) = (folder / "checkpoints").glob("checkpoint-6")
    history = json.loads((last / "trainer_state.json").read_bytes())["log_history"]
    return [entry["loss"] for entry in history if "loss" in entry]


@dataclass(frozen=True)
class Whole:
    """A training by one process, and its arguments."""

    kind: str
    words: list[str]
    folder: Path


@pytest.fixture(scope="module", params=["t5", "llama"])
def whole(
    request: pytest.FixtureRequest, tiny: Path, tmp_path_factory: pytest.TempPathFactory
) -> Whole:
    folder = tmp_path_factory.mktemp("whole")
    words = settings(request.param, tiny, folder)
    train(alone, *words, "-o", str(folder / "run"))
    return Whole(request.param, words, folder / "run")


@pytest.mark.slow
def test_two_processes_train_as_one(whole: Whole, tmp_path: Path) -> None:
    two, both, rest = (tmp_path / name for name in ("two", "both", "rest"))
    launch = launched(TORCHRUN) if whole.kind == "t5" else together
    train(launch, *whole.words, "-o", str(two), "--set", "training.save_steps=1")
    assert len(losses(whole.folder)) == 6
    assert losses(whole.folder)[0] > losses(whole.folder)[-1]
    assert losses(two) == pytest.approx(losses(whole.folder), abs=1e-3)

    manifest = read(two / "run.json")
    assert manifest["status"] == "done"
    assert manifest["counts"]["dev"] == len(rows())
    assert manifest["predictions_sha256"] == hash_files(two / "predictions.json")
    ours, theirs = (read(folder / "predictions.json") for folder in (two, whole.folder))
    assert list(ours) == list(theirs)

    # What two processes began, one resumes.
    interrupted_copy(two, both, steps=2)
    train(alone, *whole.words, "-o", str(both), "--resume")
    assert losses(both) == pytest.approx(losses(whole.folder), abs=1e-3)
    # Two can resume it, too, from the middle of an epoch.
    interrupted_copy(two, rest, steps=3)
    train(together, *whole.words, "-o", str(rest), "--resume")
    assert losses(rest) == pytest.approx(losses(whole.folder), abs=1e-3)


@pytest.mark.slow
def test_fsdp_spreads_the_weights(whole: Whole, tmp_path: Path) -> None:
    two, both = tmp_path / "two", tmp_path / "both"
    train(spread, *whole.words, "-o", str(two))
    assert losses(two) == pytest.approx(losses(whole.folder), abs=1e-3)
    # Each process kept its part of the optimizer, and the only weights are the safetensors.
    checkpoint = two / "checkpoints/checkpoint-6"
    assert len([*checkpoint.glob("optimizer_0/*.distcp")]) == PROCESSES
    assert not [*checkpoint.glob("pytorch_model*")]
    assert_same_weights(two, whole.folder)
    assert answers(two) == answers(whole.folder)

    if whole.kind == "llama":
        interrupted_copy(two, both, steps=2)
        train(spread, *whole.words, "-o", str(both), "--resume")
        assert losses(both) == pytest.approx(losses(whole.folder), abs=1e-3)
        assert_same_weights(both, whole.folder)


@pytest.mark.slow
@pytest.mark.parametrize("in_a_layer", [False, True])
def test_all_end_when_one_is_out_of_memory(in_a_layer: bool, tiny: Path, tmp_path: Path) -> None:
    """None waits for others, which may be in the middle of a layer; each prints one sentence."""
    words = settings("t5", tiny, tmp_path)
    program = partial(spread_on_cpus.without_room, in_a_layer)
    codes, output, errors = spread(*words, "-o", str(tmp_path / "out"), program=program)
    assert (codes, output) == ([1, 1], "")
    said = sorted(line for line in errors.splitlines() if line.startswith("error: "))
    assert len(said) == 2
    assert said[0].startswith("error: process 1 of 2 lost contact with another one")
    assert said[1].startswith("error: t5-tiny: out of memory while writing answers; lower gener")
    assert "Traceback" not in errors
    assert read(tmp_path / "out" / "run.json")["status"] == "failed"


@pytest.mark.slow
def test_a_process_waits_no_longer_than_it_may(tiny: Path, tmp_path: Path) -> None:
    """Also on CPUs, where transformers leaves the limit to PyTorch."""
    words = [*settings("llama", tiny, tmp_path), "--set", "training.ddp_timeout=1"]
    group = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}
    group |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": PORT}
    done = run_aqa(*words, "-o", tmp_path / "run", env={**os.environ, **group})
    assert done.returncode == 1
    assert "process 1 of 2 lost contact with another one while waiting" in done.stderr
    assert "raise training.ddp_timeout" in done.stderr


def answers(folder: Path) -> list[tuple[str, str]]:
    return [
        (key, row["predicted_answer"]) for key, row in read(folder / "predictions.json").items()
    ]


def assert_same_weights(ours: Path, theirs: Path) -> None:
    """Assert that two runs ended with the same weights, in files with the same names."""
    names = [path.relative_to(theirs) for path in theirs.glob("[am]*/*.safetensors")]
    assert names
    for name in names:
        expected = load_file(theirs / name)
        found = load_file(ours / name)
        assert found.keys() == expected.keys()
        for key, weights in expected.items():
            assert (found[key] - weights).abs().max() < 1e-3, key


@pytest.mark.slow
@pytest.mark.skipif(find_spec("deepspeed") is None, reason="DeepSpeed is not installed")
def test_deepspeed_spreads_gradients_and_optimizer(whole: Whole, tmp_path: Path) -> None:
    two, both = tmp_path / "two", tmp_path / "both"
    launch = by_accelerate(tmp_path) if whole.kind == "t5" else ZERO_2
    train(launch, *whole.words, "-o", str(two))
    parts = [*two.glob("checkpoints/checkpoint-6/global_step6/*optim_states.pt")]
    assert len(parts) == PROCESSES
    assert losses(two) == pytest.approx(losses(whole.folder), abs=1e-3)
    assert read(two / "run.json")["counts"]["dev"] == len(rows())
    if whole.kind == "llama":  # an adapter's weights are few of many; what resumes is the same
        interrupted_copy(two, both, steps=2)
        train(ZERO_2, *whole.words, "-o", str(both), "--resume")
        assert losses(both) == pytest.approx(losses(whole.folder), abs=1e-3)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("deepspeed") is None, reason="DeepSpeed is not installed")
def test_deepspeed_spreads_the_weights(whole: Whole, tmp_path: Path) -> None:
    two, both = tmp_path / "two", tmp_path / "both"
    train(ZERO_3, *whole.words, "-o", str(two))
    assert losses(two) == pytest.approx(losses(whole.folder), abs=1e-3)
    assert_same_weights(two, whole.folder)
    if whole.kind == "llama":
        steps = ["--set", "training.gradient_accumulation_steps=1"]
        words = [*whole.words, "-o", str(both), *steps]
        codes, _, _ = ZERO_3(*words, program=deepspeed_on_cpus.killed)
        assert 0 not in codes
        assert read(both / "run.json")["status"] == "running"
        assert [each.name for each in both.glob("checkpoints/*")] == ["checkpoint-2"]
        train(ZERO_3, *whole.words, "-o", str(both), "--resume")
        assert losses(both) == pytest.approx(losses(whole.folder), abs=1e-3)
        assert_same_weights(both, whole.folder)


@pytest.mark.parametrize(
    ("written", "kind", "processes", "told"),
    [
        (2, "DeepSpeed", 2, None),
        (0, None, 2, None),
        ("optimizer_0", "FSDP", 4, None),
        ("optimizer.bin", "FSDP", 2, None),
        (2, None, 1, "written by 2 processes under DeepSpeed"),
        (2, "DeepSpeed", 4, "written by 2 processes under DeepSpeed"),
        (0, "DeepSpeed", 2, "written by a training without DeepSpeed or FSDP"),
        (0, "FSDP", 2, "written by a training without DeepSpeed or FSDP"),
        ("optimizer_0", None, 2, "written by a training under FSDP"),
        ("optimizer.bin", "DeepSpeed", 2, "written by a training under FSDP"),
    ],
)
def test_an_optimizer_of_another_kind_is_not_taken_up(
    written: int | str, kind: str | None, processes: int, told: str | None, tmp_path: Path
) -> None:
    (tmp_path / "global_step3").mkdir()
    if isinstance(written, str):
        (tmp_path / written).touch()
        written = 0
    for rank in range(written):
        (tmp_path / f"global_step3/zero_pp_rank_{rank}_mp_rank_00_optim_states.pt").touch()
    if told is None:
        check_optimizer(tmp_path, kind, processes)
        return
    with pytest.raises(RunError, match=told):
        check_optimizer(tmp_path, kind, processes)


def interrupted_copy(source: Path, target: Path, steps: int) -> None:
    """A run folder as left by an interruption after so many steps."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("training_rows"))
    for checkpoint in (target / "checkpoints").glob("checkpoint-*"):
        if int(checkpoint.name.partition("-")[2]) > steps:
            shutil.rmtree(checkpoint)
    manifest = read(target / "run.json")
    manifest["status"] = "interrupted"
    (target / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
