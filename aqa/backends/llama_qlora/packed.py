"""Weights of linear layers in the order in which oneDNN multiplies, for prediction on a CPU.

PyTorch has them put into that order anew by every product: of few rows that takes as long as the
product itself, and of 2,048 still a tenth (bfloat16) or a fifth (float32) of the time.
"""

from collections import Counter
from typing import Any

import torch

from aqa.heap import give_back_freed_blocks


class PackedLinear(torch.nn.Linear):
    """A linear layer whose weights lie in oneDNN's order, and nowhere else."""

    packed: torch.Tensor

    def __init__(self, layer: torch.nn.Linear) -> None:
        torch.nn.Module.__init__(self)
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.bias = layer.bias
        with torch.no_grad():
            packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), None)
        self.register_buffer("packed", packed, persistent=False)

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]  # a copy
        """The weights in their usual order."""
        return self.packed.to_dense()

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Map states of shape (..., in) to (..., out)."""
        found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            states, self.packed, self.bias, "none", [], ""
        )
        return found


def pack(model: Any) -> None:
    """Pack a model's plain linear layers, one after the other; not what it shares with others."""
    uses = Counter(id(weight) for _, weight in model.named_parameters(remove_duplicate=False))
    plain = [name for name, layer in model.named_modules() if type(layer) is torch.nn.Linear]
    for name in plain:  # no list of layers, which would keep the weights of all of them
        layer = model.get_submodule(name)
        if uses[id(layer.weight)] == 1 and _packs(layer):
            model.set_submodule(name, PackedLinear(layer))
            del layer
            give_back_freed_blocks()  # those of threads that loaded weights are of no use to others


def _packs(layer: torch.nn.Linear) -> bool:
    """Whether this machine's oneDNN, if there is one, multiplies in the layer's type."""
    if layer.weight.device.type != "cpu":
        return False
    sample = torch.nn.Linear(8, 8, dtype=layer.weight.dtype)
    try:
        with torch.no_grad():
            PackedLinear(sample)(sample.weight)
    except (AttributeError, RuntimeError):
        return False
    return True
