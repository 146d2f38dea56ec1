"""Choose the device (GPU or CPU) and the precision of this process's weights."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from aqa.backends.model_errors import message_of
from aqa.config.backend_options import LocalModelOptions
from aqa.errors import ConfigError, ModelError
from aqa.processes import local_rank, process_count

# Messages of CUDA and HIP if PyTorch was not compiled for a GPU of this age.
_NO_CODE = ("no kernel image is available", "invalid device function")
FSDP, ZERO = "FSDP", "DeepSpeed's ZeRO stage 3"  # what shards weights over processes


def local_device() -> str:
    """Return this process's CUDA device, or Apple's GPU, or else the CPU.

    Processes that train together can't use Apple's GPU, on which PyTorch cannot reduce gradients.

    Raises:
        ModelError: there are more processes on this machine than GPUs.
    """
    import torch

    if not torch.cuda.is_available():
        return "mps" if torch.backends.mps.is_available() and process_count() == 1 else "cpu"
    rank, gpus = local_rank(), torch.cuda.device_count()
    if rank >= gpus:
        raise ModelError(
            f"process {rank + 1} of this machine has no GPU, since only {gpus} can be seen; start"
            f" {gpus} per machine (torchrun --nproc-per-node {gpus}), or check what"
            " CUDA_VISIBLE_DEVICES hides"
        )
    return f"cuda:{rank}"


def sharded_by() -> str | None:
    """Return what shards the weights, by accelerate's environment variables; None if nothing does.

    Raises:
        ConfigError: it is FSDP 1, which cannot mix trained and frozen weights.
    """
    if process_count() == 1:
        return None
    if _is_set("ACCELERATE_USE_FSDP"):
        if os.environ.get("FSDP_VERSION", "1") != "2":
            raise ConfigError(
                "accelerate's config asks for FSDP version 1; set fsdp_version: 2 under fsdp_config"
            )
        if _is_set("FSDP_ACTIVATION_CHECKPOINTING"):
            raise ConfigError(
                "fsdp_activation_checkpointing in accelerate's config: leave it to"
                " training.gradient_checkpointing"
            )
        return FSDP
    return ZERO if _is_set("ACCELERATE_USE_DEEPSPEED") and _zero_stage() == "3" else None


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").lower() in ("1", "true", "yes")


def _zero_stage() -> str:
    file = os.environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE", "none")
    if not Path(file).is_file():
        return os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")
    config = json.loads(Path(file).read_text(encoding="utf-8"))
    return str(config.get("zero_optimization", {}).get("stage", 0))


def weights_device(training: bool) -> str:
    """Return where weights are loaded: this process's device, or the CPU before sharding."""
    return "cpu" if training and sharded_by() else local_device()


def input_device(model: Any) -> Any:
    """Return the device for a model's inputs: its first weights', unless they are offloaded."""
    import torch

    device = model.device
    return torch.device(local_device()) if device.type == "meta" else device


def without_gradients() -> AbstractContextManager[object]:
    """Disable gradients for generation; what FSDP gathers there is reused in training."""
    import torch

    return torch.no_grad() if sharded_by() else torch.inference_mode()


def ready_device() -> str:
    """Make this process's device PyTorch's current one, and return it.

    CUDA's allocator may then grow its segments, since batches of ever-changing shapes would leave
    holes between fixed ones. The user's own settings stay; Windows and AMD's GPUs lack this.

    Raises:
        ModelError: others have reserved the GPU, or use all of its memory, or this build of PyTorch
            has no code for it.
    """
    import torch

    device = local_device()
    if not device.startswith("cuda"):
        return device
    chosen = {"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"} & os.environ.keys()
    if torch.version.cuda and sys.platform == "linux" and not chosen:
        os.environ["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"
    try:
        torch.cuda.set_device(device)
        torch.cuda.mem_get_info()
        torch.zeros(1, device=device)
    except RuntimeError as error:
        has_code = not any(words in str(error) for words in _NO_CODE)
        advice = "see what else runs on it (nvidia-smi)"
        raise ModelError(
            f"{device} can't be used: {message_of(error)};"
            f" {advice if has_code else 'install a build of PyTorch that supports this GPU'}, or"
            " choose another GPU with CUDA_VISIBLE_DEVICES"
        ) from error
    return device


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed random numbers here and on this process's GPU, and restore their state afterwards."""
    import torch

    device = local_device()
    gpus = [device] if device.startswith("cuda") else []
    with torch.random.fork_rng(gpus, device_type="cuda"):
        torch.manual_seed(seed)
        yield


def compute_dtype(options: LocalModelOptions) -> Any:
    """Return the dtype of activations: bfloat16 if the hardware has it (float16 overflows).

    GPUs older than NVIDIA's Ampere emulate bfloat16 slowly. On Apple's GPUs support depends on chip
    and system, so users must ask for it.
    """
    import torch

    if options.compute_dtype != "auto":
        return getattr(torch, options.compute_dtype)
    device = local_device()
    if device == "mps":
        return torch.float32
    if device == "cpu":
        # Builds of PyTorch without oneDNN lack this function.
        multiplies = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", bool)
        return torch.bfloat16 if multiplies() else torch.float32
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float16 if options.takes_float16 else torch.float32


def hardware(options: LocalModelOptions) -> dict[str, str]:
    """Return this process's device, its name if it is a CUDA GPU, and the dtype."""
    import torch

    device = local_device()
    named = {"name": torch.cuda.get_device_name(device)} if device.startswith("cuda") else {}
    dtype = str(compute_dtype(options)).removeprefix("torch.")
    return {"device": device, **named, "dtype": dtype}


def hardware_notes(facts: Mapping[str, str], training: bool) -> Iterator[str]:
    """Yield what to tell the user about the hardware before weights are loaded."""
    import torch

    name = f" ({facts['name']})" if "name" in facts else ""
    yield f"device: {facts['device']}{name}, {facts['dtype']}"
    if not torch.cuda.is_available():
        for kind, tool in (("cuda", "nvidia-smi"), ("hip", "rocm-smi")):
            if version := getattr(torch.version, kind):
                yield (
                    f"this PyTorch is built for {kind.upper()} {version}, but finds no working GPU;"
                    f" if there is one, check whether `{tool}` lists it"
                )
        return
    gpus = torch.cuda.device_count()
    if gpus > 1 and process_count() == 1:
        rest = f"; to train on all, run `torchrun --nproc-per-node {gpus} -m aqa train ...`"
        yield f"{gpus} GPUs are visible, and one process uses one{rest * training}"
