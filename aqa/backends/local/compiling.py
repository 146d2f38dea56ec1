"""Compile a model's layers with torch.compile for training."""

import os
from collections.abc import Callable
from importlib.util import find_spec
from shutil import which
from typing import Any

from aqa.backends.local.devices import ZERO, local_device, sharded_by
from aqa.errors import ConfigError

BACKEND = "inductor"


def check_compiling(wanted: bool) -> None:
    """Check that layers can be compiled here, if that is `wanted`.

    Raises:
        ConfigError: a compiler is missing, or the weights are sharded by ZeRO.
    """
    device, lacks = local_device(), None
    if sharded_by() == ZERO:
        lacks = f"{ZERO} assembles each layer as it runs"
    elif device == "mps":
        lacks = "not on Apple's GPUs"
    elif device.startswith("cuda"):
        lacks = None if find_spec("triton") else "it needs the package triton"
    elif which(os.environ.get("CXX", "g++")) is None:
        lacks = "on a CPU it needs a C++ compiler, g++ or the one that CXX names"
    if wanted and lacks:
        raise ConfigError(f"training.torch_compile = true can't work here: {lacks}")


def compile_layers(model: Any) -> None:
    """Compile each of a model's repeated layers when it is first trained.

    So all share one compilation, and the code around them may vary between calls. Generation, whose
    cache changes shape with every token, runs uncompiled.
    """
    repeated = set(getattr(model, "_no_split_modules", None) or ())
    for layer in model.modules():
        if type(layer).__name__.removeprefix("FSDP") in repeated:
            layer.forward = _compiled_in_training(layer)


def _compiled_in_training(layer: Any) -> Callable[..., Any]:
    import torch

    plain = layer.forward
    compiled = torch.compile(plain, backend=BACKEND, dynamic=True)

    def forward(*arguments: Any, **words: Any) -> Any:
        return (compiled if layer.training else plain)(*arguments, **words)

    return forward
