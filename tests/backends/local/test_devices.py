"""Where weights are and in which precision they compute; torch is patched to fake GPUs."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_llama import make_config as llama_config
from tiny_t5 import make_config as t5_config
from transformers import PreTrainedConfig

from aqa.backends.base import TrainJob
from aqa.backends.llama_qlora.models import check_quantization
from aqa.backends.local.devices import (
    compute_dtype,
    hardware,
    hardware_notes,
    local_device,
    ready_device,
    seeded,
)
from aqa.backends.local.training_arguments import training_arguments
from aqa.errors import ModelError

AUTO = "backend.compute_dtype=auto"

FakeGpus = Callable[..., None]


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> FakeGpus:
    """Let torch see some GPUs, of generation `major`."""

    def fake(count: int, major: int = 8) -> None:
        def is_bf16_supported(including_emulation: bool = True) -> bool:
            return including_emulation or major >= 8

        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Fake 24 GB")
        properties = SimpleNamespace(major=major)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_bf16_supported)
        monkeypatch.setattr(torch, "zeros", lambda *sizes, **_: torch.ones(*sizes))

    return fake


@pytest.fixture
def apple(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torch see Apple's GPU, in a build without oneDNN."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace())


def arguments(tmp_path: Path, dtype: str = AUTO) -> Any:
    config = llama_config("x/y", dtype, "training.per_device_train_batch_size=3")
    job = TrainJob(list, [], lambda predictions: {}, tmp_path, resume=False)
    return training_arguments(config, config.backend, job)


@pytest.mark.parametrize("count", [1, 4])
def test_one_process_trains_on_one_gpu(count: int, gpus: FakeGpus, tmp_path: Path) -> None:
    gpus(count)
    made = arguments(tmp_path)
    assert (made.n_gpu, made.train_batch_size, made.eval_batch_size) == (1, 3, 8)
    assert made.parallel_mode.value != "not_distributed", "nn.DataParallel"
    assert made.device == torch.device("cuda:0")


def test_without_a_gpu_there_is_none(tmp_path: Path) -> None:
    assert arguments(tmp_path).n_gpu == 0


@pytest.mark.parametrize("training", [True, False])
def test_a_note_says_how_to_use_all_gpus(training: bool, gpus: FakeGpus) -> None:
    gpus(4)
    options = llama_config("x/y", AUTO).backend
    told, more = hardware_notes(hardware(options), training)
    assert told == "device: cuda:0 (Fake 24 GB), bfloat16"
    assert "4 GPUs are visible, and one process uses one" in more
    assert ("torchrun --nproc-per-node 4 -m aqa train" in more) is training


def test_a_process_of_several_speaks_of_its_own_gpu(
    gpus: FakeGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus(2)
    for name, value in (("RANK", "3"), ("WORLD_SIZE", "4"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    found = hardware(llama_config("x/y", AUTO).backend)
    assert list(hardware_notes(found, True)) == ["device: cuda:1 (Fake 24 GB), bfloat16"]
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ModelError, match="process 3 of this machine has no GPU, since only 2"):
        local_device()


def test_a_process_of_several_uses_its_own_gpu_alone(
    gpus: FakeGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Queries without a name go to the second GPU, and no other GPU's numbers are moved."""
    gpus(2)
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "backend:native")
    used: list[object] = []
    monkeypatch.setattr(torch.cuda, "set_device", used.append)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (5, 9), raising=False)
    assert ready_device() == "cuda:1"
    monkeypatch.setattr(torch.cuda, "get_rng_state", used.append)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: used.append(device))
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: None)
    with seeded(1):
        assert torch.rand(1).item() == pytest.approx(0.7576, abs=1e-4)
    assert used == ["cuda:1"] * 3


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB."),
        RuntimeError("CUDA error: CUDA-capable device(s) is/are busy or unavailable\nmore"),
    ],
)
def test_a_gpu_that_others_fill_is_no_fault_of_the_model(
    error: Exception, gpus: FakeGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    gpus(1)
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "backend:native")
    monkeypatch.setattr(torch.cuda, "mem_get_info", fail, raising=False)
    options = llama_config("x/y", "backend.quantization='4bit'").backend
    with pytest.raises(ModelError, match=r"^cuda:0 can't be used: CUDA .*CUDA_VISIBLE_DEVICES"):
        check_quantization(options, PreTrainedConfig())


@pytest.mark.parametrize(
    "error",
    [
        "CUDA error: no kernel image is available for execution on the device\nmore",
        "HIP error: invalid device function",
    ],
)
def test_a_gpu_that_this_pytorch_has_no_code_for_is_named(
    error: str, gpus: FakeGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a V100 with a build for CUDA 13: only the first computation fails."""

    def fail(*sizes: object, device: str) -> None:
        raise RuntimeError(error)

    gpus(1)
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", "backend:native")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (5, 9), raising=False)
    monkeypatch.setattr(torch, "zeros", fail)
    with pytest.raises(ModelError, match=r"^cuda:0 can't be used: .* install a build of PyTorch"):
        ready_device()


@pytest.mark.parametrize(
    ("major", "llama", "t5"),
    [
        (7, torch.float16, torch.float32),  # V100, T4, RTX 20xx: bfloat16 is emulated
        (8, torch.bfloat16, torch.bfloat16),
    ],
)
def test_emulated_bfloat16_does_not_count(
    major: int, llama: torch.dtype, t5: torch.dtype, gpus: FakeGpus
) -> None:
    gpus(1, major)
    assert compute_dtype(llama_config("x/y", AUTO).backend) == llama
    assert compute_dtype(t5_config("x/y", AUTO).backend) == t5
    asked = llama_config("x/y", "backend.compute_dtype=bfloat16").backend
    assert compute_dtype(asked) == torch.bfloat16, "what is asked for is done"


def test_an_old_gpu_trains_in_float16(gpus: FakeGpus, tmp_path: Path) -> None:
    gpus(1, 7)
    made = arguments(tmp_path)
    assert (made.fp16, made.bf16) == (True, False)


def test_accelerate_asks_for_no_other_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FSDP's cast would change 4-bit weights, and T5 overflows in float16."""
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    assert arguments(tmp_path, "backend.compute_dtype=float32").mixed_precision == "no"


@pytest.mark.parametrize("supported", [True, False, None])
def test_a_build_without_onednn_computes_in_float32(
    supported: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    operations = {} if supported is None else {"_is_mkldnn_bf16_supported": lambda: supported}
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace(**operations))
    found = hardware(llama_config("x/y", AUTO).backend)
    assert found == {"device": "cpu", "dtype": "bfloat16" if supported else "float32"}


@pytest.mark.usefixtures("apple")
def test_apples_gpu_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for config in (llama_config, t5_config):
        assert hardware(config("x/y", AUTO).backend) == {"device": "mps", "dtype": "float32"}
    half = llama_config("x/y", "backend.compute_dtype=bfloat16").backend
    assert hardware(half) == {"device": "mps", "dtype": "bfloat16"}
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert local_device() == "cpu", "several processes can't share it"


@pytest.mark.usefixtures("apple")
def test_4_bits_are_refused_on_apples_gpu() -> None:
    options = llama_config("x/y", "backend.quantization='4bit'").backend
    with pytest.raises(ModelError, match=r"Apple's GPUs; use --set backend.quantization=none"):
        check_quantization(options, PreTrainedConfig())


@pytest.mark.parametrize(
    ("kind", "built", "said"),
    [
        ("cuda", None, []),
        ("cuda", "12.8", ["built for CUDA 12.8, but finds no working GPU"]),
        ("hip", "7.0", ["built for HIP 7.0, but finds no working GPU"]),
    ],
)
def test_a_driver_that_does_not_work_is_said(
    kind: str, built: str | None, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, kind, built)
    told = list(hardware_notes(hardware(llama_config("x/y").backend), True))
    assert told[0] == "device: cpu, float32"
    assert len(told[1:]) == len(said)
    assert all(words in note for words, note in zip(said, told[1:], strict=True))
