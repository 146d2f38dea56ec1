"""Failures on a GPU or in another process are reported in one sentence."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from tiny_t5 import make_reader

from aqa.backends.local import training
from aqa.backends.local.failures import WRITING, explained_work
from aqa.backends.model_errors import explained
from aqa.errors import DataError, ModelError, RunError

TOO_LITTLE = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA`"),
    MemoryError(),
]
LOST = [
    RuntimeError("[/pytorch/gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.1]"),
    torch.distributed.DistBackendError("NCCL error in: ProcessGroupNCCL.cpp:2251, remote process"),
]


@pytest.mark.parametrize("error", TOO_LITTLE)
def test_too_little_memory_to_load_a_model(error: Exception) -> None:
    sentence = r"^m: out of memory while loading; .*4 bits[^\n]*$"
    with pytest.raises(ModelError, match=sentence), explained("m"):
        raise error


def test_a_gpu_too_small_for_a_t5(tiny_t5: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise TOO_LITTLE[0]

    monkeypatch.setattr("transformers.AutoModelForSeq2SeqLM.from_pretrained", refuse)
    with pytest.raises(ModelError, match=r"out of memory while loading"), make_reader(tiny_t5):
        pass


@pytest.mark.parametrize("error", TOO_LITTLE)
def test_too_little_memory_to_begin_a_training(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not be reported as a wrong option, as other errors there are."""

    def refuse(*args: object) -> None:
        raise error

    rows = SimpleNamespace(make=lambda: None, all=lambda: None)
    monkeypatch.setattr(training, "training_arguments", lambda *args: None)
    monkeypatch.setattr(training, "check_options", lambda *args: None)
    monkeypatch.setattr(training, "TrainingRows", lambda *args: rows)
    options = SimpleNamespace(model="big")
    config = SimpleNamespace(training=None, seed=1)
    reader: Any = SimpleNamespace(config=config, options=options)
    job: Any = SimpleNamespace(folder=tmp_path, resume=False)
    trainer: Any = refuse
    with pytest.raises(ModelError, match=r"^big: out of memory while training; lower"):
        training.train_reader(trainer, reader, job, print)


def test_what_to_lower_depends_on_the_work() -> None:
    for work, less in ((WRITING, "generation.batch_tokens"), ("training", "training.per_device")):
        sentence = f"^m: out of memory while {work}; lower {less}"
        with pytest.raises(ModelError, match=sentence), explained_work("m", work):
            raise MemoryError


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        SafetensorError("Error while serializing: I/O error: No space left on device"),
        RuntimeError("PytorchStreamReader failed reading zip archive"),
        RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"),
    ],
)
def test_a_full_disk_is_no_fault_of_the_model(error: Exception) -> None:
    sentence = r"^a file can't be written or read while training \(.*free some space.*--resume$"
    with pytest.raises(RunError, match=sentence), explained_work("m", "training"):
        raise error
    with pytest.raises(BrokenPipeError), explained_work("m", "training"):
        raise BrokenPipeError  # the reader of the output is gone


@pytest.mark.parametrize("error", LOST)
def test_a_process_that_lost_another_one(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    sentence = r"^process 2 of 4 lost contact with another one while training"
    with pytest.raises(ModelError, match=sentence), explained_work("m", "training"):
        raise error
    with pytest.raises(DataError, match=r"^no example"), explained_work("m", "training"):
        raise DataError("no example is left to train on")  # this process's own error


def test_alone_nobody_is_lost() -> None:
    sentence = r"failed while training.*Connection closed by peer"
    with pytest.raises(ModelError, match=sentence), explained_work("m", "training"):
        raise LOST[0]
