"""Layers by PyTorch's compiler, while a model is trained."""

import os
from collections.abc import Callable
from importlib.util import find_spec
from shutil import which
from typing import Any

from aqa.backends.local.devices import ZERO, local_device, spread_by
from aqa.errors import ConfigError

BACKEND = "inductor"


def check_compiling(asked: bool) -> None:
    """See whether layers can be compiled here, where it is asked for.

    Raises:
        ConfigError: the compiler lacks what it writes for, or what it would have to look into.
    """
    device, lacks = local_device(), None
    if spread_by() == ZERO:
        lacks = f"{ZERO} puts each layer together while it runs"
    elif device == "mps":
        lacks = "not on Apple's GPUs"
    elif device.startswith("cuda"):
        lacks = None if find_spec("triton") else "it needs the package triton"
    elif which(os.environ.get("CXX", "g++")) is None:
        lacks = "on a CPU it needs a C++ compiler, g++ or the one that CXX names"
    if asked and lacks:
        raise ConfigError(f"training.torch_compile = true can't work here: {lacks}")


def compile_layers(model: Any) -> None:
    """Let each of the layers that a model repeats be compiled when it is first trained.

    So it is done once for all of them, and what is around them may change from call to call. Where
    answers are written, with keys and values of ever other shapes, they stay as they are.
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
