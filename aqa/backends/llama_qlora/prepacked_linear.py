"""Linear layers whose weights are kept in oneDNN's layout, for prediction on a CPU.

Otherwise PyTorch converts them in every product, which for few rows takes as long as the product,
and for 2,048 still a tenth (bfloat16) or a fifth (float32) of the time.
"""

from collections import Counter
from typing import Any

import torch

from aqa.heap import give_back_freed_blocks


class PackedLinear(torch.nn.Linear):
    """A linear layer that keeps its weights only in oneDNN's layout."""

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
        """The weights in the usual layout."""
        return self.packed.to_dense()

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Map states of shape (..., in) to (..., out)."""
        mapped: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            states, self.packed, self.bias, "none", [], ""
        )
        return mapped


def pack(model: Any) -> None:
    """Pack a model's plain linear layers one by one, except those with shared weights."""
    uses = Counter(id(weight) for _, weight in model.named_parameters(remove_duplicate=False))
    plain = [name for name, layer in model.named_modules() if type(layer) is torch.nn.Linear]
    for name in plain:  # names, since a list of layers would keep all weights alive
        layer = model.get_submodule(name)
        if uses[id(layer.weight)] == 1 and _packs(layer):
            model.set_submodule(name, PackedLinear(layer))
            del layer
            give_back_freed_blocks()  # blocks of loader threads are not reused by others


def _packs(layer: torch.nn.Linear) -> bool:
    """Whether this machine has oneDNN and it supports the layer's dtype."""
    if layer.weight.device.type != "cpu":
        return False
    sample = torch.nn.Linear(8, 8, dtype=layer.weight.dtype)
    try:
        with torch.no_grad():
            PackedLinear(sample)(sample.weight)
    except (AttributeError, RuntimeError):
        return False
    return True
